package socket

import (
	"context"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Server talks to CLIENT peers by number (RFC 41, SERVER): Msg.RoutingID of a message received is what Send takes to answer it. Messages have
// one frame; others that arrive are dropped and counted (DropMalformed). It is safe for use by any number of goroutines, who may answer the
// messages of a peer in any order.
type Server struct{ numbered }

// NewServer returns a SERVER socket. It uses nothing until Bind or Connect; Close it in the end.
func NewServer(opts ...Option) *Server {
	s := &Server{}
	s.numbered.init(zmtp.Server, s, opts)
	return s
}

// SendOwned is Send without a copy of a large body (above 32 KiB): it belongs to the socket from the call on, unless that returns an
// error, and must not be changed or used for anything else.
func (s *Server) SendOwned(ctx context.Context, id uint32, body []byte) error {
	return s.numbered.send(ctx, id, nil, [][]byte{body})
}
