package socket

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/socket/spool"
)

// intake is the end of a spool that Send uses. Without a spool it does nothing.
type intake struct {
	c       *core
	spool   Spool // nil without WithSpool
	stream  spool.ID
	stopped atomic.Bool   // Shutdown or Close began
	watched chan struct{} // closed when watch has returned
	msgs    atomic.Uint64
	bytes   atomic.Uint64
}

// parcel is a copy of a message that Send was given. What goes to a Spool may be kept by it for all the compiler knows, so that it would be on the heap
// in every Send, with a spool or without.
type parcel struct {
	frames [][]byte
	b      []byte
}

var parcels = sync.Pool{New: func() any { return new(parcel) }}

// keptParcel is the most bytes that a parcel keeps for the next message.
const keptParcel = 256 << 10

func pack(frames [][]byte, size int) *parcel {
	p := parcels.Get().(*parcel)
	if cap(p.b) < size {
		p.b = make([]byte, 0, size)
	}
	p.b, p.frames = p.b[:0], p.frames[:0]
	for _, f := range frames {
		begin := len(p.b)
		p.b = append(p.b, f...)
		p.frames = append(p.frames, p.b[begin:len(p.b):len(p.b)])
	}
	return p
}

func (p *parcel) recycle() {
	if cap(p.b) <= keptParcel {
		parcels.Put(p)
	}
}

// send puts a message into the spool and returns when it is as safe as the policy says.
func (s *intake) send(ctx context.Context, frames [][]byte, size int) error {
	if s.stopped.Load() {
		return &Error{Op: "send", Err: ErrClosed}
	}
	p := pack(frames, size)
	n, err := s.spool.Append(ctx, p.frames...)
	p.recycle()
	s.accept(n, size)
	return failure("send", n, err)
}

// accept counts a message that has its place.
func (s *intake) accept(n uint64, size int) {
	if n > 0 {
		s.msgs.Add(1)
		s.bytes.Add(uint64(size))
	}
}

// failure is the error of a call that put message n into the spool, or of one that did not if n is 0.
func failure(op string, n uint64, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		why := ErrFull
		if n > 0 {
			why = ErrUnconfirmed
		}
		err = &blocked{why, err}
	case errors.Is(err, spool.ErrFull):
		err = fmt.Errorf("%w: %w", ErrFull, err)
	case errors.Is(err, spool.ErrTooLarge):
		err = fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, spool.ErrFailed): // which its being closed does not undo
	case errors.Is(err, spool.ErrClosed):
		err = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return &Error{Op: op, Err: err}
}

// ready returns why the methods that need a spool cannot be used, if so.
func (s *intake) ready(op string) error {
	var err error
	switch {
	case s.c == nil:
		err = fmt.Errorf("%w: zero value: make sockets with NewPush, NewPull and so on", ErrState)
	case s.c.bad != nil:
		err = s.c.bad
	case s.spool == nil:
		err = fmt.Errorf("%w: the socket has no spool: use WithSpool", ErrState)
	case s.stopped.Load():
		err = ErrClosed
	default:
		return nil
	}
	return &Error{Op: op, Err: err}
}

// Enqueue is Send without the wait for the disk, for one goroutine at full speed: it returns as soon as the message has its place in the spool, with its
// number there, from 1. WaitSpooled or Flush say when it is safe. It blocks for room only, and is for sockets with a spool (ErrState).
func (s *intake) Enqueue(ctx context.Context, frames ...[]byte) (number uint64, err error) {
	const op = "enqueue"
	if err := s.ready(op); err != nil {
		return 0, err
	}
	size, err := s.c.sizeOf(frames)
	if err != nil {
		return 0, err
	}
	n, err := s.spool.Enqueue(ctx, frames...)
	s.accept(n, size)
	return n, failure(op, n, err)
}

// WaitSpooled returns nil when the message that Enqueue gave this number to is as safe as the spool's policy says. 0, which comes with an error, is a spool.ErrNumber, as is all that it never returned.
func (s *intake) WaitSpooled(ctx context.Context, number uint64) error {
	const op = "wait for the spool"
	if err := s.ready(op); err != nil {
		return err
	}
	return failure(op, number, s.spool.Wait(ctx, number))
}

// Flush returns nil when all messages that Send and Enqueue were given before the call are on disk, whatever the spool's policy. It does not wait for
// peers. It is for sockets with a spool (ErrState).
func (s *intake) Flush(ctx context.Context) error {
	const op = "flush"
	if err := s.ready(op); err != nil {
		return err
	}
	return failure(op, 1, s.spool.Flush(ctx))
}

// watch tells of the failure of a spool, by an event and by tell, until ctx ends. Whoever ends ctx waits for s.watched, and closes the spool after it.
func (s *intake) watch(ctx context.Context, tell func()) {
	defer close(s.watched)
	look := time.NewTicker(troublePause)
	defer look.Stop()
	var broken <-chan struct{}
	if b, ok := s.spool.(breaker); ok {
		broken = b.Broken()
		look.Stop()
	}
	for s.broken() == nil && ctx.Err() == nil {
		select {
		case <-broken:
		case <-look.C:
		case <-ctx.Done():
		}
	}
	if err := s.broken(); err != nil {
		s.c.hub.emit(Event{Kind: SpoolTrouble, Err: err})
		tell()
	}
}

// broken returns what stopped the spool, nil while it works and when it was closed after that.
func (s *intake) broken() error {
	if err := s.spool.State().Failed; errors.Is(err, spool.ErrFailed) {
		return err
	}
	return nil
}

// trouble reports what a courier cannot do, for the durable subscription of this name if it has one. That the spool has failed watch does, once for all.
func (s *intake) trouble(name string, err error) {
	if !errors.Is(err, spool.ErrFailed) || s.broken() == nil {
		s.c.hub.emit(Event{Kind: SpoolTrouble, Name: name, Err: err})
	}
}
