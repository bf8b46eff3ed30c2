package socket

import (
	"context"
	"fmt"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// P2P is ZeroMQ's PEER socket (RFC 51): it talks to other PEER sockets by number, as a Server does to its clients, and is the same at both
// ends. Messages have one frame; others that arrive are dropped and counted (DropMalformed). It is safe for use by any number of goroutines.
type P2P struct{ numbered }

// NewP2P returns a PEER socket. It uses nothing until Bind or Connect; Close it in the end.
func NewP2P(opts ...Option) *P2P {
	s := &P2P{}
	s.numbered.init(zmtp.PeerType, s, opts)
	return s
}

// ConnectPeer is Connect that returns the number of the peer at endpoint, for Send (zmq_connect_peer). The number is good at once, messages
// are queued until there is a connection; it stays the same through reconnects, until Disconnect. Connecting again
// to the same endpoint returns the same number.
func (s *P2P) ConnectPeer(endpoint string) (uint32, error) {
	if err := s.Connect(endpoint); err != nil {
		return 0, err
	}
	s.core.mu.Lock()
	defer s.core.mu.Unlock()
	d := s.dialers[endpoint]
	if d == nil {
		return 0, &Error{Op: "connect", Endpoint: endpoint, Err: fmt.Errorf("%w: disconnected meanwhile", ErrState)}
	}
	return d.pipe.number, nil
}

// SendOwned is Send without a copy of a large body (above 32 KiB): it belongs to the socket from the call on, unless that returns an
// error, and must not be changed or used for anything else.
func (s *P2P) SendOwned(ctx context.Context, id uint32, body []byte) error {
	return s.numbered.send(ctx, id, nil, [][]byte{body})
}
