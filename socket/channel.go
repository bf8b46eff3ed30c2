package socket

import (
	"context"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Channel talks to exactly one CHANNEL peer, in messages of one frame (RFC 52); messages of several frames are dropped and counted
// (DropMalformed). A second peer is refused while the first is connected, or while there is an endpoint to connect to. It is safe for use
// by any number of goroutines.
type Channel struct{ pairing }

// NewChannel returns a CHANNEL socket. It uses nothing until Bind or Connect; Close it in the end.
func NewChannel(opts ...Option) *Channel {
	s := &Channel{}
	s.pairing.init(zmtp.Channel, opts)
	s.receiver.frames = 1
	return s
}

// Send sends one message of one frame to the peer. It copies the body. While there is no peer, and no endpoint to connect to, or its queue is
// full, it blocks; errors are as for Push.
func (s *Channel) Send(ctx context.Context, body []byte) error { return s.balancer.Send(ctx, body) }

// SendOwned is Send without a copy of a large body (above 32 KiB): it belongs to the socket from the call on, unless that returns an
// error, and must not be changed or used for anything else.
func (s *Channel) SendOwned(ctx context.Context, body []byte) error {
	return s.balancer.send(ctx, nil, [][]byte{body})
}
