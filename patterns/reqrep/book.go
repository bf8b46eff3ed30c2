package reqrep

import (
	"fmt"
	"slices"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/socket"
)

// book is a client's account of who there is and who was asked what. It is plain data under the client's lock.
type book struct {
	instances []*instance
	gone      []*instance // not buried yet: what they sent may still be to be received
	calls     map[codec.ID]*pending
	turn      int // where the search for the next instance begins
}

// instance is one connection to a service.
type instance struct {
	peer     *socket.Peer
	inFlight int
	leaving  bool // the socket sends it nothing more
}

// pending is a call in flight.
type pending struct {
	at   *instance
	over bool        // the result is in done, or was
	done chan result // takes one
}

type result struct {
	reply *codec.Envelope
	err   error
}

func newBook() book { return book{calls: make(map[codec.ID]*pending)} }

// update makes the instances those of peers, and reports whether any are gone.
func (b *book) update(peers []*socket.Peer) bool {
	b.instances = slices.DeleteFunc(b.instances, func(at *instance) bool {
		gone := !slices.Contains(peers, at.peer)
		if gone {
			b.gone = append(b.gone, at)
		}
		return gone
	})
	for _, peer := range peers {
		if !slices.ContainsFunc(b.instances, func(at *instance) bool { return at.peer == peer }) {
			b.instances = append(b.instances, &instance{peer: peer})
		}
	}
	return len(b.gone) > 0
}

// bury fails the calls at instances from which nothing more will come.
func (b *book) bury(gone []*instance) {
	for _, p := range b.calls {
		if slices.Contains(gone, p.at) {
			p.finish(result{err: fmt.Errorf("%w: %s", socket.ErrPeerGone, p.at.peer.Address())})
		}
	}
}

// assign notes a call at the instance with the fewest calls in flight, in turn where several have as few. It returns nil if there is
// no instance.
func (b *book) assign(id codec.ID, p *pending) (*instance, error) {
	if b.calls[id] != nil {
		return nil, fmt.Errorf("%w: message id %s is that of a call in flight", socket.ErrState, id)
	}
	var best *instance
	for i := range b.instances {
		at := b.instances[(b.turn+i)%len(b.instances)]
		if !at.leaving && (best == nil || at.inFlight < best.inFlight) {
			best = at
		}
	}
	if best == nil {
		return nil, nil
	}
	b.turn++
	best.inFlight++
	p.at, p.over, p.done = best, false, make(chan result, 1)
	b.calls[id] = p
	return best, nil
}

// settle gives a call its result and reports whether it was waiting for one from that peer. A reply by a peer that was not
// asked is none.
func (b *book) settle(id codec.ID, routingID string, r result) bool {
	p := b.calls[id]
	return p != nil && p.at.peer.RoutingID() == routingID && p.finish(r)
}

// finish reports whether r is the call's first result.
func (p *pending) finish(r result) bool {
	if p.over {
		return false
	}
	p.over = true
	p.done <- r
	return true
}

// forget ends a call, whatever has become of it.
func (b *book) forget(id codec.ID, p *pending) {
	if b.calls[id] == p {
		delete(b.calls, id)
		p.at.inFlight--
	}
}

func (b *book) failAll(err error) {
	for _, p := range b.calls {
		p.finish(result{err: err})
	}
}
