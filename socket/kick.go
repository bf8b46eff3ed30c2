package socket

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/meshmq/meshmq/transport/zmtp"
)

var errKicked = errors.New("kicked")

// Peers returns the peers that are connected now, handshake done, in the order of their endpoints and addresses.
func (c *core) Peers() []*Peer {
	var all []*Peer
	for _, p := range c.allPipes() {
		if p.live.Load() {
			all = append(all, p.peer.Load())
		}
	}
	slices.SortFunc(all, func(a, b *Peer) int {
		return cmp.Or(cmp.Compare(a.endpoint, b.endpoint), cmp.Compare(a.address, b.address))
	})
	return all
}

// Kick ends the connection to a peer, as Peers, an Event or a Msg has it, and returns when it has ended: what is queued for a peer
// that connected to us is dropped and counted (DropPeerGone), unless it is
// acknowledged or in a spool: then it goes to another peer, or to this one when it is back. A peer of this library, or with acknowledged
// messages, is told that it was kicked. Both sides may connect again: Disconnect ends what Connect began. It is ErrNoPeer if the peer is not connected any more.
func (c *core) Kick(peer *Peer) error {
	if err := c.usable(); err != nil {
		return &Error{Op: "kick", Err: err}
	}
	for _, p := range c.allPipes() {
		if peer != nil && p.peer.Load() == peer && p.expel(peer, errKicked, errKicked.Error()) {
			return nil
		}
	}
	e := &Error{Op: "kick", Err: fmt.Errorf("%w: it is not connected", ErrNoPeer)}
	if peer != nil {
		e.Peer = peer.address
	}
	return e
}

// expel ends the connection to a peer for the reason given, and tells the peer, if it knows what an ERROR after the handshake is and takes it soon.
// It reports false if that connection has ended before; else it returns when it has.
func (p *pipe) expel(who *Peer, cause error, told string) bool {
	p.mu.Lock()
	conn, gone := p.conn, p.gone
	if conn == nil || !p.live.Load() || p.peer.Load() != who {
		p.mu.Unlock()
		return false
	}
	p.parting = cause
	p.mu.Unlock()
	if who.ours() || who.ackIn || who.ackOut {
		p.out.Last(zmtp.AppendError(p.lastWords(), told))
	}
	p.sever(conn, cause)
	<-gone
	return true
}
