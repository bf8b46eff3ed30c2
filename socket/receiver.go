package socket

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/socket/internal/route"
)

// receiver is the receiving half of a socket: it takes turns over the peers that sent something, one batch
// (at most one read) a turn, and lets the caller of Recv read the connection itself while there is only one.
type receiver struct {
	c      *core
	lead   int                     // places left free before the frames of each message
	frames int                     // how many a message has, others being malformed; 0 for any number
	wanted func(topic []byte) bool // filter on the first frame, called with mu held; nil for all
	all    *atomic.Bool            // says whether wanted wants all; nil for never
	// stands says as of one moment what wanted does, and whether that wants anything; set where messages may need acknowledgement.
	stands func(topic []byte) (wanted, others bool)
	sole   atomic.Pointer[pipe] // the only connected peer, when callers may read it themselves

	armMu  sync.Mutex      // guards the fields below
	armed  <-chan struct{} // Done of the context that interrupts reading
	disarm func() bool

	mu     receiverLock // guards the fields below and those of the pipes' inboxes
	fair   route.FairQueue[*pipe]
	turn   *pipe // whose batch is being used up
	slab   link.Slab
	ids    []byte // routing ids for the first frames, where lead is 1
	wait   waitq
	peers  map[*pipe]struct{} // connected
	err    error              // the socket is closed
	notes  *pipe              // the inbox of note, on XPUB
	noters []*pipe            // peers paused because it is full
	hwm    int                // WithRecvHWM, or SetRecvHWM
	notice error              // returned once, when nothing is left to receive
	msgs   uint64
	bytes  uint64
	acks   acks
	missed []*MissedError // of durable subscriptions, to be returned
	once   *once          // nil without WithWindow
	leases *leases        // nil without WithLease

	batches []*Batch // that are charged to inboxes
}

func (r *receiver) init(c *core) {
	r.c, c.recv, r.hwm = c, r, c.cfg.recvHWM
	r.peers = map[*pipe]struct{}{}
	r.acks.init(r)
	r.leases = newLeases(r)
	r.openOnce()
}

// Recv returns the next message. It blocks until there is one, ctx ends (the error is ctx's, and ErrTimeout when
// its deadline passed), or the socket is closed and everything that had arrived was returned
// (ErrClosed). With a context that has ended already it returns what is there without waiting. A
// peer that goes away is no error of Recv.
func (r *receiver) Recv(ctx context.Context) (Msg, error) {
	if r.acks.onNext {
		return r.recvNext(ctx)
	}
	m, _, err := r.recv(ctx, nil, false)
	return m, err
}

// recv is Recv. It acknowledges done first, unless that is nil. With hold it is RecvHold.
func (r *receiver) recv(ctx context.Context, done *origin, hold bool) (Msg, *pipe, error) {
	if r.c == nil || r.c.bad != nil {
		return Msg{}, nil, &Error{Op: "recv", Err: r.c.usable()}
	}
	if m, p, ok := r.next(done, false); ok {
		return m, p, nil
	}
	for ; ; r.mu.Lock() {
		if done != nil {
			r.ackLocked(done)
			done = nil
		}
		if r.once != nil || len(r.missed) > 0 {
			if m, p, err := r.firstLocked(); p != nil || err != nil {
				r.passLocked(hold)
				r.mu.Unlock()
				if err != nil || r.once.admit(m, p) {
					return m, p, err
				}
				continue
			}
		}
		if m, p, ok := r.pop(hold); ok {
			r.portionLocked(m.awaited(), false)
			r.mu.Unlock()
			if r.once == nil || r.once.admit(m, p) {
				return m, p, nil
			}
			continue
		}
		err := r.endLocked()
		r.mu.Unlock()
		if err != nil {
			return Msg{}, nil, &Error{Op: "recv", Err: err}
		}
		r.c.line.FlushHot()
		if r.direct(ctx) {
			continue
		}
		if err := r.block(ctx); err != nil {
			return Msg{}, nil, &Error{Op: "recv", Err: &blocked{nil, err}}
		}
	}
}

