package middleware

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/intake"
)

// Dedup calls the handler once for each message id: a message that was handled is not handled again for ttl, if it is among the size
// messages handled last. It succeeds at once, with Delivery.Duplicate set and the answer of the first time, if it is a Call. Streams are not kept: who asks for
// one again under the same id is told so (reqrep.CodeDuplicate).
// A duplicate of a message in hand waits for its outcome, and is handled only if that is an error.
//
// The memory is this process's, about 200 bytes an id and the answer of a Call: after a restart, or in another worker of the same queue, a message counts as new.
// Where that is not good enough, let the receiver keep a window on disk (socket.WithWindow). Messages without an id are
// handled as they come. A size below 1 is 1; ttl 0 or less means as long as there is room.
func Dedup(size int, ttl time.Duration) patterns.Middleware {
	return func(next patterns.Handler) patterns.Handler {
		seen := &memory{size: max(size, 1), ttl: ttl, entries: make(map[codec.ID]*entry)}
		return func(ctx context.Context, d *patterns.Delivery) error {
			if d.Envelope == nil || d.Envelope.ID.IsZero() {
				return next(ctx, d)
			}
			e, err := seen.claim(ctx, d.Envelope.ID)
			if err != nil {
				return err
			}
			if e == nil { // ours to handle
				err = intake.ErrExit
				defer func() { seen.settle(d.Envelope.ID, d.Reply, err) }()
				err = attempt(ctx, next, d)
				return err
			}
			d.Duplicate, d.Reply = true, e.reply
			return nil
		}
	}
}

// memory knows the messages in hand, and those handled last.
type memory struct {
	size int
	ttl  time.Duration

	mu      sync.Mutex // guards the fields below
	entries map[codec.ID]*entry
	handled list.List // of *entry, the oldest first; at most size
}

// entry is a message. Its fields but done do not change once it is among the handled.
type entry struct {
	id    codec.ID
	done  chan struct{} // closed when the handler has returned; nil until somebody waits for it
	until time.Time     // is forgotten then; zero while in hand
	at    *list.Element
	reply any
}

// claim returns the entry of a message that was handled, or nil: the message is in the caller's hand from now on. If it is in another's, it
// waits for that.
func (m *memory) claim(ctx context.Context, id codec.ID) (*entry, error) {
	for {
		m.mu.Lock()
		e := m.entries[id]
		switch {
		case e != nil && e.at == nil: // in hand
			if e.done == nil {
				e.done = make(chan struct{})
			}
			m.mu.Unlock()
			select {
			case <-e.done:
				continue
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		case e != nil && !m.expired(e, time.Now()):
			m.mu.Unlock()
			return e, nil
		case e != nil:
			m.forgetLocked(e)
		}
		m.entries[id] = &entry{id: id}
		m.mu.Unlock()
		return nil, nil
	}
}

// settle says how the handling of a claimed message ended.
func (m *memory) settle(id codec.ID, reply any, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[id]
	if e.done != nil {
		close(e.done)
	}
	if err != nil {
		delete(m.entries, id)
		return
	}
	now := time.Now()
	e.reply, e.until = reply, now.Add(m.ttl)
	e.at = m.handled.PushBack(e)
	for oldest := m.handled.Front().Value.(*entry); m.handled.Len() > m.size || m.expired(oldest, now); {
		m.forgetLocked(oldest)
		oldest = m.handled.Front().Value.(*entry)
	}
}

func (m *memory) expired(e *entry, now time.Time) bool { return m.ttl > 0 && !now.Before(e.until) }

func (m *memory) forgetLocked(e *entry) {
	m.handled.Remove(e.at)
	delete(m.entries, e.id)
}
