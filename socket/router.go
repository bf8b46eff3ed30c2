package socket

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/socket/internal/route"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Router talks to REQ, DEALER and ROUTER peers by their routing ids (RFC 28, ROUTER): the first frame of each message received names the
// sender, the first frame of each message sent names the receiver. A peer's id is the name that ConnectAs gave it, the identity it announced, or
// five bytes made up here, the first of them zero. A peer that announces an identity in use takes it over, unless WithHandover says
// otherwise, and the connection before is closed. It is safe for use by any number of goroutines.
type Router struct {
	core
	receiver

	tableMu sync.Mutex // guards the fields below
	table   route.Table[*pipe]
	wait    waitq // for room at any peer
	last    uint32
	stopped error
	sure    *assured         // nil where nothing is acknowledged; never changes
	coming  map[*pipe]string // by which identity peers that acknowledge, and are let in just now, will be known
}

var errHandedOver = errors.New("another peer took over the identity")

// NewRouter returns a ROUTER socket. It uses nothing until Bind or Connect; Close it in the end.
func NewRouter(opts ...Option) *Router {
	s := &Router{}
	s.core.init(zmtp.Router, s, opts)
	s.receiver.init(&s.core)
	s.receiver.lead = 1
	if s.bad == nil && s.cfg.ack {
		s.sure, s.coming = newAssured(&s.core, s, &s.tableMu, &s.wait), map[*pipe]string{}
		s.core.keeper, s.core.sure = s.sure, s.sure
	}
	return s
}

// WaitAcked is that of Push.
func (s *Router) WaitAcked(ctx context.Context) error { return s.core.waitAcked(ctx) }

// enroll makes an endpoint of ConnectAs routable before it is connected.
func (s *Router) enroll(p *pipe) error {
	s.tableMu.Lock()
	defer s.tableMu.Unlock()
	if _, taken := s.table.Get([]byte(p.id)); taken {
		return errTaken(p.id)
	}
	s.table.Add(p.id, p)
	return nil
}

// identify refuses a peer whose identity belongs to another.
func (s *Router) identify(p *pipe, who zmtp.Peer) error {
	s.tableMu.Lock()
	defer s.tableMu.Unlock()
	err := s.admitLocked(p, string(who.Identity))
	if err == nil && s.sure != nil && !p.named && len(who.Identity) > 0 && s.cfg.acknowledges(who) {
		s.coming[p] = string(who.Identity)
	}
	return err
}

func (s *Router) release(p *pipe) {
	s.tableMu.Lock()
	s.comeLocked(p)
	s.tableMu.Unlock()
}

// comeLocked notes that a peer is there, or will not be.
func (s *Router) comeLocked(p *pipe) {
	if _, awaited := s.coming[p]; awaited {
		delete(s.coming, p)
		s.wait.wakeAll()
	}
}

// awaitedLocked reports whether a routing id that is nobody's is to be somebody's again at once: that of a peer which is let in just now, and whose connection
// before has ended for that (ways).
func (s *Router) awaitedLocked(id []byte) bool {
	for _, identity := range s.coming {
		if identity == string(id) {
			return true
		}
	}
	return false
}

func (s *Router) admitLocked(p *pipe, identity string) error {
	if p.named || identity == "" {
		return nil
	}
	owner, taken := s.table.Get([]byte(identity))
	if taken && owner != p && (owner.named || !s.cfg.handover) {
		return errTaken(identity)
	}
	return nil
}

func (s *Router) attach(p *pipe) error {
	peer := *p.peer.Load()
	s.tableMu.Lock()
	s.comeLocked(p)
	if err := s.admitLocked(p, peer.identity); err != nil { // another one was quicker
		s.tableMu.Unlock()
		return err
	}
	old, replaced := s.seatLocked(p, peer.identity)
	peer.routingID = p.id
	p.peer.Store(&peer)
	var before *Peer
	if replaced {
		before = old.peer.Load()
	}
	if s.sure != nil {
		s.sure.attachLocked(p)
		s.wait.wakeAll()
	}
	s.tableMu.Unlock()
	if replaced {
		old.expel(before, fmt.Errorf("%w %q, from %s", errHandedOver, p.id, peer.address), errHandedOver.Error())
	}
	s.receiver.attach(p)
	return nil
}

// seatLocked makes a peer routable, and returns whose place it takes. One of ConnectAs has been so since enroll; if it is not any more
// Disconnect has let go of it, and another may have the name.
func (s *Router) seatLocked(p *pipe, identity string) (old *pipe, replaced bool) {
	if p.named {
		return nil, false
	}
	p.id = identity
	if p.id == "" {
		s.last++
		p.id = string(binary.BigEndian.AppendUint32([]byte{0}, s.last))
	}
	return s.table.Add(p.id, p)
}

// detach keeps the id of ConnectAs until forget.
func (s *Router) detach(p *pipe) {
	if s.sure != nil {
		s.sure.detach(p)
	}
	if !p.named {
		s.forget(p)
	}
	s.receiver.detach(p)
}

func (s *Router) forget(p *pipe) {
	s.tableMu.Lock()
	s.comeLocked(p)
	s.table.Remove(p.id, p)
	if !p.named && s.sure == nil { // else what the peer sends back is for that id still
		p.id = ""
	}
	s.wait.wakeAll()
	s.tableMu.Unlock()
}

