package socket

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Messages iterates over Recv until ctx ends or the socket is closed, which end the loop without an error.
func (r *receiver) Messages(ctx context.Context) iter.Seq2[Msg, error] {
	if r.acks.onNext {
		return r.messagesNext(ctx)
	}
	return messages(ctx, r.Recv)
}

func messages(ctx context.Context, recv func(context.Context) (Msg, error)) iter.Seq2[Msg, error] {
	return func(yield func(Msg, error) bool) {
		for {
			m, err := recv(ctx)
			if err != nil && (errors.Is(err, ErrClosed) || ctx.Err() != nil) {
				return
			}
			if !yield(m, err) || errors.Is(err, ErrOption) || errors.Is(err, ErrWindow) { // which no later call could do without
				return
			}
		}
	}
}

// recvNext is Recv where it acknowledges what the Recv before it returned.
func (r *receiver) recvNext(ctx context.Context) (Msg, error) {
	a := &r.acks
	if m, _, ok := r.next(nil, true); ok {
		return m, nil
	}
	if a.asking {
		r.mu.Unlock()
		return Msg{}, &Error{Op: "recv", Err: fmt.Errorf("%w: another Recv is under way, and which message is done cannot be told: loop over Messages, or use WithManualAck", ErrState)}
	}
	if a.last != nil {
		r.ackLocked(a.last)
	}
	if r.once == nil && len(r.missed) == 0 { // which recv would do as well, with more locking
		if m, _, ok := r.pop(false); ok {
			a.last = m.awaited()
			r.portionLocked(a.last, true)
			r.mu.Unlock()
			return m, nil
		}
	}
	a.asking, a.last = true, nil
	r.mu.Unlock()
	m, _, err := r.recv(ctx, nil, false)
	r.mu.Lock()
	a.asking, a.last = false, m.awaited()
	if err == nil {
		r.portionLocked(a.last, true)
	}
	r.mu.Unlock()
	return m, err
}

// messagesNext is Messages where each turn acknowledges the message of the one before.
func (r *receiver) messagesNext(ctx context.Context) iter.Seq2[Msg, error] {
	return func(yield func(Msg, error) bool) {
		var done *origin
		messages(ctx, func(ctx context.Context) (Msg, error) {
			m, _, err := r.recv(ctx, done, false)
			done = m.awaited()
			return m, err
		})(yield)
	}
}

// awaited returns the origin of a message that is to be acknowledged, else nil.
func (m Msg) awaited() *origin {
	if m.from == nil || m.from.in == nil {
		return nil
	}
	return m.from
}
