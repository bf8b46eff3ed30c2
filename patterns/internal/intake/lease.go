package intake

import (
	"context"
	"errors"
	"time"

	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/socket"
)

// Leased says how long the leases of the socket's messages are. The context of a handler then ends with that of its message. It is called before anything else.
func (l *Loop) Leased(length time.Duration) { l.lease = length }

// lease is the context of a message that has one.
type lease struct {
	context.Context
	msg    socket.Msg
	length time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

// handleLeased has a message handled while its lease lasts, which begins here.
func (l *Loop) handleLeased(work context.Context, m socket.Msg, handle Handler) {
	if errors.Is(m.Extend(), socket.ErrLease) { // it was held back for so long
		l.unhandled.Add(1)
		return
	}
	s := &lease{msg: m, length: l.lease}
	s.Context, s.cancel = context.WithCancelCause(work)
	defer s.cancel(nil)
	s.timer = time.AfterFunc(l.lease, func() { s.cancel(socket.ErrLease) })
	defer s.timer.Stop()
	handle(s, m)
}

// Value is that of context.Context.
func (s *lease) Value(key any) any {
	if key == (conf.LeaseKey{}) {
		return s.extend
	}
	return s.Context.Value(key)
}

func (s *lease) extend() error {
	if err := s.Err(); err != nil {
		return context.Cause(s)
	}
	err := s.msg.Extend()
	if err != nil {
		s.cancel(err)
		return err
	}
	s.timer.Reset(s.length)
	return nil
}
