// Package ws carries ZMTP over WebSocket: ZWS 2.0 (RFC 45). Its Conn is a net.Conn that speaks ZMTP 3.0 to its user
// and WebSocket to the peer, so that the layers above need not know.
//
//	the user's bytes                             the peer's WebSocket messages
//	greeting, 64 octets                          Sec-WebSocket-Protocol: ZWS2.0/NULL
//	+-------+------+------+                      +--------+---------+-------+------+
//	| flags | size | body |                      | header | masking | flags | body |   one binary message
//	+-------+------+------+                      +--------+---------+-------+------+
//	 0 1 4   1 or 8                               2 to 10   4, by     0 1 2
//	                                                        clients
//	PING, PONG                                   control frames ping and pong
//	READY, where the peer has no mechanism       the routing id, the first message of each side
//
// The version in the greeting is 3.0: in ZWS subscriptions are messages, and what is new in 3.1, PING and PONG, is
// WebSocket's own. Conn.Pings tells the user that it may send PING all the same.
//
// Decoder and encoder are state machines on bytes, without a connection: decode.go, encode.go. The package starts no
// goroutine. Locks, outer first: Conn.reading, Conn.writing, Conn.opening, pongs.mu.
package ws
