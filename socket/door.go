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

// crowdPause is how long a newcomer of this host waits for a place: of a crowd that gets on one passes every few hundred microseconds, a busy processor's turn apart at most. Who only holds places
// keeps others waiting once for as long.
const crowdPause = 50 * time.Millisecond

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
	queue  []chan struct{}      // of accept loops that wait for a place; each is closed when it is its turn
	stuck  bool                 // somebody of this host waited in vain, and nobody has passed since
}

// guest is a connection that came in.
type guest struct {
	conn net.Conn
	from netip.Prefix
	came time.Time

	// The fields below are guarded by door.mu.
	asked  time.Time // when we first waited for it to say something; zero before
	silent bool      // we wait for that
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

// await is enter for a newcomer that may have to wait for a place: of a crowd that comes at once the others wait in the system's backlog meanwhile, since nothing more is accepted. To refuse them would have
// all come again and again. Only those wait who keep nobody out by that, see bearsLocked, and no longer than those before them have grace, or, of this host, crowdPause. stopped ends it.
func (d *door) await(conn net.Conn, stopped <-chan struct{}) (g, gone *guest, err error) {
	own := d.own(originOf(conn.RemoteAddr()))
	var most *time.Timer
	for {
		g, gone, turn, err := d.enterOrQueue(conn, time.Now())
		if turn == nil {
			if most != nil && err != nil {
				d.passTurn()
			}
			return g, gone, err
		}
		if most == nil {
			most = time.NewTimer(handshakeGrace)
			if own {
				most.Reset(crowdPause)
			}
			defer most.Stop()
		}
		select {
		case <-turn:
		case <-most.C:
			d.unqueue(turn)
			return d.enterAfter(conn, own, time.Now())
		case <-stopped:
			d.unqueue(turn)
			return nil, nil, err
		}
	}
}

// enterOrQueue is enter, and returns what to wait for if there is no place.
func (d *door) enterOrQueue(conn net.Conn, now time.Time) (g, gone *guest, turn chan struct{}, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g, gone, err = d.enterLocked(conn, now)
	if from := originOf(conn.RemoteAddr()); err == errTooManyHandshakes && d.bearsLocked(from) {
		turn = make(chan struct{})
		d.queue = append(d.queue, turn)
	}
	return g, gone, turn, err
}

// enterAfter is enter for who waited in vain. Of this host nobody waits then until somebody has passed: who holds these places is no crowd that gets on.
func (d *door) enterAfter(conn net.Conn, own bool, now time.Time) (g, gone *guest, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stuck = d.stuck || own
	return d.enterLocked(conn, now)
}

// bearsLocked reports whether those behind a newcomer bear to wait with it: it comes from this host, where they mostly do as well, and places are given up; or from an address that nobody in the doorway has
// come from. Of those who fill that up from a few addresses no other waits.
func (d *door) bearsLocked(from netip.Prefix) bool {
	return d.own(from) && !d.stuck || len(d.guests[from]) == 0
}

// own reports whether it is this host, which is not limited to so many handshakes at a time.
func (d *door) own(from netip.Prefix) bool {
	return !from.IsValid() || from.Addr().IsLoopback() && !d.cfg.loopbackToo
}

func (d *door) passTurn() {
	d.mu.Lock()
	d.nextLocked()
	d.mu.Unlock()
}

// unqueue has the next one try if it was already the turn of who waits no longer.
func (d *door) unqueue(turn chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.Index(d.queue, turn); i >= 0 {
		d.queue = slices.Delete(d.queue, i, i+1)
		return
	}
	d.nextLocked()
}

// nextLocked has who waits longest try again.
func (d *door) nextLocked() {
	if len(d.queue) > 0 {
		close(d.queue[0])
		d.queue = d.queue[1:]
	}
}

// enter lets a connection in as far as its handshake. The guest that has to go for it, if any, is the caller's to close.
func (d *door) enter(conn net.Conn, now time.Time) (g, gone *guest, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.enterLocked(conn, now)
}

func (d *door) enterLocked(conn net.Conn, now time.Time) (g, gone *guest, err error) {
	g = &guest{conn: conn, from: originOf(conn.RemoteAddr()), came: now}
	gone, err = d.roomLocked(g)
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
func (d *door) roomLocked(g *guest) (gone *guest, err error) {
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
	if len(most) > len(mine)+1 {
		return most[max(0, slices.IndexFunc(most, (*guest).owes))], nil
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
	return reached(mine, d.cfg.maxHandshakesEach) && (d.cfg.loopbackToo || !from.Addr().IsLoopback())
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

// pass is called when the handshake of a guest has ended, well or with an error. It returns why it is refused, if it is.
func (d *door) pass(g *guest, err error) error {
	if g == nil { // we connected to it, or it was attached
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if g.out {
		return errPushedOut
	}
	if err == nil {
		d.removeLocked(g)
		d.nextLocked()
		d.stuck = false
		g.inside = true
		d.inside++
		d.peers[g.from]++
	}
	return err
}

// leave is called when a connection that came in has ended.
func (d *door) leave(g *guest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case g.inside:
		d.inside--
		if d.peers[g.from]--; d.peers[g.from] == 0 {
			delete(d.peers, g.from)
		}
	case !g.out:
		d.removeLocked(g)
		d.nextLocked()
	}
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
