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
// # Wire
//
//	+----------+
//	| envelope |    one frame, see codec.Envelope; type: the name of the value's type
//	+----------+
//
// Goroutines: Worker.Run has its caller's and concurrency-1 more, which end before it returns.
package pushpull
