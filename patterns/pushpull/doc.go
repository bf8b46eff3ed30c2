// Package pushpull hands work to workers: each value that a [Producer] sends goes to one [Worker].
//
// A Producer deals its messages out in turn over the workers it is connected to, and blocks while none
// has room. Any number of producers and workers may be connected, and either side may bind. Package
// patterns says what a message carries and what becomes of one that fails.
//
// # What may be relied on
//
// Send returning nil means that the message is queued for one worker. It arrives there unless that
// worker or the connection dies first; no message is handed out twice. A worker whose concurrency
// is 1, the default, handles the messages of one producer in the order they were sent to it.
// Worker.Shutdown handles all that had arrived. What is queued for a worker that leaves unannounced stays with the producer: for
// the endpoint, if it connected there, until that is back; otherwise it is dropped, counted and reported.
// To lose nothing, let the producers leave first: see Worker.Drain.
//
// Workers tell producers what they take at most (socket.WithPeerLimits): Send is socket.ErrTooLarge for what no connected worker does. A message above that from others, or
// queued before the worker was known, ends the connection; the worker reports it to WithOnError and counts it as malformed.
//
// # With acknowledgements
//
// patterns.WithAtLeastOnce at both ends has the handler's result decide: nil acknowledges, an error has the message sent again after a pause with
// jitter, patterns.RetryAfter after the one it names, patterns.Permanent makes it a dead letter at once, as does what does not decode. The
// producer keeps a message until then, so Send blocks once workers have their prefetch. A message stays with its worker for as long as that lives, however slow its handler is, unless
// patterns.WithLease bounds that: then it goes to another when the handler has neither returned nor called patterns.Extend in time. What has come and waits behind handlers that all hang stays with them, at most
// the prefetch of each producer, which with a lease is the concurrency unless patterns.WithPrefetch says more. What a worker has not acknowledged when it ends goes to another, and so is handled twice at times:
// patterns.WithWindow remembers on disk what was handled. One that its worker ends with, at each attempt, is a dead letter as well (socket.WithAttempts); a worker
// that is shut down or closed costs its messages no attempt.
//
// patterns.WithSpool keeps what was sent on the producer's disk, dead letters too (Producer.DeadLetters, Replay, Purge, whatever type they are of), and in the folder "delayed"
// of it, a spool of its own with dead letters of its own, what is to be sent later (patterns.WithDelay).
//
// patterns.WithKeyOrder and WithPriorities have a worker choose among the messages that are here, as many as its prefetch.
//
// # Wire
//
//	+----------+
//	| envelope |    one frame, see codec.Envelope; type: the name of the value's type
//	+----------+
//
// Goroutines: Worker.Run has its caller's and concurrency-1 more, or with an order of its own as many as the concurrency, and one that reports what is too large, which end before it returns. A
// Producer that delays messages has one, which Close and Shutdown end and await.
package pushpull
