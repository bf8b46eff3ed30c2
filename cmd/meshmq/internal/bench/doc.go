// Package bench is the work of `meshmq bench`: it measures sockets against each other on this machine. The near side is this process; the
// far side is another process of the same program, or a goroutine where both are to share one.
//
//	pattern      near side           far side           measured
//	throughput   PULL                PUSH               messages received in a time
//	fanin        PULL                many PUSH          the same
//	fanout       PUB, drops nothing  many SUB           messages received by all of them in a time
//	requests     REP                 many REQ           requests answered in a time
//	router       ROUTER, echoing     many DEALER        messages echoed in a time, one under way for each
//	workers      PUSH                many PULL          messages received by all of them in a time
//	topics       PUB, drops nothing  SUB of many        messages received in a time, each of another topic
//	dropping     PUB, drops          many SUB           messages received by one of them in a time
//	stalled      the same            one does not read  messages received by one of the others in a time
//	idle         ROUTER              many DEALER        memory for each, if they are in another process; round trips to any of them, one at a time
//	latency      DEALER              ROUTER, echoing    round trips from the time that each was due, at a fixed rate
//
// Latencies are those of an open loop: a request is due at its time whether or not the one before was answered, and what it waits
// because something is late counts. So a pause shows in as many requests as it held up (no coordinated omission).
//
// All but latency and idle say what part of the processors' time the garbage collector of either side took, without the collections that
// measuring it needs. No percentile is told of fewer round trips than 100 for p99 and 1000 for p99.9.
package bench
