package socket

import (
	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// XPub is a PUB that also receives (RFC 29, XPUB): subscriptions as messages of one frame, 1 or 0 and the topic, and what
// XSUB peers send. Only the first subscription to a topic and the last cancellation of it are
// shown, unless WithVerbose is given; a peer that leaves cancels what it had. It is safe for use by any number of goroutines.
type XPub struct {
	core
	fanout
	receiver
}

// NewXPub returns an XPUB socket. It uses nothing until Bind or Connect; Close it in the end.
func NewXPub(opts ...Option) *XPub {
	s := &XPub{}
	s.core.init(zmtp.XPub, s, opts)
	s.fanout.init(&s.core)
	s.receiver.init(&s.core)
	s.receiver.notes = newPipe(&s.core, "", nil)
	s.fanout.show = s.noteTopic
	return s
}

func (s *XPub) attach(p *pipe) error {
	s.receiver.attach(p)
	return nil
}

func (s *XPub) detach(p *pipe) {
	s.forget(p)
	s.receiver.detach(p)
}

func (s *XPub) forget(p *pipe)          { s.fanout.remove(p) }
func (s *XPub) room(p *pipe)            { s.fanout.room(p) }
func (s *XPub) stopSending(err error)   { s.fanout.stopSending(err) }
func (s *XPub) stopReceiving(err error) { s.receiver.stopReceiving(err) }

func (s *XPub) command(p *pipe, name, data []byte) { s.fanout.command(p, name, data) }

// noteTopic has Recv return a subscription or cancellation.
func (s *XPub) noteTopic(p *pipe, topic []byte, first byte) {
	s.receiver.note(p, link.One(append([]byte{first}, topic...)))
}

// deliver takes the subscriptions of ZMTP 3.0 peers, which are messages, and passes the others on.
func (s *XPub) deliver(p *pipe, b link.Batch) {
	eachMessage(b, func(frames [][]byte) {
		if topic, added, ok := asSubscription(frames); ok {
			s.fanout.subscribe(p, topic, added)
		} else {
			s.receiver.deliver(p, link.One(frames...))
		}
	})
}