// endLocked returns why there will be no message, if so.
func (r *receiver) endLocked() error {
	if err := r.notice; err != nil {
		r.notice = nil
		return err
	}
	return r.err
}

// block waits until something happens. It returns the context's error when that ended and nothing is there.
func (r *receiver) block(ctx context.Context) error {
	r.mu.Lock()
	if r.ready() || r.err != nil || r.notice != nil || len(r.missed) > 0 {
		r.mu.Unlock()
		return nil
	}
	r.pauseLocked()
	r.leases.wakeLocked()
	if err := ctx.Err(); err != nil {
		r.mu.Unlock()
		return err
	}
	w := r.wait.add()
	r.mu.Unlock()
	return r.wait.wait(ctx, &r.mu, w)
}

func (r *receiver) ready() bool { return r.turn != nil || r.fair.Active() > 0 || r.once.readyLocked() }

// pop takes the next message from the peer whose turn it is. r.mu is held.
func (r *receiver) pop(hold bool) (Msg, *pipe, bool) {
	for {
		if r.turn == nil {
			p, ok := r.fair.Next()
			if !ok {
				return Msg{}, nil, false
			}
			r.turn = p
			r.slab.Turn(&p.inbox[p.next].batch)
		}
		p := r.turn
		a := &p.inbox[p.next]
		frames, size := a.batch.Next(&r.slab, r.lead)
		m := Msg{Frames: frames, from: a.from}
		if a.from == nil {
			m.from = r.originLocked(a, size)
		}
		if r.lead > 0 {
			frames[0] = r.routingID(a.source.peer)
		}
		p.inMsgs--
		p.inBytes -= size
		if a.batch.Msgs == 0 {
			r.used(p)
		}
		if p.paused.Load() && r.low(p) {
			p.resume()
		}
		if len(r.noters) > 0 && p == r.notes && r.low(p) {
			r.releaseNoters()
		}
		if r.frames > 0 && len(frames) != r.frames {
			r.c.drop(p, DropMalformed, 1)
			continue
		}
		if r.wanted != nil && !r.wanted(frames[r.lead]) && (m.from.in == nil || r.unwantedLocked(m.from, frames[r.lead])) {
			continue // unsubscribed meanwhile
		}
		if r.frames == 2 { // group and body: see Msg.Group
			frames[0], frames[1] = frames[1], frames[0]
			m.Frames = frames[:1:2]
		}
		r.msgs++
		r.bytes += uint64(size)
		r.passLocked(hold)
		return m, p, true
	}
}

// passLocked has another caller, if one waits, take what is left, or else the place of this one in reading, unless that is held. r.mu is held.
func (r *receiver) passLocked(hold bool) {
	if r.wait.head != nil && (r.ready() || !hold && r.sole.Load() != nil) {
		r.wait.wake()
	}
}

// discard drops all that has arrived. The lock is held throughout, so that a peer that goes on sending does not keep it going.
func (r *receiver) discard(reason DropReason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p, ok := r.pop(false); ok; _, p, ok = r.pop(false) {
		r.c.drop(p, reason, 1)
	}
}

func (r *receiver) releaseNoters() {
	for _, p := range r.noters {
		p.resume()
	}
	r.noters = nil
}

// routingID returns a copy of the peer's routing id for the caller to own, cut from a larger allocation.
func (r *receiver) routingID(peer *Peer) []byte {
	if cap(r.ids)-len(r.ids) < len(peer.routingID) {
		r.ids = make([]byte, 0, 4<<10)
	}
	start := len(r.ids)
	r.ids = append(r.ids, peer.routingID...)
	return r.ids[start:len(r.ids):len(r.ids)]
}

// keptInbox is the room for arrivals that an empty inbox keeps. More is what a burst has left behind.
const keptInbox = 1 << 10

