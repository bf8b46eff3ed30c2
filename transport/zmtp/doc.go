// Package zmtp is the ZeroMQ Message Transport Protocol, version 3.1 (RFC 37), with its 3.0 dialect (RFC 23) and the
// older versions 2.0 and 1.0 (RFC 15, RFC 13), as pure functions on bytes. It holds no connection, starts no goroutine and reads no clock: the engine in
// socket does the reading, writing and timing, and asks this package what the octets mean.
//
// # Greeting
//
// Each side sends 64 octets, of which at least ten as soon as the connection is there, without waiting for the other:
//
//	 0    1           9    10      11      12            32         33            63
//	+----+-----------+----+-------+-------+-------------+----------+--------------+
//	| FF | padding 8 | 7F | major | minor | mechanism   | server   | filler       |
//	|    |           |    | 3     | 1     | 20, NUL pad | 0 or 1   | 31 times 00  |
//	+----+-----------+----+-------+-------+-------------+----------+--------------+
//
// Padding and filler are never interpreted on receipt, and an as-server of zero says nothing. Older versions begin otherwise, see old.go.
//
// # Frame
//
// Everything after the greeting is a frame:
//
//	 0       1             2            n
//	+-------+-------------+------------+
//	| flags | size (1)    | body       |   short: a body of at most 255 octets
//	+-------+-------------+------------+
//	| flags | size (8, network order)  | body ...   long: bit 63 is zero
//	+-------+--------------------------+
//
//	flags  bit 0  MORE     another frame of this message follows
//	       bit 1  LONG     the size takes eight octets
//	       bit 2  COMMAND  the body is a command, not a part of a message
//	       3..7            zero
//
// # Command
//
// The body of a command frame:
//
//	+-------------+----------------+----------+
//	| name length | name           | data     |
//	| 1, not zero | PING, READY... |          |
//	+-------------+----------------+----------+
//
//	READY      property*   property = name length (1), name, value length (4), value
//	ERROR      reason length (1), reason
//	PING       time to live in tenths of a second (2), context (0..16)
//	PONG       context (0..16)
//	SUBSCRIBE  topic       in 3.0 the message frame 01 topic
//	CANCEL     topic       in 3.0 the message frame 00 topic
//
// # Handshake
//
// A [Handshake] is one side of greeting and security mechanism as a state machine: octets in, octets out.
//
//	            we send                       the peer sends
//	Start       its first octets, or all      greeting
//	Step        the rest, once the peer's
//	            show its version
//	Step        READY, once its greeting      READY
//	            is complete
//	Done        messages and commands         messages and commands
//
// That is NULL. PLAIN and CURVE have two more commands each way, HELLO, WELCOME, INITIATE, READY, of which the client says the first; what CURVE
// puts into them is drawn in curve.go, and what becomes of frames behind it in seal.go. Each stands behind the interface [Mechanism], so that nothing
// changes for the caller, who may be asked on the way whether the peer may come in ([Handshake.Pending]), and gets what seals and opens
// the rest from [Handshake.Traffic].
//
// # Choices where the RFC leaves room, or where peers differ
//
//   - Reserved flag bits and MORE on a command are refused: no peer in use sends them, and they are the first sign
//     of a stream out of step. A long frame for a short body is accepted, since libzmq accepts it too.
//   - A peer that announces no Socket-Type is accepted, as libzmq does. One that announces a type that may not talk
//     to ours is sent an ERROR.
//   - READY is sent as soon as the peer's greeting is complete, by both sides, for the reason given at null.start.
//   - Property names are matched without case and sent in the exact case libzmq asks for. Duplicates are refused.
//   - The identity of a peer is refused above 255 octets or with a leading zero, which would let it pose as an
//     identity made by a ROUTER. Types that have no identity have theirs ignored.
//   - ZMTP 1.0 and 2.0 are spoken where Config.Downgrade allows it and nobody asked for security, which they have none
//     of. A 1.0 peer is known by an identity frame with the flags that libzmq 2 sends; any others are taken for
//     something that is not ZMTP.
//   - RFC 37 gives two sizes for the part of the greeting that finds out about older versions: eleven octets, and ten
//     where 1.0 is among them, since its identity frame would have the eleventh in it. We send ten, as libzmq does.
package zmtp
