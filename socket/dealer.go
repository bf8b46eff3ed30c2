package socket

import (
	"context"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Dealer deals messages out over REP, DEALER and ROUTER peers in turn, and receives from all of them (RFC 28, DEALER).
// Towards REP peers the application puts an empty frame before the body. It is safe for use by any
// number of goroutines.
type Dealer struct {
	core
	balancer
	spooler
	receiver
}

// NewDealer returns a DEALER socket. It uses nothing until Bind or Connect; Close it in the end.
func NewDealer(opts ...Option) *Dealer {
	s := &Dealer{}
	s.core.init(zmtp.Dealer, s, opts)
	s.spooler.init(&s.core)
	s.balancer.init(&s.core)
	s.receiver.init(&s.core)
	s.queueing = !s.cfg.immediate && s.core.keeper == nil
	return s
}

// SendOwned is Send without a copy of large frames (above 32 KiB): they belong to the socket from the call on, unless it returns an
// error, and must not be changed or used for anything else.
func (s *Dealer) SendOwned(ctx context.Context, frames ...[]byte) error {
	return s.balancer.send(ctx, nil, frames)
}

// WaitAcked is that of Push.
func (s *Dealer) WaitAcked(ctx context.Context) error { return s.core.waitAcked(ctx) }

func (s *Dealer) enroll(p *pipe) error { return s.balancer.enroll(p) }

func (s *Dealer) attach(p *pipe) error {
	s.balancer.attach(p)
	s.receiver.attach(p)
	return nil
}

func (s *Dealer) detach(p *pipe) {
	s.balancer.detach(p)
	s.receiver.detach(p)
}

func (s *Dealer) forget(p *pipe)                { s.balancer.forget(p) }
func (s *Dealer) room(p *pipe)                  { s.balancer.room(p) }
func (s *Dealer) deliver(p *pipe, b link.Batch) { s.receiver.deliver(p, b) }
func (s *Dealer) stopSending(err error)         { s.balancer.stopSending(err) }
func (s *Dealer) stopReceiving(err error)       { s.receiver.stopReceiving(err) }
