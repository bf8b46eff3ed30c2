package socket

import (
	"context"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Client deals messages out over SERVER peers in turn, and receives from all of them (RFC 41, CLIENT). Messages have one frame; others that
// arrive are dropped and counted (DropMalformed). It is safe for use by any number of goroutines; each message is returned to one of
// them.
type Client struct {
	core
	balancer
	receiver
}

// NewClient returns a CLIENT socket. It uses nothing until Bind or Connect; Close it in the end.
func NewClient(opts ...Option) *Client {
	s := &Client{}
	s.core.init(zmtp.Client, s, opts)
	s.balancer.init(&s.core)
	s.receiver.init(&s.core)
	s.receiver.frames = 1
	s.queueing = !s.cfg.immediate
	return s
}

// Send sends one message of one frame to the next peer that has room. It copies the body. Blocking and errors are as for Push.
func (s *Client) Send(ctx context.Context, body []byte) error { return s.balancer.Send(ctx, body) }

// SendOwned is Send without a copy of a large body (above 32 KiB): it belongs to the socket from the call on, unless that returns an
// error, and must not be changed or used for anything else.
func (s *Client) SendOwned(ctx context.Context, body []byte) error {
	return s.balancer.send(ctx, nil, [][]byte{body})
}

func (s *Client) enroll(p *pipe) error { return s.balancer.enroll(p) }

func (s *Client) attach(p *pipe) error {
	s.balancer.attach(p)
	s.receiver.attach(p)
	return nil
}

func (s *Client) detach(p *pipe) {
	s.balancer.detach(p)
	s.receiver.detach(p)
}

func (s *Client) forget(p *pipe)                { s.balancer.forget(p) }
func (s *Client) room(p *pipe)                  { s.balancer.room(p) }
func (s *Client) deliver(p *pipe, b link.Batch) { s.receiver.deliver(p, b) }
func (s *Client) stopSending(err error)         { s.balancer.stopSending(err) }
func (s *Client) stopReceiving(err error)       { s.receiver.stopReceiving(err) }
