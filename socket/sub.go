package socket

import (
	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Sub receives what PUB and XPUB peers publish under the topics it subscribed to (RFC 29, SUB). It is safe for use by
// any number of goroutines; each message is returned to one of them.
type Sub struct {
	core
	receiver
	subscriber
}

// NewSub returns a SUB socket, which receives nothing before Subscribe. It uses nothing until Bind or Connect; Close
// it in the end.
func NewSub(opts ...Option) *Sub {
	s := &Sub{}
	s.core.init(zmtp.Sub, s, opts)
	s.receiver.init(&s.core)
	s.subscriber.init(&s.core)
	s.receiver.wanted, s.receiver.all, s.receiver.stands = s.subscriber.wants, &s.subscriber.all, s.subscriber.stands
	return s
}

func (s *Sub) attach(p *pipe) error {
	s.receiver.attach(p)
	s.subscriber.attach(p)
	return nil
}

func (s *Sub) detach(p *pipe) {
	s.subscriber.detach(p)
	s.receiver.detach(p)
}

func (s *Sub) forget(p *pipe)                     { s.subscriber.detach(p) }
func (s *Sub) deliver(p *pipe, b link.Batch)      { s.receiver.deliver(p, b) }
func (s *Sub) command(p *pipe, name, data []byte) { s.subscriber.command(p, name, data) }
func (s *Sub) stopSending(error)                  { s.subscriber.stop() }
func (s *Sub) stopReceiving(err error)            { s.receiver.stopReceiving(err) }
