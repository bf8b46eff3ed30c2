package zmtp

import "slices"

// SocketType is the value of the Socket-Type property: what kind of socket speaks.
type SocketType string

// The socket types of RFC 28 to 31.
const (
	Push   SocketType = "PUSH"
	Pull   SocketType = "PULL"
	Req    SocketType = "REQ"
	Rep    SocketType = "REP"
	Dealer SocketType = "DEALER"
	Router SocketType = "ROUTER"
	Pub    SocketType = "PUB"
	Sub    SocketType = "SUB"
	XPub   SocketType = "XPUB"
	XSub   SocketType = "XSUB"
	Pair   SocketType = "PAIR"
)

// The socket types of the draft RFCs 41, 48, 49, 51 and 52. PEER is PeerType, since Peer is the other side.
const (
	Client   SocketType = "CLIENT"
	Server   SocketType = "SERVER"
	Radio    SocketType = "RADIO"
	Dish     SocketType = "DISH"
	Scatter  SocketType = "SCATTER"
	Gather   SocketType = "GATHER"
	PeerType SocketType = "PEER"
	Channel  SocketType = "CHANNEL"
)

// peersOf lists the types each type may talk to (RFC 37, "The Socket-Type Property").
var peersOf = map[SocketType][]SocketType{
	Push: {Pull}, Pull: {Push},
	Req: {Rep, Router}, Rep: {Req, Dealer},
	Dealer: {Rep, Dealer, Router}, Router: {Req, Dealer, Router},
	Pub: {Sub, XSub}, XPub: {Sub, XSub}, Sub: {Pub, XPub}, XSub: {Pub, XPub},
	Pair:   {Pair},
	Client: {Server}, Server: {Client}, Radio: {Dish}, Dish: {Radio},
	Scatter: {Gather}, Gather: {Scatter}, PeerType: {PeerType}, Channel: {Channel},
}

// Compatible reports whether a socket of type t may talk to one of type peer. Unknown types talk to nobody.
func (t SocketType) Compatible(peer SocketType) bool {
	return slices.Contains(peersOf[t], peer)
}

// announces reports whether sockets of type t tell the peer an identity (RFC 37: REQ, DEALER and ROUTER only).
func (t SocketType) announces() bool {
	return t == Req || t == Dealer || t == Router
}
