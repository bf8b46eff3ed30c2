package reqrep

import (
	"fmt"
	"slices"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/socket"
)

// book is a client's account of who there is and who was asked what. It is plain data under the client's lock.
type book struct {
	breaker   *Breaker // nil: none
	instances []*instance
	gone      []*instance // not buried yet: what they sent may still be to be received
	calls     map[codec.ID]*pending
	tries     int                 // that are in calls
	open      int                 // of those, not over
	breakers  map[string]*breaker // by endpoint, so that they outlive connections
	changes   []BreakerChange     // not told yet
	turn      uint                // where the search for the next instance begins
}

// instance is one connection to a service.
type instance struct {
	peer     *socket.Peer
	id       []byte   // its routing id
	endpoint string   // as given to Connect; the address of one that connected to us
	breaker  *breaker // nil: none
	controls bool     // it understands them
	inFlight int
	leaving  bool // the socket sends it nothing more
	passed   uint // the turn in which it was passed over
	calls    uint64
	failures uint64
}

// pending is one attempt at a call, in flight.
type pending struct {
	next    *pending // another attempt at the same call, elsewhere
	at      *instance
	tag     uint64 // what controls name it by
	over    bool   // the result is in done, or was
	astray  bool   // it is over, but not for the service
	verdict func(error)
	flow    *inflow       // of a stream, else nil
	done    chan<- result // of the call: has room for one of each attempt that is open

	reply codec.Envelope // unless the result is an error; of streams see flow
	body  []byte         // its body, if that is small
	m     socket.Msg     // that it lies in, if not
}

// maxCopied is how large the body of a reply may be that is copied, so that what it was read into serves again before its caller has come to it. To keep a
// larger one costs less than to copy it.
const maxCopied = 1 << 10

// keep takes a reply, and its message if that is needed. The memory of e is the caller's.
func (p *pending) keep(e *codec.Envelope, m *socket.Msg) {
	p.reply = *e
	e.Headers = nil
	if len(e.Body) > maxCopied {
		p.m, *m = *m, socket.Msg{}
		return
	}
	p.body = append(p.body[:0], e.Body...)
	p.reply.Body = p.body
}

type result struct {
	of  *pending
	err error
}

func newBook(b *Breaker) book {
	return book{breaker: b, calls: make(map[codec.ID]*pending), breakers: make(map[string]*breaker)}
}

// update makes the instances those that are connected, and reports whether any are gone.
func (b *book) update(now socket.Stats) bool {
	b.instances = slices.DeleteFunc(b.instances, func(at *instance) bool {
		gone := !slices.ContainsFunc(now.Peers, func(s socket.PeerStats) bool { return s.Connected && s.Peer == at.peer })
		if gone {
			b.gone = append(b.gone, at)
		}
		return gone
	})
	for _, s := range now.Peers {
		if s.Connected && !slices.ContainsFunc(b.instances, func(at *instance) bool { return at.peer == s.Peer }) {
			b.instances = append(b.instances, b.admit(s.Peer, keyOf(now, s)))
		}
	}
	for endpoint := range b.breakers { // of what is connected to no more, nor sought
		if !slices.ContainsFunc(now.Peers, func(s socket.PeerStats) bool { return keyOf(now, s) == endpoint }) {
			delete(b.breakers, endpoint)
		}
	}
	return len(b.gone) > 0
}

// keyOf returns the name of an instance: one that stays the same over its connections, if it is we who connect.
func keyOf(now socket.Stats, s socket.PeerStats) string {
	if s.Peer != nil && slices.Contains(now.Endpoints, s.Endpoint) {
		return s.Peer.Address()
	}
	return s.Endpoint
}

func (b *book) admit(p *socket.Peer, endpoint string) *instance {
	at := &instance{peer: p, id: []byte(p.RoutingID()), endpoint: endpoint, controls: understands(p)}
	if b.breaker == nil {
		return at
	}
	at.breaker = b.breakers[endpoint]
	if at.breaker == nil {
		at.breaker = b.breaker.make(endpoint, func(c BreakerChange) { b.changes = append(b.changes, c) })
		b.breakers[endpoint] = at.breaker
	}
	return at
}

// bury fails the calls at instances from which nothing more will come, the first of b.gone. verdict is what that says of them.
func (b *book) bury(gone []*instance, verdict error) {
	for id, p := range b.calls {
		for ; p != nil; p = p.next {
			if slices.Contains(gone, p.at) {
				b.finish(id, p, result{err: fmt.Errorf("%w: %s", socket.ErrPeerGone, p.at.peer.Address())}, verdict)
			}
		}
	}
	b.gone = slices.Delete(b.gone, 0, len(gone))
}