// used removes the batch that is used up and ends the peer's turn.
func (r *receiver) used(p *pipe) {
	p.inHeld -= p.inbox[p.next].held
	p.inbox[p.next] = arrival{}
	p.next++
	r.turn = nil
	if p.next < len(p.inbox) {
		if p.next >= 16 && p.next >= len(p.inbox)/2 { // a reader that is always behind never empties it
			n := copy(p.inbox, p.inbox[p.next:])
			clear(p.inbox[n:])
			p.inbox, p.next = p.inbox[:n], 0
		}
		return
	}
	p.inbox, p.next = p.inbox[:0], 0
	if cap(p.inbox) > keptInbox {
		p.inbox = nil
	}
	p.inBytes = r.chargedLocked(p)
	r.fair.Leave(p.seat)
	if !p.present {
		r.fair.Remove(p)
		p.seat = nil
	}
}

func (r *receiver) high(p *pipe) bool {
	cfg := &r.c.cfg
	if p.inbound.Load() != nil { // the credit bounds messages; and what the peer acknowledges must be read
		return cfg.recvHWMBytes > 0 && p.inHeld >= cfg.recvHWMBytes
	}
	return r.hwm > 0 && p.inMsgs >= r.hwm || cfg.recvHWMBytes > 0 && p.inHeld >= cfg.recvHWMBytes
}

func (r *receiver) low(p *pipe) bool {
	cfg := &r.c.cfg
	return (r.hwm == 0 || p.inMsgs <= r.hwm/2) && (cfg.recvHWMBytes == 0 || p.inHeld <= cfg.recvHWMBytes/2)
}

func (r *receiver) attach(p *pipe) {
	r.mu.Lock()
	r.peers[p] = struct{}{}
	p.present = true
	r.openLocked(p)
	if p.seat == nil {
		p.seat = r.fair.Add(p)
		r.fair.Leave(p.seat)
	}
	r.welcomeLocked(p)
	r.chooseLocked()
	r.mu.Unlock()
}

func (r *receiver) detach(p *pipe) {
	r.mu.Lock()
	if p.present {
		delete(r.peers, p)
		p.present, p.from = false, nil
		r.closeLocked(p.inbound.Load())
		r.missLocked(p)
	}
	if p.seat != nil && len(p.inbox) == 0 {
		r.fair.Remove(p)
		p.seat = nil
	}
	p.paused.Store(false)
	r.chooseLocked()
	r.mu.Unlock()
}

// chooseLocked decides whether callers may read themselves. Who reads or waits now looks again.
func (r *receiver) chooseLocked() {
	var sole *pipe
	if len(r.peers) == 1 && !r.c.cfg.conflate { // whoever takes the last message wants all read that has come
		for p := range r.peers {
			if p.in.Load().CanTry() {
				sole = p
			}
		}
	}
	old := r.sole.Swap(sole)
	if old != nil && old != sole {
		old.in.Load().Interrupt()
		old.kick()
	}
	if sole != nil && sole != old {
		r.wait.wake()
	}
}

func (r *receiver) stopReceiving(err error) {
	if r.once != nil {
		r.once.stop()
	}
	r.mu.Lock()
	r.err = err
	r.wait.wakeAll()
	r.acks.stopLocked()
	r.leases.stopLocked()
	r.mu.Unlock()
	r.armMu.Lock()
	if r.disarm != nil {
		r.disarm()
	}
	r.armMu.Unlock()
}

// notify has the next Recv that finds nothing return err, once.
func (r *receiver) notify(err error) {
	r.mu.Lock()
	r.notice = err
	r.wait.wakeAll()
	r.mu.Unlock()
}

func (r *receiver) totals() (msgs, bytes uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lent, lentBytes := r.lentLocked(nil)
	return r.msgs + uint64(lent), r.bytes + uint64(lentBytes)
}
