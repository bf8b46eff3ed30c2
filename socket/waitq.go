package socket

import (
	"context"
	"sync"
	"sync/atomic"
)

// waitq lines up callers that wait for room or for messages, first come first served. The lock of the
// structure that it belongs to guards it.
type waitq struct {
	head, tail *waiter

	// The waiter of the last who waited, for the next. A pool for all sockets would not do: the bubbles of testing/synctest have
	// channels of their own.
	spare atomic.Pointer[waiter]
}

type waiter struct {
	signal     chan struct{} // holds one signal
	next, prev *waiter
	queued     bool
}

func (q *waitq) add() *waiter {
	w := q.spare.Swap(nil)
	if w == nil {
		w = &waiter{signal: make(chan struct{}, 1)}
	}
	w.queued = true
	w.prev = q.tail
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next = w
	}
	q.tail = w
	return w
}

func (q *waitq) remove(w *waiter) {
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.next, w.prev, w.queued = nil, nil, false
}

// wake signals the caller that has waited longest, if any.
func (q *waitq) wake() {
	if w := q.head; w != nil {
		q.remove(w)
		w.signal <- struct{}{}
	}
}

func (q *waitq) wakeAll() {
	for q.head != nil {
		q.wake()
	}
}

// wait blocks until w is signalled or ctx ends; mu guards q. A signal that comes together with the end of
// ctx is passed on, since whoever else waits would miss it.
func (q *waitq) wait(ctx context.Context, mu sync.Locker, w *waiter) error {
	select {
	case <-w.signal:
		q.spare.Store(w)
		return nil
	case <-ctx.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	if w.queued {
		q.remove(w)
	} else {
		<-w.signal
		q.wake()
	}
	q.spare.Store(w)
	return ctx.Err()
}
