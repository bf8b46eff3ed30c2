package socket

import (
	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Gather receives messages of one frame from SCATTER peers, taking turns over them (RFC 49, GATHER). Messages of several frames are
// dropped and counted (DropMalformed). It is safe for use by any number of goroutines; each message is returned to one of them.
type Gather struct {
	core
	receiver
}

// NewGather returns a GATHER socket. It uses nothing until Bind or Connect; Close it in the end.
func NewGather(opts ...Option) *Gather {
	s := &Gather{}
	s.core.init(zmtp.Gather, s, opts)
	s.receiver.init(&s.core)
	s.receiver.frames = 1
	return s
}

func (s *Gather) attach(p *pipe) error          { s.receiver.attach(p); return nil }
func (s *Gather) detach(p *pipe)                { s.receiver.detach(p) }
func (s *Gather) deliver(p *pipe, b link.Batch) { s.receiver.deliver(p, b) }
func (s *Gather) stopReceiving(err error)       { s.receiver.stopReceiving(err) }
