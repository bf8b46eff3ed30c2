// Package inplace lets package patterns make messages where the queue of a socket has room for them, so that they need no memory in between and no copy. It is not for
// applications and no part of what sockets promise: whoever has such room keeps all others from the queue.
package inplace

// Lender has room in a queue.
type Lender interface {
	// Lend returns room for a message of one frame and of up to 255 bytes, and to whom it goes back: to Fill, at once, with nothing between but writing there. The room is nil where
	// a message needs more than that, be it to wait or to decide about something: then it is for Send.
	Lend() (room []byte, to Filler)
}

// Filler has lent room.
type Filler interface {
	// Fill queues the message of size bytes at the beginning of the room, or none if size is less than 0. It ends the use of the room.
	Fill(size int)
}

// Of returns the Lender of a *socket.Push. It is set by package socket.
var Of func(push any) Lender
