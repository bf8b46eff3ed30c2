// Package reqrep asks questions and answers them: a [Client] calls the named methods of a [Service] and waits for the reply.
//
// A client may be connected to any number of instances of a service: a call goes to the one with the fewest
// calls in flight. Any number of calls may be in flight on one client, and replies come in any order.
// Package patterns says what a message carries; within a handler its context tells the conversation
// it is part of, so that a call made by the handler belongs to it too.
//
// # What a caller may rely on
//
// Call returns the reply, or an error that says what is known. [*Error]: the service answered, with this code.
// socket.ErrNoPeer: nobody is there, the request was not sent; [ErrOpen]: all who are there failed too often lately, likewise. socket.ErrPeerGone: the
// instance that was asked went away; whether it did the work is not known. socket.ErrTimeout: the context's
// deadline passed first; likewise.
//
// The time left travels with the request, not the deadline, since clocks differ: the handler's context ends when it
// has passed since the request came, when the caller's context ends, and when the caller is gone.
//
// # More than one request for a call
//
// Calls are not repeated by themselves, since not every method bears it. [WithRetries] repeats what certainly was not done, and with [Idempotent]
// also what may have been; [WithHedge] asks a second instance when the first is late. Both come out of a budget of the client
// ([WithRetryBudget]), and [WithBreaker] leaves instances alone that fail, so that trouble does not multiply. [Scatter] and [Gather] ask all
// instances, and [Stream] takes an answer of many parts as it is made.
//
// # When a service has too much to do
//
// While all handlers are busy, requests wait, as [WithWaiting] says; what comes beyond is answered with CodeOverloaded at once. What is cancelled or
// too late by then is not begun. [Ping], [GetInfo] and [GetStats] are answered all the same.
//
// # Wire
//
// A client is a ROUTER socket, so that it knows which instance it asked and can tell at once when that one is gone; a
// service is a ROUTER too.
//
//	client -> service  | envelope |  type: the method, body: In; headers:
//	                              |    timeout (milliseconds left), attempt (from 2 on), call (a number of the client's, different for each attempt),
//	                              |    window (asks for a stream: "items/bytes" that may be on their way), value-type (name of In's type, if it has one)
//	service -> client  | envelope |  causation id: that of the request, body: Out, header value-type
//	                              |    or headers: error-code, error (the message), error-retry (it is Retryable, after milliseconds), call (that of the
//	                              |    request, for which an error is final, and not for the next attempt); no body
//	                              |  of a stream, with header call: stream-item (its number from 1) and a body, or stream-end (how many there were)
//	client -> service  | envelope |  a control; type: $cancel, or $taken with header stream-taken (how many items so far);
//	                              |    causation id and header call: those of the request; no id, no body, no reply
//
// A value of another type than is wanted, by its name, is refused before it is decoded: CodeWrongType, or patterns.ErrType at the caller. Both ends tell each other in the handshake
// what they take at most (socket.WithPeerLimits): a request above it is not sent, for a reply there is CodeTooLarge.
//
// Controls go to peers that announce the property X-Mesh-Calls in their handshake: others would take them for requests. A peer that knows nothing of
// the headers ignores them.
//
// Frames that arrive before the envelope are sent back before the reply's, so REQ and DEALER sockets of other
// ZeroMQ libraries can be clients.
//
// # Goroutines
//
//	who             started by    ended by                  awaited by
//	Client.receive  NewClient     Client.Close, Shutdown    the same
//	Client.watch    NewClient     Client.Close, Shutdown    the same
//	Service.Run     its caller, and concurrency+2 more, which end before it returns
//
// One goroutine of Run follows who goes, another reports requests that are too large, from peers that do not ask what is taken. The others each receive a message, and handle it if fewer than concurrency are doing so; then they handle what
// waits. The one that is left over puts requests where they wait, and sees to controls. While one handles a request of a method whose handlers take a few
// microseconds, no other receives in its place, unless that takes a millisecond or two.
//
// A Call receives the reply itself if nobody receives for the client, and replies to others with it, until it is to ask another instance as well or to try
// anew; hooks are then called by it. Client.receive receives for others, and when no caller has for a while.
//
// Locks: Client.mu is held while the socket is asked for its Stats, and otherwise neither it nor Service.mu during a call of
// socket, codec, handler or hook. Within them are those of breakers.
package reqrep
