// Package pubsub tells events to whoever wants to know: what a [Publisher] publishes under a topic reaches every
// [Subscriber] with a pattern that stands for it.
//
// A topic is a path of levels, orders.eu.created. In a pattern '*' stands for one level and '>' for the rest:
// orders.*.created, orders.>. The publisher sends to a subscriber only what begins like one of its
// patterns, up to the first wildcard; the subscriber sorts out the rest, so handlers see exact matches.
// Package patterns says what a message carries and what becomes of one that fails.
//
// # What may be relied on
//
// Publish does not wait for subscribers: one that is not connected yet, or not any more, misses the event, and one
// that is too slow loses what does not fit its queue, which the publisher's Stats and Events tell, as they do of one that is larger than the subscriber takes (socket.WithMaxMessageSize); WithSlowSubscribers has others say.
// WaitSubscribers waits for those who must not miss the first, and WithLastValues tells newcomers the last event of each topic. A subscriber gets the events of
// one publisher in order, each at most once.
//
// Where links lose events, WithSequence has publishers number them and WithGapDetection subscribers notice what is missing: a *GapError with the range. A publisher that
// began anew has another numbering, which is no gap.
//
// # Durable names
//
// A publisher WithLog keeps its events, and a subscriber WithDurable gets what it missed, from where its name was, or from a beginning, an end, a number or a time if
// the name is new. Its events are acknowledged: they are handled at least once, come again when a handler fails, and are dead letters of the publisher's (patterns.WithDeadLetters) when that does
// not help. Several subscribers of one name, with the same patterns, share its events; patterns.WithKeyOrder keeps those of a key in order among them. What left the log before it was
// delivered, because retention is less than the time away, is a *socket.MissedError with the range, reported before what follows. To build a
// model anew, use a new name, or [Replay] where the log is.
//
// socket/GUARANTEES.md says what is behind that.
//
// # Errors
//
// Topics and patterns that are malformed are ErrTopic where they are used. What is reported to WithOnError: events that do not decode (ErrMalformed), are of another type (ErrType) or version,
// have expired (ErrExpired), whose handler failed or panicked; events of publishers other than these that are too large, which end the connection (socket.ErrTooLarge); gaps (ErrGap, socket.ErrMissed); publishers that lack WithExactTopics (ErrInexact), and those that refuse a durable name (*zmtp.HandshakeError). Each is counted: Counts, Gaps, Stats.
//
// # Wire
//
//	+-------+----------+
//	| topic | envelope |    two frames, see codec.Envelope; type: the name of the value's type
//	+-------+----------+
//
// WithExactTopics ends the topic with a zero octet, WithSequence adds a third frame. Subscribers take all forms.
//
// Goroutines: Subscriber.Run has its caller's and concurrency-1 more, one more with patterns.WithKeyOrder and one WithExactTopics or WithDurable, and one that reports events that are too large, which end before it returns; a timer of WithGapDetection
// reports gaps, and is awaited by Run.
package pubsub
