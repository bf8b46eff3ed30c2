package socket

import (
	"errors"
	"fmt"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// ErrForbidden is what the Err of an event is when an authorizer refused a subscription or a message.
var ErrForbidden = errors.New("forbidden by the authorizer")

// rightsConfig is what options set about what peers that have come in may do.
type rightsConfig struct {
	topicAuthorizer   func(peer *Peer, topic []byte) error
	publishAuthorizer func(peer *Peer, topic []byte) error
	hangUpOnForbidden bool
}

func (c *config) checkRights() error {
	if c.hangUpOnForbidden && c.topicAuthorizer == nil && c.publishAuthorizer == nil {
		return fmt.Errorf("%w: WithDisconnectForbidden without WithTopicAuthorizer or WithPublishAuthorizer", ErrOption)
	}
	return nil
}

// permits asks whether a peer may have a subscription.
func (p *pipe) permits(topic []byte) bool {
	peer := p.peer.Load()
	err := p.c.cfg.topicAuthorizer(peer, topic)
	if err == nil {
		return true
	}
	err = fmt.Errorf("%w: %w", ErrForbidden, err)
	p.c.unlawful.Add(1)
	if p.c.hub.active.Load() {
		p.c.hub.emit(Event{Kind: Forbidden, Endpoint: p.endpoint, Peer: peer, Topic: string(topic), Err: err})
	}
	if p.c.cfg.hangUpOnForbidden {
		p.kill(fmt.Errorf("subscription to %.80q: %w", topic, err))
	}
	return false
}

// sift takes out what a peer may not send.
func (p *pipe) sift(b *link.Batch) {
	peer := p.peer.Load()
	var last error
	n := b.Keep(func(topic []byte) bool {
		err := p.c.cfg.publishAuthorizer(peer, topic)
		if err != nil && p.c.cfg.hangUpOnForbidden {
			last = fmt.Errorf("message on %.80q: %w: %w", topic, ErrForbidden, err)
		}
		return err == nil
	})
	p.c.drop(p, DropForbidden, n)
	if last != nil {
		p.kill(last)
	}
}

// WithTopicAuthorizer has authorize decide which topics a peer of PUB or XPUB may subscribe to, and which groups one of RADIO may join. An error
// refuses the subscription: it is as if the peer had not asked, which counts in Stats.Forbidden and is a Forbidden
// event. A subscription is for all topics that begin with it, so an empty one is for everything. With WithManual it comes before what
// the application grants.
//
// It is called for each SUBSCRIBE and JOIN, on the goroutine that reads from the peer, of many peers at once; meanwhile nothing else is read
// from that peer. It must not use the socket. The topic is only valid during the call. Go by what the peer has proved to be, Peer.UserID, Peer.PublicKey,
// Peer.TLSName, and not by its identity, which anybody can make up. Default: all topics are for everybody.
func WithTopicAuthorizer(authorize func(peer *Peer, topic []byte) error) Option {
	if authorize == nil {
		return func(*config) error { return bad("WithTopicAuthorizer", "nil", "want a function") }
	}
	return only("WithTopicAuthorizer", func(c *config) { c.topicAuthorizer = authorize }, zmtp.Pub, zmtp.XPub, zmtp.Radio)
}

// WithPublishAuthorizer has authorize decide which messages SUB, XSUB, DISH, PULL and GATHER take from a peer, by the topic: the first frame, which for
// DISH is the group. One that it has an error for is dropped and counted (DropForbidden). It is called for each message, on the goroutine that reads from the
// peer, which may be a caller of Recv; the rest is as with WithTopicAuthorizer. Default: all is taken.
//
// There is none for REP, DEALER, ROUTER, SERVER and their like: their messages have no topics, and a request that is dropped would leave who asked without
// a word. Look at Msg.Peer, which says who sent it, and answer no.
func WithPublishAuthorizer(authorize func(peer *Peer, topic []byte) error) Option {
	if authorize == nil {
		return func(*config) error { return bad("WithPublishAuthorizer", "nil", "want a function") }
	}
	return only("WithPublishAuthorizer", func(c *config) { c.publishAuthorizer = authorize },
		zmtp.Sub, zmtp.XSub, zmtp.Dish, zmtp.Pull, zmtp.Gather)
}

// WithDisconnectForbidden ends the connection of a peer that does what the authorizers refuse: it is not only curious then. The reason is in the Disconnected event,
// as ErrForbidden. Default: it stays.
func WithDisconnectForbidden() Option {
	return func(c *config) error {
		c.hangUpOnForbidden = true
		return nil
	}
}
