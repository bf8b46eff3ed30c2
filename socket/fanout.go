package socket

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/socket/internal/route"
)

// fanout is the sending half of PUB and XPUB: a copy of each message for every peer with a subscription to a prefix
// of its first frame (RFC 29); and of RADIO, where it is a subscription to all of that frame (RFC 48).
type fanout struct {
	c     *core
	exact bool                                    // a topic is not a prefix
	log   *archive                                // with WithSpool: what is sent is kept there first, and durable subscribers get it from there
	last  *lastValues                             // with WithLastValue
	show  func(p *pipe, topic []byte, first byte) // has XPUB's Recv return a subscription; called with mu held, in order

	mu      sync.Mutex // guards the fields below
	topics  route.Topics[*pipe]
	asked   route.Topics[*pipe] // with WithManual: what the peers asked for, where topics is what they got
	peers   map[*Peer]*pipe     // connected
	greeted map[*pipe]struct{}  // with WithWelcomeMessage: the peers that had it
	wait    waitq               // Send where the policy is to block
	least   int                 // bytes of a message that any peer takes; zero for all
	matched []*pipe             // reused by each Send, as is encoded
	encoded link.Encoded
	changed chan struct{} // closed when subscriptions change; nil while nobody waits for that
	err     error         // the socket is closed
}

func (f *fanout) init(c *core) {
	f.c = c
	f.peers, f.greeted = map[*Peer]*pipe{}, map[*pipe]struct{}{}
}

// attach takes in a peer, which is subscribed to nothing yet.
func (f *fanout) attach(p *pipe) {
	peer := p.peer.Load()
	policy := f.c.cfg.policy
	if choose := f.c.cfg.peerPolicy; choose != nil {
		policy = choose(peer)
	}
	if f.log != nil && policy == Block { // the message is in the log already: Send must not fail any more
		policy = DropNewest
	}
	f.mu.Lock()
	f.peers[peer] = p
	f.least = extent{f.least, peer.takesAny}.least()
	p.freeMsgs = 0
	p.setPolicy(policy)
	f.mu.Unlock()
}

// inlineFlushes is to how many subscribers the caller of Send writes itself when their queues are long; the others'
// pumps do it. With more, the caller would be kept too long.
const inlineFlushes = 8

// Send sends one message to every subscriber whose subscriptions match its first frame. It copies the frames. It does
// not block: for a subscriber whose queue is full the message is dropped and counted (DropFull), unless WithDropPolicy says otherwise;
// without a subscriber it goes nowhere, which is not a drop (RFC 29). With WithNoDrop it blocks while a matching subscriber's
// queue is full, until ctx ends (ErrFull).
func (f *fanout) Send(ctx context.Context, frames ...[]byte) error {
	return f.send(ctx, frames, nil)
}

// SendOwned is Send without a copy of large frames (above 32 KiB): they belong to the socket from the call on, unless it returns an
// error, and must not be changed or used for anything else.
func (f *fanout) SendOwned(ctx context.Context, frames ...[]byte) error {
	return f.send(ctx, nil, frames)
}

// send sends frames, which are copied, or those given away: see pipe.queue.
func (f *fanout) send(ctx context.Context, frames, given [][]byte) error {
	if err := f.c.usable(); err != nil {
		return &Error{Op: "send", Err: err}
	}
	size, err := f.c.sizeOf(either(frames, given))
	if err != nil {
		return err
	}
	if f.log != nil {
		if err := f.log.in.send(ctx, either(frames, given), size); err != nil {
			return err
		}
	}
	return f.spread(ctx, frames, given, size)
}

// spread gives a message to the subscribers that are connected and have no durable subscription.
func (f *fanout) spread(ctx context.Context, frames, given [][]byte, size int) error {
	f.mu.Lock()
	for {
		if f.err != nil {
			f.mu.Unlock()
			if f.log != nil { // which has it
				return nil
			}
			return &Error{Op: "send", Err: f.err}
		}
		f.matchLocked(either(frames, given)[0])
		if f.c.cfg.invert {
			f.invertLocked()
		}
		if f.log != nil {
			f.liveLocked()
		}
		if !f.c.cfg.blocks() || f.roomForAll(size) {
			break
		}
		if err := f.blockLocked(ctx); err != nil {
			return &Error{Op: "send", Err: err}
		}
	}
	var flush [inlineFlushes]*pipe
	n := f.distribute(frames, given, extentOf(either(frames, given), size), &flush)
	if f.last != nil {
		f.last.keepLocked(either(frames, given), size)
	}
	f.mu.Unlock()
	for _, p := range flush[:n] {
		p.out.Flush()
	}
	return nil
}

// matchLocked finds who is to get a message of this topic.
func (f *fanout) matchLocked(topic []byte) {
	if f.exact {
		f.matched = f.topics.AppendExact(f.matched[:0], topic)
	} else {
		f.matched = f.topics.AppendMatch(f.matched[:0], topic)
	}
}

// liveLocked takes out of those matched who is fed from the log.
func (f *fanout) liveLocked() {
	f.matched = slices.DeleteFunc(f.matched, func(p *pipe) bool {
		durable := p.durable.Load() != nil
		if durable {
			p.freeMsgs = 0 // the courier fills its queue
		}
		return durable
	})
}

// refusesLocked reports whether p said that it does not take such a message.
func (f *fanout) refusesLocked(p *pipe, e extent) bool {
	return f.least > 0 && e.size > f.least && p.refuses(e) != nil
}

