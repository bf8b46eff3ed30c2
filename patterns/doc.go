// Package patterns holds what its three ways of working together share. The ways are packages of their own:
//
//	patterns/pushpull   work is handed to one of several workers
//	patterns/reqrep     a question is asked and answered
//	patterns/pubsub     an event is told to whoever wants to know
//	patterns/exchange   a message goes where rules at its sender say, by any of the three
//
// What is around them is in packages of its own, so that who does without it does not link it:
//
//	patterns/middleware   timeout, retry, throttle, dedup, circuit breaker, validation, log; see [Middleware] and [SendMiddleware]
//	patterns/tracing      spans of OpenTelemetry
//	patterns/metrics      what Prometheus asks for
//	patterns/schema       versions of message types; see [Schemas]
//	patterns/outbox       messages that a database commits, and a relay that publishes them
//	patterns/saga         work of several steps in several services, which is done or undone
//
// Each of the three is a thin layer over a pair of sockets: it turns values into messages and back, runs
// handlers, and accounts for what goes wrong. The socket is embedded, so Bind, Connect, Events and
// Stats are there, and discovery.Follow takes a Worker or a Client as it takes a socket.
//
// # A message's way
//
//	Send, Call, Publish                                            Run
//	   |  Envelope -> middleware -> schema, codec -> body           |  Recv -> Envelope -> codec, schema -> value
//	   +--> socket ===============================> socket -------->+--> middleware -> handler(ctx, value)
//
// On the wire a message is one frame, a codec.Envelope; that of an event has its topic in a frame
// before. The envelope carries an id, the name of the value's type, the time, the source and
// headers. Within a handler they are in the context: see [FromContext]. What a handler sends
// with that context belongs to the same conversation: it gets the correlation id and the trace
// context of the message being handled, and its id as causation id.
//
// # When something goes wrong
//
// A message that does not decode, a handler that returns an error, panics or ends its goroutine: none of them ends Run.
// Each is counted ([Counts]) and reported as an [Error] to the function given WithOnError, or
// else to slog.Default: this is where the application's own mistakes surface, and a worker that
// hides them until somebody asks for a counter would keep them hidden for good.
//
// Without acknowledgements, which plain ZeroMQ does not have, a failed message is not tried again. [WithAtLeastOnce] has them.
//
// # Goroutines
//
// Run takes messages on as many goroutines as the concurrency is, and returns when all have
// ended. A Client has two, ended and awaited by its Close. Nothing else starts any. No lock is held
// while a message is sent or received, or a codec, a handler or a hook is called.
package patterns
