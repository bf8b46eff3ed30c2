package socket

import (
	"context"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Push sends messages to PULL peers, each message to one of them in turn (RFC 30, PUSH). It is safe for use by any
// number of goroutines.
type Push struct {
	core
	balancer
	spooler
}

// NewPush returns a PUSH socket. It uses nothing until Bind or Connect; Close it in the end.
func NewPush(opts ...Option) *Push {
	s := &Push{}
	s.core.init(zmtp.Push, s, opts)
	s.spooler.init(&s.core)
	s.balancer.init(&s.core)
	s.queueing = !s.cfg.immediate && s.core.keeper == nil
	return s
}

// SendOwned is Send without a copy of large frames (above 32 KiB): they belong to the socket from the call on, unless it returns an
// error, and must not be changed or used for anything else.
func (s *Push) SendOwned(ctx context.Context, frames ...[]byte) error {
	return s.balancer.send(ctx, nil, frames)
}

// WaitAcked blocks until every message that Send had taken when it was called is acknowledged, written to a peer that does not acknowledge, or
// given up as a dead letter. It is for sockets with WithAck or WithSpool; others are ErrState. It ends with ctx, ErrTimeout when that is its deadline,
// with Close (ErrClosed), and when the spool fails (spool.ErrFailed), which then takes note of nothing.
func (s *Push) WaitAcked(ctx context.Context) error { return s.core.waitAcked(ctx) }

func (s *Push) enroll(p *pipe) error  { return s.balancer.enroll(p) }
func (s *Push) attach(p *pipe) error  { s.balancer.attach(p); return nil }
func (s *Push) detach(p *pipe)        { s.balancer.detach(p) }
func (s *Push) forget(p *pipe)        { s.balancer.forget(p) }
func (s *Push) room(p *pipe)          { s.balancer.room(p) }
func (s *Push) stopSending(err error) { s.balancer.stopSending(err) }
