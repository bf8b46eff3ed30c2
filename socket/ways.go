package socket

import (
	"crypto/sha256"
	"errors"
	"slices"
	"sync"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// ways are those that peers connect on. Each has one connection at a time: that there is a new one means that the peer has seen the end of the one before, which we may
// not have yet. We then end that first: what it has not settled goes out before anything newer, and what came on it, and comes again, is received once.
type ways struct {
	mu    sync.Mutex // guards the fields below
	last  map[wayName]*pipe
	ended []wayName // of those in last that have ended while Recv has not returned all that came, and possibly others
	room  int       // how many of these there may be before somebody looks which still are
}

// wayName is what a peer calls one. Peers that are not known to be the same do not get in each other's way.
type wayName struct {
	drawn       uint64
	user        string
	key         PublicKey
	certificate [sha256.Size]byte
}

var errAnew = errors.New("the peer has connected anew")

// wayOf returns the way that p is on, if it is one where nothing is lost with the connection before.
func wayOf(p *pipe) (on wayName, some bool) {
	who := p.peer.Load()
	value, _ := who.metadata.Get(zmtp.PropertyAck)
	on = wayName{drawn: zmtp.ParseAckOffer(value).Way, user: who.userID, key: who.publicKey}
	if who.tls != nil && len(who.tls.PeerCertificates) > 0 {
		on.certificate = sha256.Sum256(who.tls.PeerCertificates[0].Raw)
	}
	return on, on.drawn > 0 && p.dialer == nil && (who.ackIn || who.ackOut && p.c.recv == nil)
}

// enter notes a connection, and returns when the one before has ended. p is given nothing and read by nobody before that.
func (w *ways) enter(p *pipe) {
	on, some := wayOf(p)
	if !some {
		return
	}
	w.mu.Lock()
	if w.last == nil {
		w.last = map[wayName]*pipe{}
	}
	old := w.last[on]
	w.last[on] = p
	w.mu.Unlock()
	if old == nil {
		return
	}
	old.abandon()
	old.kill(errAnew)
	<-old.detached()
	old.abandon() // what came meanwhile
}

// abandon lets go of what came on the connection and was not returned by Recv, since it comes again.
func (p *pipe) abandon() {
	if in := p.inbound.Load(); in != nil {
		in.r.abandon(in)
	}
}

// leave forgets a connection that has ended, when Recv has returned what came on it: until then that may come again on the next.
func (w *ways) leave(p *pipe) {
	on, some := wayOf(p)
	if !some {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last[on] != p {
		return
	}
	if w.ended = append(w.ended, on); len(w.ended) <= w.room {
		return
	}
	w.ended = slices.DeleteFunc(w.ended, func(on wayName) (over bool) {
		last := w.last[on]
		if last == nil || last != p && last.isAttached() { // connected anew
			return true
		}
		if in := last.inbound.Load(); in != nil && in.r.holds(in) {
			return false
		}
		delete(w.last, on)
		return true
	})
	w.room = 2*len(w.ended) + 16
}
