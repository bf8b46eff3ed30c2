package pubsub

import (
	"errors"
	"fmt"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// WithLog has a Publisher keep what it publishes in a directory of its own, for subscribers WithDurable: for as long as options.Retention says, which is without end
// if it says nothing. Publish returns when the event is as safe as options.Policy says. See socket.WithSpool. Default: none.
func WithLog(dir string, options spool.Options) patterns.Option {
	return publishing("WithLog", func(c *conf.Config) {
		own(c, socket.WithSpool(dir, options), socket.WithMessageKey(keyOf))
	})
}

// WithLogOn is WithLog with a log that is open already, such as socket.SpoolOf a *spool.Log that the caller reads with [Replay], too. It
// belongs to the Publisher from then on, whose Close closes it.
func WithLogOn(log socket.Spool) patterns.Option {
	return func(c *conf.Config) error {
		if log == nil {
			return fmt.Errorf("%w: WithLogOn(nil): want a log", socket.ErrOption)
		}
		return publishing("WithLogOn", func(c *conf.Config) {
			own(c, socket.WithSpoolOn(log), socket.WithMessageKey(keyOf))
		})(c)
	}
}

// WithLastValues has a Publisher keep the last event of each topic, and tell it to each new subscriber of the topic first of all: what it is subscribed to
// already, in another pattern, it does not get again. A Publisher knows of a pattern what is before its first wildcard: who has subscribed to price.*.tea is subscribed to all that begins
// with price., and finds no last event for price.eu.coffee, or >, if it subscribes to that later. Patterns that were there before Connect and Bind each find theirs; one that comes later and must
// not miss it is for a Subscriber of its own. topics and bytes, of the events as sent, bound what is kept: topics without an event for the longest time go first.
// See socket.WithLastValue. Durable subscribers get what is in the log instead. Default: none.
func WithLastValues(topics, bytes int) patterns.Option {
	return publishing("WithLastValues", func(c *conf.Config) {
		c.Events.Last = true
		own(c, socket.WithLastValue(topics, bytes))
	})
}

// WithSlowSubscribers says what a Publisher does with an event for a subscriber whose queue is full (socket.WithSendHWM): socket.DropNewest, DropOldest, Conflate, which keeps
// the last event only, whatever its topic, Disconnect, or Block, which has Publish wait. All that is dropped is counted, and subscribers with WithGapDetection notice. Default: socket.DropNewest.
func WithSlowSubscribers(policy socket.DropPolicy) patterns.Option {
	return publishing("WithSlowSubscribers", func(c *conf.Config) {
		own(c, socket.WithDropPolicy(policy))
	})
}

// WithSequence has a Publisher number its events, so that subscribers with WithGapDetection learn what they missed. With levels 0 the events of each topic have numbers of
// their own; else those whose topics have the first levels in common, which only subscribers to all of them can tell gaps by: with 1, orders.> misses nothing of
// orders.a.created and orders.b.created unnoticed, of which each may have one event. Events of one numbering are sent one at a time. The Publisher knows up to 10,000
// numberings; then it begins them all anew, and gaps at that moment stay unnoticed. Default: off.
func WithSequence(levels int) patterns.Option {
	return func(c *conf.Config) error {
		if levels < 0 || levels > maxLevels {
			return fmt.Errorf("%w: WithSequence(%d): want 0 to %d levels", socket.ErrOption, levels, maxLevels)
		}
		return publishing("WithSequence", func(c *conf.Config) { c.Events.Numbered, c.Events.Levels = true, levels })(c)
	}
}

// WithGapDetection has a Subscriber watch the numbers of publishers WithSequence. Numbers that are missing are reported to WithOnError as a *GapError when they have
// not come after grace, in which those that took another way may still come; zero reports at once. An event that comes after that, or twice, is handed to no handler, but counted: see
// Subscriber.Gaps. It is for events that are not logged: durable subscriptions tell their gaps as they are. Default: off.
func WithGapDetection(grace time.Duration) patterns.Option {
	return func(c *conf.Config) error {
		if grace < 0 {
			return fmt.Errorf("%w: WithGapDetection(%v): want 0 or more", socket.ErrOption, grace)
		}
		return subscribing("WithGapDetection", func(c *conf.Config) { c.Events.Gaps, c.Events.Grace = true, grace })(c)
	}
}

// WithExactTopics has patterns without wildcards match in full already where the events come from: a Publisher ends its topics on the wire with a zero octet, a Subscriber
// subscribes to that as well, and what is published to orders.eu2 or orders.eu.a is not sent to subscribers of orders.eu. Give it to both. Subscribers without it, those of plain ZeroMQ among them,
// get what they got before, with the octet at the end of the first frame for those of plain ZeroMQ. A Subscriber that has it would get nothing under such patterns of a Publisher that has not: it
// reports that to WithOnError, as an ErrInexact. Default: off; handlers see exact matches either way.
func WithExactTopics() patterns.Option {
	return func(c *conf.Config) error {
		c.Events.Exact = true
		return c.Check("WithExactTopics", conf.Publishing|conf.Subscribing)
	}
}

// WithDurable has a Subscriber go on where its name was, and get what was published while it was away, from publishers WithLog, which others are refused for: see
// socket.WithDurable. from says where a name begins that is new: spool.Beginning, spool.End, spool.At a number, spool.Since a time. Subscribers of one name share its events: each event
// is handled by one of them.
//
// They have the same patterns, whichever of them handles an event, and WithExactTopics all or none. A publisher refuses one whose patterns differ from those of the others that are connected: WithOnError is told so, once until it is let in, as a
// *zmtp.HandshakeError with the Reason zmtp.PeerError, which names what they differ in. It tries again by itself, and gets in when those have changed theirs as well, or have gone. So to upgrade a service to other patterns,
// give them a new name, or stop the old instances: new ones that are there already take over when the last of those has gone. One that is alone may have other patterns than those before it.
// For this a pattern with wildcards is on the wire as a topic of its own, beside what its topics begin with: a publisher's authorizer is asked for both, and both count for its WithMaxSubscriptions.
//
// Events are acknowledged: an event is done with when its handlers return nil. One that fails comes again after a while, or after RetryAfter; a
// Permanent error, an event that does not decode or a type that is not the handler's makes it a dead letter of the publisher's. If several handlers of a Subscriber
// match an event, it is done with when all of them return nil; if one fails, all of them get it again, so that they are to bear that.
//
// patterns.WithPrefetch says how many events a Subscriber may have that are not handled. patterns.WithLease has an event go to another of the name when its handler hangs; those that have come and wait behind
// handlers that all hang stay, at most the prefetch of each publisher, which is the concurrency then unless WithPrefetch says more. With patterns.WithKeyOrder, which all who share a name have or none, events of one key are handled one at a time, in
// their order, by one of them; the key is that of patterns.WithKey, or else the topic. Default: none.
func WithDurable(name string, from spool.Start) patterns.Option {
	return subscribing("WithDurable", func(c *conf.Config) {
		c.Events.Durable = true
		own(c, socket.WithDurable(name, from), socket.WithManualAck())
	})
}

// own sets what those of WithSocketOptions go before.
func own(c *conf.Config, opts ...socket.Option) { c.Socket = append(opts, c.Socket...) }

func publishing(option string, set func(*conf.Config)) patterns.Option {
	return func(c *conf.Config) error {
		set(c)
		return c.Check(option, conf.Publishing)
	}
}

func subscribing(option string, set func(*conf.Config)) patterns.Option {
	return func(c *conf.Config) error {
		set(c)
		return c.Check(option, conf.Subscribing)
	}
}

// contradiction finds options that exclude each other.
func contradiction(e *conf.Events) error {
	switch {
	case e.Last && e.Numbered && e.Levels > 0:
		return fmt.Errorf("%w: WithLastValues and WithSequence(%d) exclude each other: last values of several topics have no numbers without gaps; want WithSequence(0)", socket.ErrOption, e.Levels)
	case e.Durable && e.Gaps:
		return fmt.Errorf("%w: WithDurable and WithGapDetection exclude each other: durable subscriptions are told what is missing", socket.ErrOption)
	}
	return nil
}

// configure is conf.Make and what only pubsub knows.
func configure(maker string, uses conf.Uses, defaults conf.Config, opts []patterns.Option) (conf.Config, error) {
	c, err := conf.Make(maker, uses, defaults, opts)
	return c, errors.Join(err, contradiction(&c.Events))
}

// keyOf is what events are kept in order by: the key of their envelope, or else the topic.
func keyOf(frames [][]byte) []byte {
	if len(frames) < 2 {
		return frames[0]
	}
	var e codec.Envelope
	if e.Decode(frames[1]) != nil {
		return frames[0]
	}
	if key := e.Header(patterns.HeaderKey); key != "" {
		return []byte(key)
	}
	return frames[0]
}
