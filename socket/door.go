package socket

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// handshakeGrace is for how long a peer may keep us waiting before its handshake is given up for another of the same address: longer than an honest one takes around the world.
// Without it many peers that come at once would push each other out, and none would finish.
const handshakeGrace = time.Second

var (
	errTooManyPeers       = &limitError{fmt.Errorf("refused: WithMaxPeers peers are connected"), RefusedPeers}
	errTooManyOfAddress   = &limitError{fmt.Errorf("refused: WithMaxPeersPerAddress peers of this address are connected"), RefusedPeers}
	errTooManyHandshakes  = &limitError{fmt.Errorf("refused: WithMaxHandshakes handshakes are under way"), RefusedHandshakes}
	errHandshakesOfOrigin = &limitError{fmt.Errorf("refused: WithMaxHandshakes handshakes of this address are under way"), RefusedHandshakes}
	errPushedOut          = &limitError{fmt.Errorf("given up for a newcomer: WithMaxHandshakes handshakes are under way, and this one did not get on"), RefusedHandshakes}
)

// door keeps count of who is coming in, and decides who has to go when there are too many. It has a peer's handshake for an unit: what one
// that does not finish can hold is a place at the door, until others need that.
//
// Who gives way is the oldest handshake of the address that has the most under way. So whoever fills all places from one address, or a few, keeps
// nobody else out; and a newcomer of that address itself gets in as soon as an old one has had its grace. Where it is our turn, as when this process has no time for its peers, none
// is late: what a peer has sent behind its handshake would be lost.
type door struct {
	cfg *limitConfig

	mu     sync.Mutex // guards the fields below
	guests map[netip.Prefix][]*guest
	count  int                  // guests
	peers  map[netip.Prefix]int // that are past their handshake
	inside int                  // all of those
	crowd                       // who waits for a place
}

// guest is a connection that came in.
type guest struct {
	conn net.Conn
	from netip.Prefix
	came time.Time

	// The fields below are guarded by door.mu.
	asked  time.Time // when we first waited for it to say something; zero before
	silent bool      // we wait for that
	ready  bool      // it may have our READY, and have sent what would be lost
	inside bool      // its handshake is done
	out    bool      // it was pushed out, and is no guest any more
}

// originOf is what connections are counted by: the address, or for IPv6 the network of 64 bits, which is what a host has at least. Those
// without an IP address, of ipc for example, have one origin together.
func originOf(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	from, _ := ip.Prefix(bits)
	return from
}

// enterLocked lets a connection in as far as its handshake, gentle only where that costs nobody a place who is not late. The guest that has to go for it, if any, is the caller's to close.
func (d *door) enterLocked(conn net.Conn, now time.Time, gentle bool) (g, gone *guest, err error) {
	g = &guest{conn: conn, from: originOf(conn.RemoteAddr()), came: now}
	gone, err = d.roomLocked(g, gentle)
	if err != nil {
		return nil, nil, err
	}
	if gone != nil {
		gone.out = true
		d.removeLocked(gone)
	}
	if d.guests == nil {
		d.guests, d.peers = map[netip.Prefix][]*guest{}, map[netip.Prefix]int{}
	}
	d.guests[g.from] = append(d.guests[g.from], g)
	d.count++
	return g, gone, nil
}

