package socket

import (
	"context"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Pub publishes messages to SUB and XSUB peers by the prefix of the first frame (RFC 29, PUB). It is safe for use by
// any number of goroutines.
type Pub struct {
	core
	fanout
	archive
	lastValues
}

// NewPub returns a PUB socket. It uses nothing until Bind or Connect; Close it in the end.
func NewPub(opts ...Option) *Pub {
	s := &Pub{}
	s.core.init(zmtp.Pub, s, opts)
	s.fanout.init(&s.core)
	s.archive.init(&s.fanout)
	s.lastValues.init(&s.fanout)
	return s
}

func (s *Pub) attach(p *pipe) error  { s.fanout.attach(p); return nil }
func (s *Pub) forget(p *pipe)        { s.fanout.remove(p) }
func (s *Pub) room(p *pipe)          { s.fanout.room(p) }
func (s *Pub) stopSending(err error) { s.fanout.stopSending(err) }

func (s *Pub) detach(p *pipe) {
	s.fanout.remove(p)
	s.archive.detach(p)
}

func (s *Pub) command(p *pipe, name, data []byte) { s.fanout.command(p, name, data) }

// SendTo sends one message to one subscriber alone, whatever that is subscribed to: the last value of a topic to one that is new to it,
// for example. The peer is that of a Subscribed event; it is ErrPeerGone when it is not connected
// any more. A SUB returns only what it subscribed to. Where Send would drop the message, SendTo returns ErrFull and has sent nothing.
func (s *Pub) SendTo(ctx context.Context, peer *Peer, frames ...[]byte) error {
	return s.fanout.sendTo(ctx, peer, frames)
}

// deliver takes the subscriptions of ZMTP 3.0 peers, which are messages. RFC 29: PUB discards all others.
func (s *Pub) deliver(p *pipe, b link.Batch) {
	eachMessage(b, func(frames [][]byte) {
		if topic, added, ok := asSubscription(frames, false); ok {
			s.fanout.subscribe(p, topic, added)
		} else {
			s.drop(p, DropUnwanted, 1)
		}
	})
}

// eachMessage decodes a batch on the spot.
func eachMessage(b link.Batch, yield func(frames [][]byte)) {
	var slab link.Slab
	for b.Msgs > 0 {
		frames, _ := b.Next(&slab, 0)
		yield(frames)
	}
}

// asSubscription reads the message form of a subscription (RFC 23): 1 or 0, and the topic. It is a message of one frame, or
// with first the first frame of any.
func asSubscription(frames [][]byte, first bool) (topic []byte, added, ok bool) {
	if len(frames) != 1 && !(first && len(frames) > 1) || len(frames[0]) == 0 || frames[0][0] > 1 {
		return nil, false, false
	}
	return frames[0][1:], frames[0][0] == 1, true
}
