package socket

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// streamType is no type of package zmtp, since nothing of ZMTP is spoken.
const streamType zmtp.SocketType = "STREAM"

// Stream talks to peers that know nothing of ZeroMQ, in plain bytes (ZMQ_STREAM): a browser, a device, a program with net.Dial. Each message
// received has two frames: the routing id of a connection, five bytes made up here, and what one read brought, at most 256 KiB. Bytes have no
// boundaries: what the peer wrote at once may come in pieces, or together with what it wrote before. An empty second frame says that the
// connection has just begun or, behind all it brought, ended, unless WithNotify says otherwise. It is safe for use by any number of goroutines.
//
// A socket binds and connects as others do, over tcp, ipc and inproc, and connects again when a connection ends; each connection has an id of its own. What is
// queued for one that ends is dropped and counted. While the inbox of a peer stands at the high-water mark, of reads (WithRecvHWM) or bytes,
// nothing is read from it.
type Stream struct{ numbered }

// NewStream returns a STREAM socket. It uses nothing until Bind or Connect; Close it in the end.
func NewStream(opts ...Option) *Stream {
	s := &Stream{}
	s.raw = true
	s.numbered.init(streamType, s, opts)
	s.receiver.frames, s.receiver.lead = 0, 1
	s.queueing = false
	return s
}

// Bind is Bind of other sockets, but for ws and wss, which have no plain bytes.
func (s *Stream) Bind(endpoint string) (string, error) {
	if err := checkRaw("bind", endpoint); err != nil {
		return "", err
	}
	return s.core.Bind(endpoint)
}

// Connect is Connect of other sockets, but for ws and wss, which have no plain bytes.
func (s *Stream) Connect(endpoint string) error {
	if err := checkRaw("connect", endpoint); err != nil {
		return err
	}
	return s.core.Connect(endpoint)
}

func checkRaw(op, endpoint string) error {
	if strings.HasPrefix(endpoint, "ws://") || strings.HasPrefix(endpoint, "wss://") {
		return &Error{Op: op, Endpoint: endpoint, Err: fmt.Errorf("%w: a STREAM socket speaks plain bytes: use tcp, ipc or inproc", ErrEndpoint)}
	}
	return nil
}

// Send sends data to the connection of the given routing id, the first frame of the messages from it. It copies data. It is ErrNoPeer when there
// is no such connection; while its queue is full it blocks, as Server does. Empty data ends the connection, once what was sent before is written, for
// the linger period at most; for an endpoint given to Connect it is Disconnect.
func (s *Stream) Send(ctx context.Context, id, data []byte) error {
	number := uint32(0) // nobody's
	if len(id) == streamID && id[0] == 0 {
		number = binary.BigEndian.Uint32(id[1:])
	}
	if len(data) > 0 || s.usable() != nil {
		return s.numbered.Send(ctx, number, data)
	}
	s.seatMu.Lock()
	at, err := s.seatOf(number)
	s.seatMu.Unlock()
	if err != nil {
		return &Error{Op: "send", Err: err}
	}
	s.hangUp(at.pipe)
	return nil
}

// streamID is the size of a routing id: a zero byte, as all ids have that are made up, and the number of the connection.
const streamID = 5

// hangUp ends a connection in good order, in the background.
func (s *Stream) hangUp(p *pipe) {
	if p.dialer != nil {
		_ = s.Disconnect(p.endpoint) // an error means that it is under way already
		return
	}
	s.forget(p)
	s.core.mu.Lock()
	defer s.core.mu.Unlock()
	if !s.ending {
		s.wg.Add(1)
		go p.leave(func() {})
	}
}

func (s *Stream) attach(p *pipe) error {
	peer := *p.peer.Load()
	peer.routingID = string(binary.BigEndian.AppendUint32([]byte{0}, s.seat(p)))
	p.peer.Store(&peer)
	s.receiver.attach(p)
	return nil
}

func (s *Stream) detach(p *pipe) {
	s.forget(p)
	s.receiver.detach(p)
}
