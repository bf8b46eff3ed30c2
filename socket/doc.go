// Package socket has the socket types that services embed: PUSH and PULL, REQ and REP, DEALER and ROUTER, PUB and SUB,
// XPUB and XSUB, and PAIR; and those of one frame a message: CLIENT and SERVER, RADIO and DISH, SCATTER and GATHER, CHANNEL, and
// PEER, which is P2P here. On the wire they speak ZMTP 3.1, and 3.0, 2.0 or 1.0 to peers that know no better (RFC 37, 23, 15, 13).
// STREAM carries plain bytes, to and from anybody.
//
// A socket binds to and connects to any number of endpoints, in any order. Connect is asynchronous and never gives
// up. All methods of all types may be called by any number of goroutines at the same time. Only methods that take a
// context block; they look at it when they are about to, so one that has ended makes the call a try.
//
// # How a message moves
//
// Send picks a peer under the lock of the type's sending half (balancer, fanout, the table of Router or of numbered) and encodes the
// frames into that peer's queue (link.Out), which counts messages and bytes against the high-water marks. The bytes are written by
// the caller itself when the peer spoke last or a chunk is full, else by the connection's write pump.
//
// The connection's read pump, or the caller of Recv while there is only one peer, reads a chunk and finds the whole messages in it (link.In).
// They wait as one batch in the peer's inbox; Recv takes turns over the inboxes and decodes message by message.
//
// # Goroutines
//
//	what                     started by             ended by                        waited for by
//	accept loop, per Bind    Bind                   Unbind, Shutdown                listener.stop
//	dialer, per Connect      Connect                dialer.cancel, core.cancel      core.wg
//	connection, per peer     the accept loop,       the end of the connection       core.wg
//	                         Attach
//	  (handshake, then read pump; the dialer's own goroutine is its connection's)
//	write in a handshake     overlapped.Write       the peer, the end of the connection  overlapped.flush
//	write pump, per peer     pipe.attach            link.Out.Detach                 pipe.detach
//	leaving, per Disconnect  Disconnect, Stream     linger, core.cancel             core.wg
//	event handler            New... with a handler  hub.close                       hub.close
//	way, one or two a proxy  Proxy.Run, Drain       ctx, Terminate, Close           Proxy.Run, Drain
//
// Timers (heartbeats, collected drops) run for a moment on goroutines of the runtime and are stopped by their owners.
//
// # Locks
//
// Whoever holds one takes only those to its right, and none during I/O or a callback:
//
//	Proxy.mu > way.taking > link.In.Baton > Req.askMu > core.mu > fanout.mu, balancer.mu, Router.tableMu, numbered.seatMu > receiver.mu > subscriber.mu > pipe.mu, link.Out.mu, hub.mu
//
// The baton is the right to read a connection, held while reading it.
package socket
