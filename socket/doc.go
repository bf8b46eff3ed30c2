// Package socket has the socket types of ZeroMQ, to use as they are or to embed in services:
//
//	NewPush, NewPull         work: each message goes to one peer, in turn
//	NewReq, NewRep           a question and its answer
//	NewDealer, NewRouter     the same without lockstep: many in flight, answered in any order, peers addressed by routing id
//	NewPub, NewSub           events: to all who subscribed to a prefix of the first frame
//	NewXPub, NewXSub         the same with subscriptions in sight, for proxies and last-value caches
//	NewPair                  exactly one peer
//	NewClient, NewServer     one frame a message, peers addressed by number
//	NewP2P                   the same between equals; ZeroMQ's name for it is PEER
//	NewRadio, NewDish        one frame a message, to all who joined its group
//	NewScatter, NewGather    PUSH and PULL with one frame a message
//	NewChannel               PAIR with one frame a message
//	NewStream                plain bytes, to and from anybody
//	NewProxy                 passes messages between two sockets
//
// A socket binds to and connects to any number of endpoints, in any order; package transport says how they are written. Connect is
// asynchronous and never gives up unless it is told to. All methods of all types may be called by any number of goroutines at the same time. Only methods that take a
// context block; they look at it when they are about to, so one that has ended makes the call a try.
//
// Send copies what it is given, SendOwned takes it over. That they returned nil means that the message is queued for a peer, or for an endpoint of Connect that is not up
// yet; while nobody has room it blocks. Publishers never wait for a slow subscriber, unless WithDropPolicy says so. Recv returns the messages of
// all peers in turn, and never fails because one went away. Close and Shutdown hand over what is queued and say how much was left. Errors that callers decide on are
// found by errors.Is: ErrClosed, ErrNoPeer, ErrFull, ErrTimeout and so on.
//
// What a socket does otherwise is set by options at construction; OPTIONS.md in the root of the module finds them by their names in libzmq. Events tells what
// happens to connections, Stats counts messages, queues and every message dropped, by reason, and Peers lists who is there.
//
// What was received is the application's, and the garbage collector frees it. A process that receives more than 32 MiB a second on an otherwise small heap has 16 MiB
// of untouched address space added to that heap meanwhile, so that the collector runs seldom; there is none where GOMEMLIMIT is below 256 MiB.
//
// On the wire it is ZMTP 3.1, and 3.0, 2.0 or 1.0 to peers that know no better (RFC 37, 23, 15, 13), so that peers may be of any ZeroMQ library. What
// is promised, and by which test, is in CONFORMANCE.md.
package socket

// Inside, for those who change it.
//
// # How a message moves
//
// Send picks a peer under the lock of the type's sending half (balancer, fanout, the table of Router or of numbered) and encodes the
// frames into that peer's queue (link.Out), which counts messages and bytes against the high-water marks. The bytes are written by
// the caller itself when the peer spoke last and gets one answer at a time, messages go out one now and then, a chunk is full, the high-water mark is reached, or it is the first message of a connection, else by the connection's write pump, or, where there are many, by one that
// writes for all who are in line (link.Line).
//
// With a spool Send ends at the log. The courier reads it there and queues messages at the peers, one by one, as they have room; what they have settled
// is acknowledged in the log, and what comes back from them read again.
//
// The connection's read pump, or the caller of Recv while there is only one peer, reads a chunk and finds the whole messages in it (link.In).
// They wait as one batch in the peer's inbox; Recv takes turns over the inboxes and decodes message by message. A caller who has read takes the first message itself,
// and wakes another for the next, or to read in its place: the latter not in RecvHold.
//
// On an acknowledged link (transport/zmtp/ACK.md) a batch in the inbox knows the tag of its next message, and each message that Recv returns has an origin of
// its own, cut from a slab: two numbers, and what it has in common with the others of its batch, by which Ack and Nack find the connection (inbound) and the tag. What is settled is a set of tags under receiver.mu;
// ACKs go out as commands when half of the credit is settled, when Recv is about to wait, in a stream (lull.go) when nothing has come for a moment, after WithAckDelay, and last of all before we end the connection.
//
// # Goroutines
//
//	what                     started by             ended by                        waited for by
//	accept loop, per Bind    Bind                   Unbind, Shutdown                listener.stop
//	dialer, per Connect      Connect                dialer.cancel, core.cancel      core.wg
//	connection, per peer     the accept loop, who   the end of the connection       core.wg
//	                         leaves it its place,
//	                         Attach
//	  (the read pump; the dialer's own goroutine is its connection's)
//	handshake of many peers  core.greet             WithHandshakeTimeout, ctx       core.greet
//	write in a handshake     overlapped.Write       the peer, the end of the connection  overlapped.flush
//	write pump, per peer     link.Out, when needed  link.Out.Detach                 pipe.detach
//	the same, of many peers  link.Out, when needed  that it has nothing to do       link.Out.Detach
//	leaving, per Disconnect  Disconnect, Stream     linger, core.cancel             core.wg
//	courier, with WithSpool  New...                 spooler.close                   spooler.close
//	the same, of publishers  the first member of a  the last member, archive.close  archive.close
//	                         durable subscription
//	refusal of such          archive.refuse         the end of the connection       core.wg
//	watch, with WithSpool    New...                 the failure of the      spooler.close,
//	                                                spool, the two          archive.close
//	marker, with WithWindow  New...                 core.cancel                     core.wg
//	what has dead letters    letters.put            that there are none     letters.finish
//	event handler            New... with a handler  hub.close                       hub.close
//	way, one or two a proxy  Proxy.Run, Drain       ctx, Terminate, Close           Proxy.Run, Drain
//
// Timers (heartbeats, collected drops, acknowledgements, leases, who waits at the door) run for a moment on goroutines of the runtime and are stopped by their owners. On Linux one goroutine of the process
// ends the rests of write pumps, while any rests (30 us to 1 ms); the descriptor of its clock stays open.
//
// # Locks
//
// Whoever holds one takes only those to its right, and none during I/O or a callback, but that an ACK or NACK is written under receiver.mu and link.Out.mu where that does not block:
//
//	Proxy.mu > way.taking > link.In.Baton > Req.askMu, Rep.askMu > core.mu > fanout.mu, balancer.mu, subscribed.lookMu > courier.mu, Router.tableMu, numbered.seatMu > receiver.mu > subscriber.mu > heart.mu > pipe.mu, link.Out.mu > link.Line.mu and the locks of calm and rests, hub.mu
//
// once.marking is held while marks are written, and receiver.mu is taken under it. The baton is the right to read a connection, held while reading it. pairing.holdMu, receiver.armMu, reloaded.mu, door.mu, lives.mu, ways.mu and denials.mu are held alone. archive.makeMu comes before archive.mu, and that before
// subscribed.lookMu; accord.mu comes behind that, and subscribed.mu behind it and courier.mu. letters.mu and settlements.mu are taken under any of these, with nothing behind them.
