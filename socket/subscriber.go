package socket

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/meshmq/meshmq/socket/internal/route"
	"github.com/meshmq/meshmq/transport/zmtp"
)

func errNotSubscribed(topic []byte) error {
	return fmt.Errorf("%w: not subscribed to %q", ErrState, topic)
}

// subscriber is what SUB and XSUB want, and DISH with groups: a counted set of topic prefixes, of which every publisher is told. It is told
// again in full after a reconnect, outside the high-water marks.
type subscriber struct {
	c   *core
	add func(dst []byte, minor byte, topic []byte) []byte // appends what asks for a topic

	all atomic.Bool // the empty topic is subscribed to: every message is wanted; written under mu

	mu      sync.Mutex // guards the fields below; taken under receiver.mu
	topics  route.Prefixes
	peers   map[*pipe]*told
	version uint64        // of topics, which changes with each of them
	waiting int           // calls of WaitSubscribed
	changed chan struct{} // closed and replaced when a publisher has confirmed, or peers changes
	closed  bool
}

func (s *subscriber) init(c *core) {
	s.c, s.add, s.peers, s.changed = c, zmtp.AppendSubscribe, map[*pipe]*told{}, make(chan struct{})
}

// Subscribe asks publishers, present and future, for messages whose first frame starts with one of the topics; the empty
// topic matches everything. Subscriptions are counted: a topic subscribed to twice is to be unsubscribed twice. A topic that is longer than WithMaxTopic
// allows, and more of them than WithMaxSubscriptions does, are ErrTooLarge, and then none of the topics is subscribed to.
func (s *subscriber) Subscribe(topics ...string) error {
	left := len(topics)
	return s.change("subscribe", topics, func(topic []byte) (tell bool, err error) {
		left--
		if err := s.c.cfg.manyTopics(s.topics.Len() + left); err != nil { // so not the second one, if the first was not too many
			return false, &Error{Op: "subscribe", Err: err}
		}
		return s.topics.Add(topic), nil
	}, zmtp.AppendSubscribe)
}

// Unsubscribe takes subscriptions back. It is ErrState to take back what was not subscribed to. Messages of the topic that have
// arrived already are not returned by Sub any more. WithDurable they are done with, but with the last topic of all they go back, for whoever of the name subscribes next.
func (s *subscriber) Unsubscribe(topics ...string) error {
	return s.change("unsubscribe", topics, func(topic []byte) (tell bool, err error) {
		last, known := s.topics.Remove(topic)
		if !known {
			return false, &Error{Op: "unsubscribe", Err: errNotSubscribed(topic)}
		}
		return last, nil
	}, zmtp.AppendCancel)
}

// change applies each topic and tells the publishers of those that changed from or to none. Trap 6, RFC 37: subscriptions
// are additive for some publishers and not for others; telling each edge once is right for both.
func (s *subscriber) change(op string, topics []string, apply func([]byte) (bool, error), frame func([]byte, byte, []byte) []byte) error {
	if err := s.c.usable(); err != nil {
		return &Error{Op: op, Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return &Error{Op: op, Err: ErrClosed}
	}
	for _, topic := range topics {
		if err := s.c.cfg.longTopic(len(topic)); err != nil {
			return &Error{Op: op, Err: err}
		}
	}
	defer s.askLocked()
	defer s.resumeLocked()
	for _, topic := range topics {
		tell, err := apply([]byte(topic))
		if err != nil {
			return err
		}
		s.all.Store(s.topics.Has(nil) && !s.c.cfg.invert)
		if !tell && !s.c.cfg.verboseUnsubscribe {
			continue
		}
		s.version++
		for p, t := range s.peers {
			if t.deaf {
				continue
			}
			p.out.Control(frame(nil, p.peer.Load().minor, []byte(topic)), false)
		}
	}
	return nil
}

// attach tells a publisher all topics. RFC 13: subscribers of ZMTP 1.0 say nothing.
func (s *subscriber) attach(p *pipe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	minor := p.peer.Load().minor
	t := &told{deaf: p.peer.Load().major == 1, mute: minor == 0 && !p.conn.Pings()}
	s.peers[p] = t
	if t.deaf {
		s.changedLocked()
		return
	}
	var frames []byte
	s.topics.Each(func(topic []byte, times int) {
		if !s.c.cfg.verboseUnsubscribe {
			times = 1
		}
		for range times {
			frames = s.add(frames, minor, topic)
		}
	})
	if len(frames) > 0 {
		p.out.Control(frames, false)
	}
	s.changedLocked()
	s.resumeLocked()
	s.askLocked()
}

func (s *subscriber) detach(p *pipe) {
	s.mu.Lock()
	delete(s.peers, p)
	s.changedLocked()
	s.mu.Unlock()
}

func (s *subscriber) stop() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
}

// has is the filter of DISH.
func (s *subscriber) has(topic []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topics.Has(topic)
}

// wants is the filter of SUB.
func (s *subscriber) wants(topic []byte) bool {
	if s.all.Load() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topics.Match(topic) != s.c.cfg.invert
}

// stands reports, as of one moment, whether messages of a topic are wanted, and whether any are.
func (s *subscriber) stands(topic []byte) (wanted, others bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topics.Match(topic) != s.c.cfg.invert, s.topics.Len() > 0
}

// TopicCount returns how many different topics the socket is subscribed to (ZMQ_TOPICS_COUNT).
func (s *subscriber) TopicCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topics.Len()
}

// Topics returns the topics the socket is subscribed to, each once, in order.
func (s *subscriber) Topics() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sortedTopics(s.topics.Len(), func(yield func([]byte)) {
		s.topics.Each(func(topic []byte, _ int) { yield(topic) })
	})
}
