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
// that is too slow loses what does not fit its queue, which the publisher's Stats and Events tell.
// WaitSubscribers waits for those who must not miss the first. A subscriber gets the events of
// one publisher in order, each once.
//
// # Wire
//
//	+-------+----------+
//	| topic | envelope |    two frames, see codec.Envelope; type: the name of the value's type
//	+-------+----------+
//
// Goroutines: Subscriber.Run has its caller's and concurrency-1 more, which end before it returns.
package pubsub