// roomLocked returns who has to go for g, nil if there is room, or why there is none.
func (d *door) roomLocked(g *guest, gentle bool) (gone *guest, err error) {
	cfg, mine := d.cfg, d.guests[g.from]
	switch {
	case cfg.maxPeers > 0 && d.inside >= cfg.maxPeers:
		return nil, errTooManyPeers
	case cfg.maxPeersEach > 0 && g.from.IsValid() && d.peers[g.from] >= cfg.maxPeersEach:
		return nil, errTooManyOfAddress
	case d.fullLocked(g.from):
		if gone = old(mine, g.came); gone == nil {
			return nil, errHandshakesOfOrigin
		}
		return gone, nil
	case !reached(d.count, cfg.maxHandshakes) && !(cfg.maxPeers > 0 && d.inside+d.count >= cfg.maxPeers):
		return nil, nil
	}
	most := mine
	for _, others := range d.guests {
		if len(others) > len(most) || len(others) == len(most) && len(most) > 0 && others[0].came.Before(most[0].came) {
			most = others
		}
	}
	if !gentle && len(most) > len(mine)+1 {
		return first(most, g.came), nil
	}
	for _, others := range d.guests { // of those that have as many, since what one of them waits for may be ours
		if len(others) == len(most) {
			if one := old(others, g.came); one != nil && (gone == nil || one.came.Before(gone.came)) {
				gone = one
			}
		}
	}
	if gone == nil {
		return nil, errTooManyHandshakes
	}
	return gone, nil
}

// fullLocked reports whether an address has as many handshakes under way as it may.
func (d *door) fullLocked(from netip.Prefix) bool {
	if !from.IsValid() {
		return false
	}
	mine := len(d.guests[from])
	if each := d.cfg.maxPeersEach; each > 0 && d.peers[from]+mine >= each {
		return true
	}
	return reached(mine, d.cfg.maxHandshakesEach)
}

func reached(n, limit int) bool { return limit > 0 && n >= limit }

// old is the oldest of some guests that has had its grace and owes us something, nil if there is none.
func old(guests []*guest, now time.Time) *guest {
	for _, g := range guests {
		if !g.asked.IsZero() && now.Sub(g.asked) >= handshakeGrace && g.owes() {
			return g
		}
	}
	return nil
}

// first is who of some guests is the first to give way to another address: who is late, who does not have our READY, who keeps us waiting, the oldest.
func first(guests []*guest, now time.Time) *guest {
	if g := old(guests, now); g != nil {
		return g
	}
	if i := slices.IndexFunc(guests, func(g *guest) bool { return !g.ready && g.owes() }); i >= 0 {
		return guests[i]
	}
	return guests[max(0, slices.IndexFunc(guests, (*guest).owes))]
}

// owes reports whether we wait for the guest, and it for nothing.
func (g *guest) owes() bool { return g.silent && unread(g.conn) == 0 }

// listen notes whether we wait for a guest, nil for who is none, to say something.
func (d *door) listen(g *guest, waits bool) {
	if g == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if g.silent = waits; waits && g.asked.IsZero() {
		g.asked = time.Now()
	}
}

// ready is called before a guest, nil for who is none, gets our READY. It returns why it does not.
func (d *door) ready(g *guest) error {
	if g == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if g.out {
		return errPushedOut
	}
	g.ready = true
	return nil
}

// pass is called when the handshake of a guest has ended, well or with an error. It returns why it is refused, if it is.
func (d *door) pass(g *guest, err error) error {
	if g == nil { // we connected to it, or it was attached
		return err
	}
	d.mu.Lock()
	var turns []turn
	defer func() { d.mu.Unlock(); call(turns) }()
	if g.out {
		return errPushedOut
	}
	if err == nil {
		d.removeLocked(g)
		g.inside = true
		d.inside++
		d.peers[g.from]++
		turns = d.turnsLocked(time.Now())
	}
	return err
}

// leave is called when a connection that came in has ended.
func (d *door) leave(g *guest) {
	d.mu.Lock()
	var turns []turn
	defer func() { d.mu.Unlock(); call(turns) }()
	switch {
	case g.inside:
		d.inside--
		if d.peers[g.from]--; d.peers[g.from] == 0 {
			delete(d.peers, g.from)
		}
	case !g.out:
		d.removeLocked(g)
	default:
		return
	}
	turns = d.turnsLocked(time.Now())
}

func (d *door) removeLocked(g *guest) {
	mine := d.guests[g.from]
	for i := range mine {
		if mine[i] == g {
			mine = append(mine[:i], mine[i+1:]...)
			break
		}
	}
	d.count--
	if len(mine) == 0 {
		delete(d.guests, g.from)
	} else {
		d.guests[g.from] = mine
	}
}
