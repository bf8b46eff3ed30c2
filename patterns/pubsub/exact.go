package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
)

// ErrInexact is reported by a Subscriber WithExactTopics for a publisher that does not end its topics: subscriptions without wildcards get nothing from it.
var ErrInexact = errors.New("publisher without WithExactTopics")

const (
	// topicEnd ends topics on the wire, WithExactTopics. No topic has it within.
	topicEnd = "\x00"
	// topicsProperty is what publishers tell about theirs in the handshake.
	topicsProperty, exactTopics = "X-Mesh-Topics", "exact"
)

// filter returns what the topics that pattern stands for begin with, on the wire.
func filter(pattern string, exact bool) string {
	prefix := prefixOf(pattern)
	if exact && len(prefix) == len(pattern) {
		return prefix + topicEnd
	}
	return prefix
}

// topicOf reads the topic of a message, with its end or without.
func topicOf(frame []byte) (string, error) {
	topic := strings.TrimSuffix(string(frame), topicEnd)
	return topic, CheckTopic(topic)
}

// watch reports publishers that do not end their topics, until ctx ends.
func (s *Subscriber) watch(ctx context.Context) {
	events := s.Sub.Events(ctx)
	told := map[*socket.Peer]bool{}
	look := func(p *socket.Peer) {
		if p == nil || told[p] {
			return
		}
		told[p] = true
		if value, _ := p.Property(topicsProperty); value != exactTopics {
			s.conf.OnError(ctx, patterns.NewError("subscribe", nil, p.Address(), fmt.Errorf("%w: patterns without wildcards get nothing from it", ErrInexact)))
		}
	}
	for _, p := range s.Sub.Stats().Peers {
		look(p.Peer)
	}
	for e := range events {
		switch e.Kind {
		case socket.Connected:
			look(e.Peer)
		case socket.Disconnected:
			delete(told, e.Peer)
		}
	}
}
