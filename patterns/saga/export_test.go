package saga

import (
	"context"
	"time"
)

// Expire has all leases run out, as if the owners had been silent for so long.
func (m *Memory) Expire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.sagas {
		e.until, e.due = time.Time{}, time.Time{}
	}
}

// Keep has records written and dropped by functions of a test.
func (m *Memory) Keep(write func(ctx context.Context, r *Record, old uint64) (uint64, error), drop func(number uint64)) {
	m.write, m.drop = write, drop
}
