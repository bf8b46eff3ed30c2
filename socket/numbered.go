package socket

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// numbered is what SERVER, PEER and STREAM share: each peer has a number, made up here, and each message sent names the one that it is for
// (RFC 41, RFC 51).
type numbered struct {
	core
	receiver

	seatMu  sync.Mutex // guards the fields below
	seats   map[uint32]*seat
	last    uint32 // the number given last
	stopped error  // the socket is closed
}

// seat is a peer under its number, and who waits for room in its queue.
type seat struct {
	pipe *pipe
	wait waitq
}

// init starts with a random number, as libzmq does: one that is remembered from a socket before this then hardly names a peer of this one.
func (n *numbered) init(typ zmtp.SocketType, pat pattern, opts []Option) {
	n.core.init(typ, pat, opts)
	n.receiver.init(&n.core)
	n.receiver.frames = 1
	n.queueing = true
	n.seats, n.last = map[uint32]*seat{}, rand.Uint32()
}

// enroll gives a number to an endpoint of Connect, which keeps it from one connection to the next, and when it was given up in between.
func (n *numbered) enroll(p *pipe) error {
	n.seatMu.Lock()
	defer n.seatMu.Unlock()
	if _, taken := n.seats[p.number]; p.number == 0 || taken {
		n.addLocked(p)
	} else {
		n.seats[p.number] = &seat{pipe: p}
	}
	return nil
}

// addLocked gives p the next number that is free and not zero.
func (n *numbered) addLocked(p *pipe) {
	for taken := true; taken; {
		n.last++
		_, taken = n.seats[n.last]
		taken = taken || n.last == 0
	}
	p.number = n.last
	n.seats[p.number] = &seat{pipe: p}
}

// seat returns the number of a peer that connected.
func (n *numbered) seat(p *pipe) uint32 {
	n.seatMu.Lock()
	defer n.seatMu.Unlock()
	if p.number == 0 || !n.queueing {
		n.addLocked(p)
	}
	return p.number
}

func (n *numbered) attach(p *pipe) error {
	peer := *p.peer.Load()
	peer.number = n.seat(p)
	p.peer.Store(&peer)
	n.receiver.attach(p)
	return nil
}

func (n *numbered) detach(p *pipe) {
	if p.dialer == nil || !n.queueing {
		n.forget(p)
	}
	n.receiver.detach(p)
}

func (n *numbered) forget(p *pipe) {
	n.seatMu.Lock()
	if s := n.seats[p.number]; s != nil && s.pipe == p {
		delete(n.seats, p.number)
		s.wait.wakeAll()
	}
	n.seatMu.Unlock()
}

func (n *numbered) room(p *pipe) {
	n.seatMu.Lock()
	if s := n.seats[p.number]; s != nil {
		s.wait.wakeAll()
	}
	n.seatMu.Unlock()
}

func (n *numbered) stopSending(err error) {
	n.seatMu.Lock()
	n.stopped = err
	for _, s := range n.seats {
		s.wait.wakeAll()
	}
	n.seatMu.Unlock()
}

func (n *numbered) deliver(p *pipe, b link.Batch) { n.receiver.deliver(p, b) }
func (n *numbered) stopReceiving(err error)       { n.receiver.stopReceiving(err) }

// Send sends one message of one frame to the peer of the given number, which Msg.RoutingID returns for those it sent. It copies the body.
// It is ErrNoPeer when there is no such peer; while the peer's queue is full it blocks, until ctx ends (ErrFull, and ErrTimeout when
// ctx's deadline passed), the peer leaves (ErrNoPeer) or the socket is closed (ErrClosed). Sends to other peers go on
// meanwhile.
func (n *numbered) Send(ctx context.Context, id uint32, body []byte) error {
	return n.send(ctx, id, body, nil)
}

// send sends body, which is copied, or the one given away: see pipe.queue.
func (n *numbered) send(ctx context.Context, id uint32, body []byte, given [][]byte) error {
	if err := n.usable(); err != nil {
		return &Error{Op: "send", Err: err}
	}
	frames := [][]byte{body}
	size, err := n.sizeOf(either(frames, given))
	if err != nil {
		return err
	}
	for {
		n.seatMu.Lock()
		s, err := n.seatOf(id)
		if err != nil {
			n.seatMu.Unlock()
			return &Error{Op: "send", Err: err}
		}
		if took, flush := s.pipe.queue(nil, frames, given, size); took {
			n.seatMu.Unlock()
			if flush {
				s.pipe.out.Flush()
			}
			return nil
		}
		if err := n.block(ctx, s); err != nil {
			return &Error{Op: "send", Err: err}
		}
	}
}

// seatOf returns the peer with a number. seatMu is held.
func (n *numbered) seatOf(id uint32) (*seat, error) {
	if n.stopped != nil {
		return nil, n.stopped
	}
	if s := n.seats[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: routing id %d is not connected", ErrNoPeer, id)
}

// block waits for room in one queue. It is entered with seatMu held and leaves without.
func (n *numbered) block(ctx context.Context, s *seat) error {
	if err := ctx.Err(); err != nil {
		n.seatMu.Unlock()
		return &blocked{ErrFull, err}
	}
	w := s.wait.add()
	n.seatMu.Unlock()
	if err := s.wait.wait(ctx, &n.seatMu, w); err != nil {
		return &blocked{ErrFull, err}
	}
	return nil
}
