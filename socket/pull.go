package socket

import (
	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Pull receives messages from PUSH peers, taking turns over them (RFC 30, PULL). It is safe for use by any number of
// goroutines; each message is returned to one of them.
type Pull struct {
	core
	receiver
}

// NewPull returns a PULL socket. It uses nothing until Bind or Connect; Close it in the end.
func NewPull(opts ...Option) *Pull {
	s := &Pull{}
	s.core.init(zmtp.Pull, s, opts)
	s.receiver.init(&s.core)
	return s
}

func (s *Pull) attach(p *pipe) error          { s.receiver.attach(p); return nil }
func (s *Pull) detach(p *pipe)                { s.receiver.detach(p) }
func (s *Pull) deliver(p *pipe, b link.Batch) { s.receiver.deliver(p, b) }
func (s *Pull) stopReceiving(err error)       { s.receiver.stopReceiving(err) }
