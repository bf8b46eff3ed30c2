package socket

import (
	"slices"

	"github.com/meshmq/meshmq/socket/internal/link"
)

// Msg is one received message. Its frames belong to the caller, who may keep and change them;
// small messages that arrived together share one underlying buffer (each frame's capacity ends
// where it ends), so keep a Clone of a small message that is to live long.
type Msg struct {
	Frames [][]byte
	peer   *Peer
	group  *[]byte // on a Dish; a pointer keeps Msg small enough for registers
	lease  *link.Lease
}

// Release gives the memory of large frames (above 32 KiB) back, for messages to come: a receiver of many large messages that
// calls it when it is done with each spares the garbage collector most of its work. Neither m nor a copy of it, nor any of its frames, may be used
// afterwards. Calling it is never necessary, and calling it again, also on a copy, does nothing.
func (m *Msg) Release() {
	m.lease.Release()
	*m = Msg{}
}

// Bytes returns the last frame: the body of a message of one frame, and the body behind the
// topic or envelope frames of others. It is nil for a zero Msg.
func (m Msg) Bytes() []byte {
	if len(m.Frames) == 0 {
		return nil
	}
	return m.Frames[len(m.Frames)-1]
}

// String returns Bytes as a string.
func (m Msg) String() string { return string(m.Bytes()) }

// Peer returns who sent the message. It is nil for a zero Msg.
func (m Msg) Peer() *Peer { return m.peer }

// RoutingID returns the number of who sent the message, which Server and P2P take to send to it (zmq_msg_routing_id). It is zero, which
// is nobody's, for messages of other sockets and for a zero Msg.
func (m Msg) RoutingID() uint32 {
	if m.peer == nil {
		return 0
	}
	return m.peer.number
}

// Group returns the group that a Dish got the message for (zmq_msg_group). It is empty for messages of other sockets.
func (m Msg) Group() string {
	if m.group == nil {
		return ""
	}
	return string(*m.group)
}

// Size returns the number of bytes in all frames.
func (m Msg) Size() int {
	n := 0
	for _, f := range m.Frames {
		n += len(f)
	}
	return n
}

// Clone returns a copy that shares no memory with m.
func (m Msg) Clone() Msg {
	body := make([]byte, 0, m.Size())
	c := Msg{Frames: make([][]byte, len(m.Frames)), peer: m.peer}
	for i, f := range m.Frames {
		start := len(body)
		body = append(body, f...)
		c.Frames[i] = body[start:len(body):len(body)]
	}
	if m.group != nil {
		group := slices.Clone(*m.group)
		c.group = &group
	}
	return c
}
