package socket

import (
	"errors"
	"fmt"
	"sync"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Pair talks to exactly one PAIR peer (RFC 31). A second peer is refused while the first is connected, or
// while there is an endpoint to connect to. It is safe for use by any number of goroutines.
type Pair struct {
	core
	balancer
	receiver

	holdMu sync.Mutex // guards only
	only   *pipe
}

var errPaired = errors.New("refused: this PAIR socket has its peer")

// NewPair returns a PAIR socket. It uses nothing until Bind or Connect; Close it in the end.
func NewPair(opts ...Option) *Pair {
	s := &Pair{}
	s.core.init(zmtp.Pair, s, opts)
	s.balancer.init(&s.core)
	s.receiver.init(&s.core)
	s.queueing = !s.cfg.immediate
	return s
}

// hold makes p the only peer, if there is none.
func (s *Pair) hold(p *pipe) bool {
	s.holdMu.Lock()
	defer s.holdMu.Unlock()
	if s.only == nil {
		s.only = p
	}
	return s.only == p
}

// release lets the next peer in, unless p is the endpoint to connect to.
func (s *Pair) release(p *pipe) {
	if p.dialer == nil || !s.queueing {
		s.letGo(p)
	}
}

func (s *Pair) letGo(p *pipe) {
	s.holdMu.Lock()
	if s.only == p {
		s.only = nil
	}
	s.holdMu.Unlock()
}

func (s *Pair) enroll(p *pipe) error {
	if !s.hold(p) {
		return fmt.Errorf("%w: a PAIR socket has one peer, and this one has it", ErrState)
	}
	return s.balancer.enroll(p)
}

func (s *Pair) reserve(p *pipe) error {
	if !s.hold(p) {
		return errPaired
	}
	return nil
}

func (s *Pair) attach(p *pipe) error {
	s.balancer.attach(p)
	s.receiver.attach(p)
	return nil
}

func (s *Pair) detach(p *pipe) {
	s.balancer.detach(p)
	s.receiver.detach(p)
	s.release(p)
}

func (s *Pair) forget(p *pipe) {
	s.balancer.forget(p)
	s.letGo(p)
}

func (s *Pair) room(p *pipe)                  { s.balancer.room(p) }
func (s *Pair) deliver(p *pipe, b link.Batch) { s.receiver.deliver(p, b) }
func (s *Pair) stopSending(err error)         { s.balancer.stopSending(err) }
func (s *Pair) stopReceiving(err error)       { s.receiver.stopReceiving(err) }
