package socket

import "github.com/meshmq/meshmq/transport/zmtp"

// Msg is one received message. Its frames belong to the caller, who may keep and change them;
// messages below 130 KiB that arrived together may share one underlying buffer, of 260 KiB at most (each frame's capacity ends
// where it ends), and with many peers a message kept keeps the memory of a dozen others, so keep a Clone of a small message that is to live long.
type Msg struct {
	Frames [][]byte
	from   *origin // behind one pointer, since a struct of more than four words is passed in memory: half the rate at 16 bytes
}

// Release gives the memory of the message back, for messages to come: a receiver that calls it when it is done with each message spares the garbage collector
// nearly all of its work, and reads into memory that the processor's cache has. Neither m nor a copy of it, nor any of its frames, may be used
// afterwards. Calling it is never necessary, and calling it again, also on a copy, does nothing. Small messages share memory, which is used again when all of those in it
// were released; that of a Rep's requests is not, and that of what came by RecvBatch when Batch.Release is called.
func (m *Msg) Release() {
	if m.from != nil {
		m.from.lease.Release(m.Frames)
	}
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
func (m Msg) Peer() *Peer {
	if m.from == nil {
		return nil
	}
	return m.from.peer
}

// RoutingID returns the number of who sent the message, which Server and P2P take to send to it (zmq_msg_routing_id). It is zero, which
// is nobody's, for messages of other sockets and for a zero Msg.
func (m Msg) RoutingID() uint32 {
	if m.from == nil {
		return 0
	}
	return m.from.peer.number
}

// Group returns the group that a Dish got the message for (zmq_msg_group), until Frames is appended to. It is empty for messages of other sockets.
func (m Msg) Group() string {
	if peer := m.Peer(); peer == nil || peer.socketType != string(zmtp.Radio) || len(m.Frames) == cap(m.Frames) {
		return ""
	}
	return string(m.Frames[:len(m.Frames)+1][len(m.Frames)]) // receiver.pop leaves it there, so that Msg needs no word for it
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
	all := m.Frames
	if m.Group() != "" {
		all = m.Frames[:len(m.Frames)+1]
	}
	body := make([]byte, 0, Msg{Frames: all}.Size())
	frames := make([][]byte, len(all))
	for i, f := range all {
		start := len(body)
		body = append(body, f...)
		frames[i] = body[start:len(body):len(body)]
	}
	c := Msg{Frames: frames[:len(m.Frames)]}
	if m.from != nil {
		c.from = m.from.clone()
	}
	return c
}
