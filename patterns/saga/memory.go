package saga

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Memory is a Store that forgets all when the process ends: for tests, and for sagas that need compensation but may die with the process. NewMemory makes one.
type Memory struct {
	keep  time.Duration
	write func(ctx context.Context, r *Record, old uint64) (number uint64, err error) // makes a record durable; nil for not at all
	drop  func(number uint64)                                                         // a record is not needed any more

	mu     sync.Mutex // guards the field below, and what is in it
	sagas  map[string]*entry
	open   map[string]*entry // those of sagas that are Running or Compensating
	pruned time.Time
}

type entry struct {
	*Record
	due, until time.Time
	number     uint64 // where it was written
	fresh      bool   // being created: nobody sees it yet
}

// NewMemory returns an empty store, in which sagas that have ended are kept as long as keep says, from when it is asked for work again.
func NewMemory(keep time.Duration) *Memory {
	return &Memory{keep: keep, sagas: make(map[string]*entry), open: make(map[string]*entry)}
}

// Create does what Store says.
func (m *Memory) Create(ctx context.Context, r *Record) error {
	c := r.clone()
	c.Owner, c.Epoch, c.Updated = "", 0, time.Now()
	if c.Created.IsZero() {
		c.Created = c.Updated
	}
	e := &entry{Record: c, due: c.Updated, fresh: true}
	m.mu.Lock()
	if m.sagas[r.ID] != nil {
		m.mu.Unlock()
		return ErrExists
	}
	m.sagas[r.ID] = e
	m.mu.Unlock()
	number, err := m.record(ctx, c, 0)
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.fresh, e.number = false, number; err != nil {
		delete(m.sagas, r.ID)
		return err
	}
	m.put(e)
	return nil
}

// put has an entry found by claims, if it is to be.
func (m *Memory) put(e *entry) {
	m.sagas[e.ID] = e
	if e.State == Running || e.State == Compensating {
		m.open[e.ID] = e
	} else {
		delete(m.open, e.ID)
	}
}

// record makes r durable, in place of what was written as number old.
func (m *Memory) record(ctx context.Context, r *Record, old uint64) (uint64, error) {
	if m.write == nil {
		return 0, nil
	}
	return m.write(ctx, r, old)
}

// Claim does what Store says. Who is given a saga has it in memory before it is written, so that nobody else is.
func (m *Memory) Claim(ctx context.Context, c Claim) (*Record, error) {
	m.prune()
	m.mu.Lock()
	now := time.Now()
	e := m.free(c, now)
	if e == nil {
		m.mu.Unlock()
		return nil, nil
	}
	before, until := e.Record, e.until
	taken := before.clone()
	if taken.Owner != "" {
		taken.Crashes++
	}
	taken.Owner, taken.Epoch, taken.Updated = c.Owner, before.Epoch+1, now
	e.Record, e.until = taken, now.Add(c.Lease)
	old := e.number
	m.mu.Unlock()

	number, err := m.record(ctx, taken, old)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil:
		e.number = number
		return taken.clone(), nil
	case e.Record == taken:
		e.Record, e.until = before, until
	}
	return nil, err
}

// free returns the saga that a claim gets.
func (m *Memory) free(c Claim, now time.Time) *entry {
	if c.ID != "" {
		if e := m.sagas[c.ID]; e != nil && e.Definition == c.Definition && e.State == Parked && !now.Before(e.until) {
			return e
		}
		return nil
	}
	var best *entry
	for _, e := range m.open {
		switch {
		case e.Definition != c.Definition, now.Before(e.until), now.Before(e.due), !slices.Contains(c.Versions, e.Version):
		case best == nil || e.due.Before(best.due) || e.due.Equal(best.due) && e.ID < best.ID:
			best = e
		}
	}
	return best
}

// Save does what Store says. A Save that changes nothing but the lease is not written: it would mean nothing to another process.
func (m *Memory) Save(ctx context.Context, r *Record, lease, pause time.Duration) error {
	m.mu.Lock()
	e := m.sagas[r.ID]
	if e == nil || e.fresh {
		m.mu.Unlock()
		return ErrNotFound
	}
	if e.Epoch != r.Epoch || e.Owner == "" {
		m.mu.Unlock()
		return ErrFenced
	}
	now := time.Now()
	c := r.clone()
	c.Owner, c.Created, c.Updated = e.Owner, e.Created, now
	if lease <= 0 {
		c.Owner = ""
	}
	number, old, same := e.number, e.number, same(e.Record, c)
	m.mu.Unlock()

	var err error
	if !same {
		if number, err = m.record(ctx, c, old); err != nil {
			return err
		}
	}
	m.mu.Lock()
	if e.Epoch != r.Epoch { // claimed meanwhile, which counts: see Journal.read
		m.mu.Unlock()
		if !same && m.drop != nil {
			m.drop(number) // or it would be all there is of the saga when the later version is forgotten
		}
		return ErrFenced
	}
	defer m.mu.Unlock()
	e.Record, e.number = c, number
	e.due, e.until = now.Add(pause), now.Add(lease)
	if lease <= 0 {
		e.until = time.Time{}
	}
	m.put(e)
	return nil
}

// same says whether two versions of a record differ in nothing that another process would want to know.
func same(a, b *Record) bool {
	return a.State == b.State && a.Back == b.Back && a.Step == b.Step && a.Attempt == b.Attempt && a.Crashes == b.Crashes && a.Reason == b.Reason &&
		a.Owner == b.Owner && string(a.Data) == string(b.Data)
}

// Get does what Store says.
func (m *Memory) Get(_ context.Context, id string) (*Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.sagas[id]
	if e == nil || e.fresh {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	return e.clone(), nil
}

// List does what Store says.
func (m *Memory) List(_ context.Context, q Query) ([]*Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []*Record
	for _, e := range m.sagas {
		if e.fresh || q.Definition != "" && e.Definition != q.Definition || q.State != 0 && e.State != q.State || e.ID <= q.After {
			continue
		}
		c := *e.Record
		c.Data = nil
		found = append(found, &c)
	}
	slices.SortFunc(found, func(a, b *Record) int { return cmp.Compare(a.ID, b.ID) })
	return found[:min(len(found), q.limit())], nil
}

func (q Query) limit() int {
	if q.Limit <= 0 {
		return 100
	}
	return q.Limit
}

// pruneEvery is how long a saga that has ended may outlive its time, which is about space.
const pruneEvery = time.Minute

// prune forgets what has ended long ago.
func (m *Memory) prune() {
	m.mu.Lock()
	now := time.Now()
	if now.Sub(m.pruned) < pruneEvery {
		m.mu.Unlock()
		return
	}
	m.pruned = now
	var gone []uint64
	for id, e := range m.sagas {
		if e.State.Ended() && now.Sub(e.Updated) > m.keep {
			gone = append(gone, e.number)
			delete(m.sagas, id)
		}
	}
	m.mu.Unlock()
	if m.drop != nil {
		for _, number := range gone {
			m.drop(number)
		}
	}
}
