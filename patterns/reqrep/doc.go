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
// socket.ErrNoPeer: nobody is there, the request was not sent. socket.ErrPeerGone: the instance that
// was asked went away; whether it did the work is not known. socket.ErrTimeout: the context's
// deadline passed first; likewise. Calls are not repeated by themselves, since not every method bears it.
//
// The time left travels with the request, not the deadline, since clocks differ: the handler's context ends when it
// has passed since the request was taken up.
//
// # Wire
//
// A client is a ROUTER socket, so that it knows which instance it asked and can tell at once when that one is gone; a
// service is a ROUTER too.
//
//	client -> service  | envelope |  type: the method       headers: timeout (milliseconds left), body: In
//	service -> client  | envelope |  causation id: that of the request, body: Out
//	                              |  or headers: error-code, error (the message), no body
//
// Frames that arrive before the envelope are sent back before the reply's, so REQ and DEALER sockets of other
// ZeroMQ libraries can be clients.
//
// # Goroutines
//
//	who             started by    ended by                  awaited by
//	Client.receive  NewClient     Client.Close, Shutdown    the same
//	Client.watch    NewClient     Client.Close, Shutdown    the same
//	Service.Run     its caller, and concurrency-1 more, which end before it returns
//
// Locks: Client.mu is held while the socket is asked for its Stats, and otherwise neither it nor Service.mu during a call of
// socket, codec, handler or hook.
package reqrep
