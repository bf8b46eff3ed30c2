package socket

import (
	"context"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// XPub is a PUB that also receives (RFC 29, XPUB): subscriptions as messages of one frame, 1 or 0 and the topic, and what
// XSUB peers send. Only the first subscription to a topic and the last cancellation of it are
// shown, unless WithVerbose is given; a peer that leaves cancels what it had. Call Recv: while as many of them wait as WithRecvHWM says, peers
// that subscribe to more are read no further. Pub is for who does not want them. It is safe for use by any number of goroutines.
type XPub struct {
	core
	fanout
	archive
	lastValues
	receiver
}

// NewXPub returns an XPUB socket. It uses nothing until Bind or Connect; Close it in the end.
func NewXPub(opts ...Option) *XPub {
	s := &XPub{}
	s.core.init(zmtp.XPub, s, opts)
	s.fanout.init(&s.core)
	s.archive.init(&s.fanout)
	s.lastValues.init(&s.fanout)
	s.receiver.init(&s.core)
	s.receiver.notes = newPipe(&s.core, "", nil)
	s.fanout.show = s.noteTopic
	return s
}

func (s *XPub) attach(p *pipe) error {
	s.fanout.attach(p) // first: with the receiver's a caller of Recv may read subscriptions
	s.receiver.attach(p)
	return nil
}

func (s *XPub) detach(p *pipe) {
	s.forget(p)
	s.archive.detach(p)
	s.receiver.detach(p)
}

func (s *XPub) forget(p *pipe)          { s.fanout.remove(p) }
func (s *XPub) room(p *pipe)            { s.fanout.room(p) }
func (s *XPub) stopSending(err error)   { s.fanout.stopSending(err) }
func (s *XPub) stopReceiving(err error) { s.receiver.stopReceiving(err) }

func (s *XPub) command(p *pipe, name, data []byte) { s.fanout.command(p, name, data) }

// SendTo sends one message to one subscriber alone, whatever that is subscribed to: the last value of a topic to one that is new to it,
// for example (ZMQ_XPUB_MANUAL_LAST_VALUE). The peer is that of a message or of an event; it is ErrPeerGone when it is not connected
// any more. A SUB returns only what it subscribed to. Where Send would drop the message, SendTo returns ErrFull and has sent nothing.
func (s *XPub) SendTo(ctx context.Context, peer *Peer, frames ...[]byte) error {
	return s.fanout.sendTo(ctx, peer, frames)
}

// Grant subscribes a peer to topics, with WithManual (ZMQ_SUBSCRIBE on an XPUB). The peer is the one whose subscription Recv returned: Msg.Peer. The topics need not be
// those that it asked for, but a SUB returns only what it did. They are counted, as in Subscribe, and end with the connection. A
// peer that is not connected any more is ErrPeerGone, XPUB without WithManual ErrState, too many topics or too long ones ErrTooLarge.
func (s *XPub) Grant(peer *Peer, topics ...string) error { return s.fanout.grant(peer, topics) }

// Revoke takes back what Grant gave (ZMQ_UNSUBSCRIBE on an XPUB). A topic that the peer was not granted is ErrState.
func (s *XPub) Revoke(peer *Peer, topics ...string) error { return s.fanout.revoke(peer, topics) }

// noteTopic has Recv return a subscription or cancellation.
func (s *XPub) noteTopic(p *pipe, topic []byte, first byte) {
	s.receiver.note(p, link.One(append([]byte{first}, topic...)))
}

// deliver takes the subscriptions of ZMTP 3.0 peers, which are messages, and passes the others on.
func (s *XPub) deliver(p *pipe, b link.Batch) {
	eachMessage(b, func(frames [][]byte) {
		if topic, added, ok := asSubscription(frames, s.cfg.onlyFirstSubscribe); ok {
			s.fanout.subscribe(p, topic, added)
			frames = frames[1:]
		}
		if len(frames) > 0 {
			s.receiver.deliver(p, link.One(frames...))
		}
	})
}
