package socket

import "github.com/meshmq/meshmq/transport/zmtp"

// Pair talks to exactly one PAIR peer (RFC 31). A second peer is refused while the first is connected, or
// while there is an endpoint to connect to. It is safe for use by any number of goroutines.
type Pair struct{ pairing }

// NewPair returns a PAIR socket. It uses nothing until Bind or Connect; Close it in the end.
func NewPair(opts ...Option) *Pair {
	s := &Pair{}
	s.pairing.init(zmtp.Pair, opts)
	return s
}
