package socket

import (
	"fmt"
	"sync"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// pairing is what PAIR and CHANNEL share: there is exactly one peer (RFC 31, RFC 52).
type pairing struct {
	core
	balancer
	receiver

	holdMu sync.Mutex // guards only
	only   *pipe
}

func (s *pairing) init(typ zmtp.SocketType, opts []Option) {
	s.core.init(typ, s, opts)
	s.balancer.init(&s.core)
	s.receiver.init(&s.core)
	s.queueing = !s.cfg.immediate
}

// hold makes p the only peer, if there is none.
func (s *pairing) hold(p *pipe) bool {
	s.holdMu.Lock()
	defer s.holdMu.Unlock()
	if s.only == nil {
		s.only = p
	}
	return s.only == p
}

// release lets the next peer in, unless p is the endpoint to connect to.
func (s *pairing) release(p *pipe) {
	if p.dialer == nil || !s.queueing {
		s.letGo(p)
	}
}

func (s *pairing) letGo(p *pipe) {
	s.holdMu.Lock()
	if s.only == p {
		s.only = nil
	}
	s.holdMu.Unlock()
}

func (s *pairing) enroll(p *pipe) error {
	if !s.hold(p) {
		return fmt.Errorf("%w: a %s socket has one peer, and this one has it", ErrState, s.typ)
	}
	return s.balancer.enroll(p)
}

func (s *pairing) reserve(p *pipe) error {
	if !s.hold(p) {
		return &limitError{fmt.Errorf("refused: this %s socket has its peer", s.typ), RefusedPeers}
	}
	return nil
}

func (s *pairing) attach(p *pipe) error {
	s.balancer.attach(p)
	s.receiver.attach(p)
	return nil
}

func (s *pairing) detach(p *pipe) {
	s.balancer.detach(p)
	s.receiver.detach(p)
	s.release(p)
}

func (s *pairing) forget(p *pipe) {
	s.balancer.forget(p)
	s.letGo(p)
}

func (s *pairing) room(p *pipe)                  { s.balancer.room(p) }
func (s *pairing) deliver(p *pipe, b link.Batch) { s.receiver.deliver(p, b) }
func (s *pairing) stopSending(err error)         { s.balancer.stopSending(err) }
func (s *pairing) stopReceiving(err error)       { s.receiver.stopReceiving(err) }
