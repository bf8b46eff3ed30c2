package pubsub

import (
	"errors"
	"strings"
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

// topics returns what publishers are asked for: the filter, and WithDurable a pattern with wildcards itself, behind it. No topic begins with that; it is there for publishers to see whether all of a name
// want the same.
func (sub *Subscription) topics() []string {
	if sub.sub.conf.Events.Durable && strings.ContainsAny(sub.pattern, "*>") {
		return []string{sub.filter, sub.pattern}
	}
	return []string{sub.filter}
}

// topicOf reads the topic of a message, with its end or without.
func topicOf(frame []byte) (string, error) {
	topic := strings.TrimSuffix(string(frame), topicEnd)
	return topic, CheckTopic(topic)
}
