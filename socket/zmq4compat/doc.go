// Package zmq4 is the API of github.com/go-zeromq/zmq4 over the sockets of meshmq. A program moves over by changing
// an import:
//
//	import "github.com/go-zeromq/zmq4"                    // before
//	import "github.com/meshmq/meshmq/socket/zmq4compat"   // after; the package is called zmq4, too
//
// Constructors return zmq4.Socket, the same interface, and Msg, SocketType and the other names are aliases: values go freely between
// code that imports the one and code that imports the other. Only Option and Proxy are types of this package. An option of
// go-zeromq is a function on its own unexported socket, of which nothing can be made here: options come from the With
// functions of the package whose constructor they are given to.
//
// Left out are what concerns the inside of go-zeromq: Open, since connections are made by sockets alone; RegisterTransport; and the constructors
// over libzmq (NewCPair and so on), which need its build tag.
//
// # What differs
//
// Behaviour is what the interface documents. Where go-zeromq does otherwise it is not followed:
//
//   - PUSH and DEALER send each message to one peer, in turn; REQ and REP alternate between Send and Recv (an error that is socket.ErrState).
//   - Send with nobody to send to waits, up to WithTimeout (5 minutes without it), and then fails: errors.Is finds context.DeadlineExceeded and
//     socket.ErrNoPeer or socket.ErrFull. A Send that failed has sent nothing. A ROUTER's Send to a peer that is not there is
//     socket.ErrNoPeer at once.
//   - Recv ends with WithTimeout if that was given, REQ included, and waits without a limit otherwise. A peer that leaves is no error of Recv.
//   - A lost connection of Dial is restored, and messages queued for it are sent then, unless WithAutomaticReconnect(false) was given: Recv does
//     not report the loss that a program could act upon.
//   - Dial returns when the peer has answered, or after the retries; a peer that is not there yet by then is an error. With
//     WithDialerMaxRetries(-1) it waits for the peer. Dialing an endpoint again, or Listen on several, adds to what is there.
//   - Subscriptions are counted: what was subscribed to twice is to be unsubscribed twice. XPUB's Recv returns them.
//   - Close hands over what was sent, for up to two seconds, and says if messages were left.
//   - OptionHWM applies to every type, at any time: messages that wait for one peer, 0 for no limit. PUB and XPUB have none unless it is
//     set, but 64 MiB; the others 1000.
//
// After Close, and when the context of the constructor has ended, every call returns the context's error, context.Canceled after Close.
// Nothing is logged unless WithLogger was given. WithSecurity takes NULL only, so far: with another mechanism every call
// fails. Endpoints are those of package transport; in-process names are not shared with go-zeromq's sockets.
package zmq4
