// Package socket has the socket types that services embed: PUSH and PULL, REQ and REP, DEALER and ROUTER, PUB and SUB,
// XPUB and XSUB, and PAIR, wire compatible with ZMTP 3.1 and 3.0 (RFC 37, RFC 23).
package socket