// assign notes an attempt at the instance that choose picks. It returns nil if there is none.
func (b *book) assign(id codec.ID, p *pending, asked []*instance, others bool) (*instance, error) {
	if err := b.free(id, p); err != nil {
		return nil, err
	}
	b.turn++
	for {
		at, passed := b.choose(asked, others)
		switch {
		case at == nil && passed:
			return nil, ErrOpen
		case at == nil:
			return nil, nil
		case b.note(id, p, at):
			return at, nil
		}
		at.passed = b.turn
	}
}

// assignTo notes an attempt at an instance.
func (b *book) assignTo(id codec.ID, p *pending, at *instance) error {
	if err := b.free(id, p); err != nil {
		return err
	}
	if !b.note(id, p, at) {
		return ErrOpen
	}
	return nil
}

// free refuses an id that is that of another call.
func (b *book) free(id codec.ID, p *pending) error {
	if first := b.calls[id]; first != nil && first.done != p.done {
		return fmt.Errorf("%w: message id %s is that of a call in flight", socket.ErrState, id)
	}
	return nil
}

// choose returns the instance with the fewest calls in flight, in turn where several have as few: one that was not asked before if
// there is one, and no other if only others will do. passed is whether it passed some over in this turn.
func (b *book) choose(asked []*instance, others bool) (best *instance, passed bool) {
	again := false // best was asked before
	for i := range b.instances {
		at := b.instances[(b.turn+uint(i))%uint(len(b.instances))]
		if at.passed == b.turn {
			passed = true
			continue
		}
		known := len(asked) > 0 && slices.Contains(asked, at)
		if at.leaving || known && others {
			continue
		}
		if best == nil || again && !known || again == known && at.inFlight < best.inFlight {
			best, again = at, known
		}
	}
	return best, passed
}

// note puts an attempt at an instance into the book, unless the instance's breaker is against it.
func (b *book) note(id codec.ID, p *pending, at *instance) bool {
	if at.breaker != nil {
		verdict, err := at.breaker.Allow()
		if err != nil {
			return false
		}
		p.verdict = verdict
	}
	at.inFlight++
	at.calls++
	b.tries++
	b.open++
	p.at, p.over, p.next = at, false, b.calls[id]
	b.calls[id] = p
	return true
}

// find returns the attempt at the call that the peer was asked.
func (b *book) find(id codec.ID, routingID string) *pending {
	p := b.calls[id]
	for p != nil && p.at.peer.RoutingID() != routingID {
		p = p.next
	}
	return p
}

// means reports whether a reply is to this attempt, as far as it says: there may have been one before it at the same instance.
func (p *pending) means(e *codec.Envelope) bool {
	tag, said, err := numberOf(e, headerCall, 64)
	return err != nil || !said || tag == p.tag
}

// finish notes the result of an attempt, and reports whether it is the first. The attempt leaves the book, unless it is a stream, of which there may be more to take.
func (b *book) finish(id codec.ID, p *pending, r result, verdict error) bool {
	if p.over {
		return false
	}
	p.judge(verdict)
	p.over, r.of = true, p
	b.open--
	if p.flow != nil {
		p.flow.end(r.err)
		return true
	}
	b.forget(id, p, errNeutral)
	select {
	case p.done <- r:
	default: // there is always room: if a mistake took it, one call waits in vain, and not all of them for the lock
	}
	return true
}

// judge tells the instance's breaker how an attempt went.
func (p *pending) judge(verdict error) {
	if p.over {
		return
	}
	if verdict == errFailure {
		p.at.failures++
	}
	if p.verdict != nil {
		p.verdict(verdict)
	}
}

// forget ends an attempt, whatever has become of it. verdict is what it says of the instance if there is no result.
func (b *book) forget(id codec.ID, p *pending, verdict error) {
	var before *pending
	at := b.calls[id]
	for ; at != p; before, at = at, at.next {
		if at == nil {
			return // forgotten already
		}
	}
	switch {
	case before != nil:
		before.next = p.next
	case p.next != nil:
		b.calls[id] = p.next
	default:
		delete(b.calls, id)
	}
	p.at.inFlight--
	b.tries--
	if !p.over {
		b.open--
	}
	p.judge(verdict)
}

func (b *book) failAll(err error) {
	for id, p := range b.calls {
		for ; p != nil; p = p.next {
			b.finish(id, p, result{err: err}, errNeutral)
		}
	}
}