var errFromLog = fmt.Errorf("%w: the peer has a durable subscription, and gets what is in the log", ErrState)

// sendTo is SendTo of PUB and XPUB.
func (f *fanout) sendTo(ctx context.Context, peer *Peer, frames [][]byte) error {
	if err := f.c.usable(); err != nil {
		return &Error{Op: "send", Err: err}
	}
	size, err := f.c.sizeOf(frames)
	if err != nil {
		return err
	}
	f.mu.Lock()
	for {
		p, err := f.pipeLocked(peer)
		if err != nil {
			f.mu.Unlock()
			return &Error{Op: "send", Err: err}
		}
		if p.durable.Load() != nil {
			f.mu.Unlock()
			return &Error{Op: "send", Peer: peer.address, Err: errFromLog}
		}
		if err := p.refuses(extentOf(frames, size)); err != nil {
			f.mu.Unlock()
			return &Error{Op: "send", Peer: peer.address, Err: err}
		}
		took, flush := p.queueBeside(frames, size)
		if took {
			f.mu.Unlock()
			if flush {
				p.out.Flush()
			}
			return nil
		}
		switch p.policy {
		case Block:
			err = f.blockLocked(ctx)
		case Disconnect:
			p.kill(errSlow)
			fallthrough
		default:
			f.mu.Unlock()
			err = ErrFull
		}
		if err != nil {
			return &Error{Op: "send", Peer: peer.address, Err: err}
		}
	}
}

// pipeLocked returns the way to a peer.
func (f *fanout) pipeLocked(peer *Peer) (*pipe, error) {
	p := f.peers[peer]
	switch {
	case f.err != nil:
		return nil, f.err
	case p == nil:
		return nil, ErrPeerGone
	}
	return p, nil
}

// blockLocked waits for room. It gives f.mu up meanwhile, and for good when it returns an error.
func (f *fanout) blockLocked(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		f.mu.Unlock()
		return &blocked{ErrFull, err}
	}
	w := f.wait.add()
	f.mu.Unlock()
	if err := f.wait.wait(ctx, &f.mu, w); err != nil {
		return &blocked{ErrFull, err}
	}
	f.mu.Lock()
	return nil
}

// invertLocked replaces who was matched by who was not.
func (f *fanout) invertLocked() {
	f.matched = f.matched[:0]
	for _, p := range f.peers {
		if !f.topics.Found(p) {
			f.matched = append(f.matched, p)
		}
	}
}

// roomForAll reports whether every matched subscriber that is waited for has room; if not, room will be called. f.mu is held.
func (f *fanout) roomForAll(size int) bool {
	for _, p := range f.matched {
		if p.policy == Block && !p.roomFor(size) {
			return false
		}
	}
	return true
}

// queueBeside queues a message that is not one of those which roomFor was asked about. fanout.mu is held.
func (p *pipe) queueBeside(frames [][]byte, size int) (took, flush bool) {
	p.freeMsgs = 0
	return p.out.Append(nil, frames, size)
}

// roomFor reports whether p has room for a message, which is queued next; if not, room will be called. The queue is asked once for many messages, as
// nobody fills it without fanout.mu, which is held.
func (p *pipe) roomFor(size int) bool {
	if p.freeMsgs == 0 || p.freeBytes < size {
		if p.freeMsgs, p.freeBytes = p.out.Vacant(size); p.freeMsgs == 0 {
			return false
		}
	}
	p.freeMsgs--
	p.freeBytes -= size
	return true
}

// mark changes the high-water mark of p, between messages: one that has been found to have room is queued before.
func (f *fanout) mark(p *pipe, messages int) (owed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.freeMsgs = 0
	return p.out.SetHWM(messages)
}

// distribute queues the message at every matched subscriber and returns those to be written to by the caller.
func (f *fanout) distribute(frames, given [][]byte, e extent, flush *[inlineFlushes]*pipe) (n int) {
	single := len(f.matched) == 1
	if !single && len(f.matched) > 0 {
		if given != nil {
			f.encoded.EncodeGiven(given)
		} else {
			f.encoded.Encode(frames)
		}
	}
	for _, p := range f.matched {
		if f.refusesLocked(p, e) {
			f.c.drop(p, DropRefused, 1)
			continue
		}
		var took, full bool
		if single {
			took, full = p.queueSole(frames, given, e.size)
		} else {
			took, full = p.out.AppendEncoded(&f.encoded, e.size)
		}
		switch {
		case !took:
			p.overflow()
		case full && n < len(flush):
			flush[n] = p
			n++
		case full:
			p.out.Wake()
		}
	}
	f.encoded.Done()
	return n
}

// queueSole is queue for one subscriber of many messages, in rows where that is possible. fanout.mu is held.
func (p *pipe) queueSole(frames, given [][]byte, size int) (took, flush bool) {
	if given != nil {
		return p.out.AppendGiven(nil, given, size)
	}
	if p.out.AppendRow(frames, size) {
		return true, false
	}
	return p.out.AppendSole(frames, size)
}

func (f *fanout) room(p *pipe) {
	if m := p.member.Load(); m != nil {
		m.room()
	}
	f.mu.Lock()
	if f.last != nil {
		f.last.payLocked(p)
	}
	f.wait.wakeAll()
	f.mu.Unlock()
}

func (f *fanout) stopSending(err error) {
	if f.log != nil {
		f.log.in.stopped.Store(true)
	}
	f.mu.Lock()
	f.err = err
	f.wait.wakeAll()
	f.mu.Unlock()
}
