// Package meshmq is the root of a module with which services talk to each other directly, without a
// broker, over the ZeroMQ wire protocol. It holds no code; what a service uses is in the packages below:
//
//	socket               the ZeroMQ socket types, to embed in services
//	patterns/pushpull    work queues
//	patterns/reqrep      request and response
//	patterns/pubsub      events
//	patterns/exchange    routing by rules, at the sender
//	patterns/saga        work of several steps that is done or undone
//	patterns/outbox      messages that a database commits
//	patterns/schema      versions of message types
//	patterns/middleware  around handlers and senders; patterns/tracing and patterns/metrics too
//	codec                values to bytes, and the envelope around them
//	discovery            peers on the LAN
//	transport            byte streams, and in transport/zmtp the protocol on them
//	cmd/meshmq           the command line
package meshmq