func (s *Router) room(*pipe) {
	s.tableMu.Lock()
	if s.sure != nil {
		s.sure.resumeLocked()
	}
	s.wait.wakeAll()
	s.tableMu.Unlock()
}

func (s *Router) deliver(p *pipe, b link.Batch) { s.receiver.deliver(p, b) }
func (s *Router) stopReceiving(err error)       { s.receiver.stopReceiving(err) }

func (s *Router) stopSending(err error) {
	s.tableMu.Lock()
	s.stopped = err
	s.wait.wakeAll()
	s.tableMu.Unlock()
}

// Recv returns the next message; its first frame is the sender's routing id. Blocking and errors are as for Pull.
func (s *Router) Recv(ctx context.Context) (Msg, error) {
	return s.receiver.Recv(ctx)
}

// Send sends frames[1:] to the peer whose routing id is frames[0]. It copies the frames. It is ErrNoPeer when no such peer is connected; while
// the peer's queue is full it blocks, until ctx ends (ErrFull), and with WithAck for the moment in which the peer is let in anew. Sends to other peers go on meanwhile. With WithMandatory(false) it drops instead. An
// id that no peer can have, empty or above 255 bytes, is ErrRoutingID too.
func (s *Router) Send(ctx context.Context, frames ...[]byte) error {
	return s.send(ctx, frames, nil)
}

// SendOwned is Send without a copy of large frames (above 32 KiB): they belong to the socket from the call on, unless it returns an
// error, and must not be changed or used for anything else.
func (s *Router) SendOwned(ctx context.Context, frames ...[]byte) error {
	return s.send(ctx, nil, frames)
}

// send sends frames, which are copied, or those given away: see pipe.queue.
func (s *Router) send(ctx context.Context, frames, given [][]byte) error {
	if err := s.usable(); err != nil {
		return &Error{Op: "send", Err: err}
	}
	if len(either(frames, given)) < 2 {
		return &Error{Op: "send", Err: fmt.Errorf("%w: a ROUTER sends a routing id and at least one more frame", ErrState)}
	}
	id := either(frames, given)[0]
	if given != nil {
		given = given[1:]
	} else {
		frames = frames[1:]
	}
	size, err := s.sizeOf(either(frames, given))
	if err != nil {
		return err
	}
	for {
		s.tableMu.Lock()
		if s.stopped != nil {
			s.tableMu.Unlock()
			return &Error{Op: "send", Err: s.stopped}
		}
		p, ok := s.table.Get(id)
		if !ok {
			if done, err := s.unroutable(ctx, id); done || err != nil {
				return err
			}
			continue
		}
		if s.sure != nil || s.cfg.peerLimits {
			if err := p.refuses(extentOf(either(frames, given), size)); err != nil {
				s.tableMu.Unlock()
				return &Error{Op: "send", Err: err}
			}
		}
		took, flush := s.queueLocked(p, frames, given, size)
		if took {
			s.tableMu.Unlock()
			if flush {
				p.out.Flush()
			}
			return nil
		}
		if !s.cfg.mandatory {
			s.tableMu.Unlock()
			s.drop(p, DropFull, 1)
			return nil
		}
		if err := s.block(ctx); err != nil {
			return err
		}
	}
}

// queueLocked queues a message for p.
func (s *Router) queueLocked(p *pipe, frames, given [][]byte, size int) (took, flush bool) {
	if s.sure == nil {
		return p.queue(nil, frames, given, size)
	}
	to, flush, _ := s.sure.takeLocked(p.id, frames, given, size) // send has asked whether it is too large
	return to != nil, flush
}

// next, elsewhere and full are those of a sendingHalf.
func (s *Router) next(id string, _ extent) (*pipe, bool) {
	p, ok := s.table.Get([]byte(id))
	if ok {
		_, ok = s.sure.pipes[p] // one of ConnectAs is in the table before it is connected
	}
	return p, ok
}

func (s *Router) elsewhere(extent) bool { return false }

func (s *Router) full(*pipe) bool { return false }

func (s *Router) recall() {} // nothing is sent without the lock

// unroutable is what becomes of a message to a routing id that is not there: it waits for one that is to come, and else is done with. It is entered with tableMu
// held and leaves without.
func (s *Router) unroutable(ctx context.Context, id []byte) (done bool, err error) {
	if s.cfg.mandatory && s.awaitedLocked(id) {
		return false, s.block(ctx)
	}
	s.tableMu.Unlock()
	if err := checkRoutingID(id); err != nil {
		return true, &Error{Op: "send", Err: fmt.Errorf("%w: %w", ErrNoPeer, err)}
	}
	if !s.cfg.mandatory {
		s.drop(nil, DropUnroutable, 1)
		return true, nil
	}
	return true, &Error{Op: "send", Err: fmt.Errorf("%w: routing id %q is not connected", ErrNoPeer, id)}
}

// block waits for room at any peer, or for one that comes. It is entered with tableMu held and leaves without.
func (s *Router) block(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		s.tableMu.Unlock()
		return &Error{Op: "send", Err: &blocked{ErrFull, err}}
	}
	w := s.wait.add()
	s.tableMu.Unlock()
	s.core.listen()
	if err := s.wait.wait(ctx, &s.tableMu, w); err != nil {
		return &Error{Op: "send", Err: &blocked{ErrFull, err}}
	}
	return nil
}
