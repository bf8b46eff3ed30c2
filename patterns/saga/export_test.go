package saga

import "time"

// Expire has all leases run out, as if the owners had been silent for so long.
func (m *Memory) Expire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.sagas {
		e.until, e.due = time.Time{}, time.Time{}
	}
}
