package intake

import (
	"context"
	"errors"
	"sync"

	"github.com/meshmq/meshmq/socket"
)

// BatchSocket is a Socket that gives several messages at once.
type BatchSocket interface {
	Socket
	RecvBatch(ctx context.Context, b *socket.Batch) error
}

// batched is what the only goroutine of a Loop has received and not handled yet, where the others find it who want it back.
type batched struct {
	sock BatchSocket

	mu     sync.Mutex // guards the fields below, but for batch while it is filled
	batch  socket.Batch
	began  int  // how many messages the batch had that it has, or a handler had
	known  int  // how many of those that a handler had are counted
	kept   bool // something refers to messages of the batch; it is the handling goroutine's
	owned  bool // somebody is in receiveBatches
	filled bool
	shared bool // there are several goroutines
	over   bool // what is left is given up
}

// Batched has messages received several at a time where one goroutine handles them all. It is called before anything else.
func (l *Loop) Batched(sock BatchSocket) { l.batched = &batched{sock: sock} }

// receiveBatches is receive, several messages at a time. What it took and has not handled when it returns the socket has back.
func (l *Loop) receiveBatches(receiving context.Context, r *run, handle Handler, ready func(ctx context.Context) bool) (closed bool, err error) {
	b := l.batched
	if !b.claim() {
		return l.receive(receiving, r, handle, ready)
	}
	returned := true
	defer func() {
		if !returned { // the handler ended the goroutine, and may have kept what it was given
			b.kept = true
			b.pass(l)
		}
		b.leave(l)
	}()
	l.handleHeld(receiving, r, handle)
	for receiving.Err() == nil && r.intake.Err() == nil {
		if m, ok := b.batch.Next(); ok {
			returned = false
			well, over := handle(r.work, m)
			returned = true
			if !well {
				b.pass(l)
			}
			b.kept = b.kept || !over
			continue
		}
		again, err := b.fill(receiving, l)
		switch {
		case !again:
			return l.receive(receiving, r, handle, ready)
		case err != nil:
			return l.ended(receiving, err)
		}
	}
	return false, nil
}

// claim reports whether the caller is the only goroutine that handles messages.
func (b *batched) claim() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.owned || b.shared {
		return false
	}
	b.owned = true
	return true
}

// takenLocked returns how many messages of the batch a handler has, or had.
func (b *batched) takenLocked() int {
	if !b.filled {
		return 0
	}
	return b.began - b.batch.Len()
}

// pass says that the message in hand is not one that was handled well: that is counted elsewhere.
func (b *batched) pass(l *Loop) {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.takenLocked()
	l.handled.Add(uint64(taken - 1 - b.known))
	b.known = taken
}

// settleLocked counts what was handled of the batch, of which nothing is in hand any more.
func (b *batched) settleLocked(l *Loop) {
	taken := b.takenLocked()
	l.handled.Add(uint64(taken - b.known))
	b.began, b.known = b.began-taken, 0
}

// fill receives a batch. It reports false if messages are to be received one by one.
func (b *batched) fill(ctx context.Context, l *Loop) (ok bool, err error) {
	b.mu.Lock()
	b.settleLocked(l)
	b.filled = false
	shared := b.shared
	b.mu.Unlock()
	if shared {
		return false, nil
	}
	if !b.kept {
		b.batch.Release()
	}
	b.kept = false
	err = b.sock.RecvBatch(ctx, &b.batch)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.filled, b.began = true, b.batch.Len()
	if b.shared {
		b.returnLocked()
	}
	return !errors.Is(err, socket.ErrOption), err
}

// leave gives back what is left of the batch, or counts it if it came too late to be counted by discard.
func (b *batched) leave(l *Loop) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settleLocked(l)
	b.owned = false
	switch {
	case b.over:
		for _, ok := b.batch.Next(); ok; _, ok = b.batch.Next() {
			l.unhandled.Add(1)
		}
		b.began = 0
	case l.taking.Err() == nil: // else it is up to discard
		b.returnLocked()
	}
}

// returnLocked gives the socket back what nobody has had.
func (b *batched) returnLocked() { b.began -= b.batch.Return() }

// share says whether several goroutines handle messages.
func (b *batched) share(shared bool) {
	if b != nil {
		b.giveBack(func() { b.shared = shared })
	}
}

// discard has what is left received by whoever discards it.
func (b *batched) discard() {
	if b != nil {
		b.giveBack(func() { b.over = true })
	}
}

func (b *batched) giveBack(note func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	note()
	if b.filled {
		b.returnLocked()
	}
}

// counts returns how many messages handlers have, and how many were handled. Both are read while nothing moves from the batch to the counters of the loop.
func (l *Loop) counts() (inHand int64, handled uint64) {
	b := l.batched
	if b == nil {
		return l.inHand.Load(), l.handled.Load()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.takenLocked()
	now := min(taken, 1)
	return l.inHand.Load() + int64(now), l.handled.Load() + uint64(max(taken-now-b.known, 0))
}
