package socket

import (
	"context"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Pair talks to exactly one PAIR peer (RFC 31). A second peer is refused while the first is connected, or
// while there is an endpoint to connect to. It is safe for use by any number of goroutines.
type Pair struct{ pairing }

// NewPair returns a PAIR socket. It uses nothing until Bind or Connect; Close it in the end.
func NewPair(opts ...Option) *Pair {
	s := &Pair{}
	s.pairing.init(zmtp.Pair, opts)
	return s
}

// SendOwned is Send without a copy of large frames (above 32 KiB): they belong to the socket from the call on, unless it returns an
// error, and must not be changed or used for anything else.
func (s *Pair) SendOwned(ctx context.Context, frames ...[]byte) error {
	return s.balancer.send(ctx, nil, frames)
}
