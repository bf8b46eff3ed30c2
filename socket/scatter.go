package socket

import (
	"context"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Scatter sends messages of one frame to GATHER peers, each message to one of them in turn (RFC 49, SCATTER). It is safe for use by any
// number of goroutines.
type Scatter struct {
	core
	balancer
}

// NewScatter returns a SCATTER socket. It uses nothing until Bind or Connect; Close it in the end.
func NewScatter(opts ...Option) *Scatter {
	s := &Scatter{}
	s.core.init(zmtp.Scatter, s, opts)
	s.balancer.init(&s.core)
	s.queueing = !s.cfg.immediate
	return s
}

// Send sends one message of one frame to the next peer that has room. It copies the body. Blocking and errors are as for Push.
func (s *Scatter) Send(ctx context.Context, body []byte) error { return s.balancer.Send(ctx, body) }

// SendOwned is Send without a copy of a large body (above 32 KiB): it belongs to the socket from the call on, unless that returns an
// error, and must not be changed or used for anything else.
func (s *Scatter) SendOwned(ctx context.Context, body []byte) error {
	return s.balancer.send(ctx, nil, [][]byte{body})
}

func (s *Scatter) enroll(p *pipe) error  { return s.balancer.enroll(p) }
func (s *Scatter) attach(p *pipe) error  { s.balancer.attach(p); return nil }
func (s *Scatter) detach(p *pipe)        { s.balancer.detach(p) }
func (s *Scatter) forget(p *pipe)        { s.balancer.forget(p) }
func (s *Scatter) room(p *pipe)          { s.balancer.room(p) }
func (s *Scatter) stopSending(err error) { s.balancer.stopSending(err) }
