package socket

import (
	"errors"
	"sync"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// ways are those that peers connect on. Each has one connection at a time: that there is a new one means that the peer has seen the end of the one before, which we may
// not have yet. We then end that first: what it has not settled goes out before anything newer, and what came on it, and comes again, is received once.
type ways struct {
	mu   sync.Mutex // guards the field below
	last map[wayName]*pipe
}

// wayName is what a peer calls one. Peers of different users do not get in each other's way.
type wayName struct {
	drawn uint64
	user  string
}

var errAnew = errors.New("the peer has connected anew")

// wayOf returns the way that p is on, if it is one where nothing is lost with the connection before.
func wayOf(p *pipe) (on wayName, some bool) {
	who := p.peer.Load()
	value, _ := who.metadata.Get(zmtp.PropertyAck)
	on = wayName{zmtp.ParseAckOffer(value).Way, who.userID}
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
	if in := old.inbound.Load(); in != nil {
		in.r.abandon(in)
	}
	old.kill(errAnew)
	<-old.detached()
}

// leave forgets a connection.
func (w *ways) leave(p *pipe) {
	on, some := wayOf(p)
	if !some {
		return
	}
	w.mu.Lock()
	if w.last[on] == p {
		delete(w.last, on)
	}
	w.mu.Unlock()
}
