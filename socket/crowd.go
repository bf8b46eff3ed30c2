package socket

import (
	"net"
	"net/netip"
	"slices"
	"time"
)

// crowd is who came in and waits for a place at the door: nothing is read of it, and what it takes is a file descriptor. To refuse it would have it come again and again. Addresses take turns, so
// that who comes with many connections has nobody else wait longer than with one.
type crowd struct {
	waiting map[netip.Prefix][]*newcomer // none is empty
	order   []netip.Prefix               // of waiting, by turn
	waits   int                          // all of them
	clock   *time.Timer                  // looks who is late, while anybody waits
	moved   time.Time                    // when one of them last had a place that was free
}

// newcomer is a connection that has no place yet.
type newcomer struct {
	conn net.Conn
	at   *listener
	let  func(g, gone *guest, err error) // is called once, by any goroutine: it has a place, or is refused

	came time.Time
	why  error // it waits
}

// turn is what let is to be called with, when no lock is held.
type turn struct {
	who     *newcomer
	g, gone *guest
	err     error
}

func call(turns []turn) {
	for _, t := range turns {
		t.who.let(t.g, t.gone, t.err)
	}
}

const (
	// crowdOfPlace is how many may wait for each place: 4,096 with the default, as many as the backlog of a listener holds on Linux. With a quarter of that most of a crowd of 4,000 was refused and came again.
	crowdOfPlace = 16
	// crowdUnbound is how many may wait where there is no bound on places but on those of an address.
	crowdUnbound = 4096
	// crowdTick is how often it is looked who has had its grace, which nobody tells, and how long no place has become free when somebody of an address with more gives way to a newcomer: an honest crowd leaves
	// one every few milliseconds.
	crowdTick = 50 * time.Millisecond
	// crowdTries bounds among how many addresses it is chosen whose turn it is: a lock is held meanwhile.
	crowdTries = 16
)

// come lets a newcomer in, has it wait, or refuses it.
func (d *door) come(n *newcomer) {
	call(d.comeAt(n, time.Now()))
}

func (d *door) comeAt(n *newcomer, now time.Time) []turn {
	d.mu.Lock()
	defer d.mu.Unlock()
	n.came = now
	from := originOf(n.conn.RemoteAddr())
	var t turn
	if len(d.waiting[from]) == 0 { // else it is not its turn
		if t = d.turnLocked(n, now, true); !d.patient(t.err) {
			return []turn{t}
		}
		n.why = t.err
	} else {
		n.why = d.waiting[from][0].why
	}
	var turns []turn
	if d.crowdedLocked() {
		most := d.longestLocked(from)
		if most == from && len(d.waiting[from]) > 0 {
			return []turn{{who: n, err: n.why}}
		} else if most == from {
			return []turn{d.turnLocked(n, now, false)}
		}
		line := d.waiting[most]
		turns = append(turns, d.refuseLocked(most, line[len(line)-1]))
	}
	d.waitLocked(from, n)
	return turns
}

// turnLocked is what comes of it if it is the turn of n.
func (d *door) turnLocked(n *newcomer, now time.Time, gentle bool) turn {
	g, gone, err := d.enterLocked(n.conn, now, gentle)
	return turn{who: n, g: g, gone: gone, err: err}
}

// patient reports whether what kept somebody out passes.
func (d *door) patient(err error) bool {
	return err == errTooManyHandshakes || err == errHandshakesOfOrigin
}

// crowdedLocked reports whether no more may wait. They count as peers to be, too.
func (d *door) crowdedLocked() bool {
	return d.waits >= crowdBound(d.cfg.maxHandshakes, descriptors()) || d.cfg.maxPeers > 0 && d.inside+d.count+d.waits >= d.cfg.maxPeers
}

// crowdBound is how many may wait for so many places, zero for any number, in a process that may have so many files open, zero if that is not known: the strangers of a socket leave it three quarters of them.
func crowdBound(places, files int) int {
	bound := crowdUnbound
	if places > 0 {
		bound = crowdOfPlace * places
	}
	if files > 0 {
		bound = min(bound, files/4)
	}
	return bound
}

// longestLocked is the address of which the most wait, from if it has as many with the one that comes.
func (d *door) longestLocked(from netip.Prefix) netip.Prefix {
	most, n := from, len(d.waiting[from])+1
	for other, line := range d.waiting {
		if len(line) > n {
			most, n = other, len(line)
		}
	}
	return most
}

func (d *door) waitLocked(from netip.Prefix, n *newcomer) {
	if d.waiting == nil {
		d.waiting = map[netip.Prefix][]*newcomer{}
	}
	line := d.waiting[from]
	if len(line) == 0 {
		d.order = append(d.order, from)
	}
	d.waiting[from] = append(line, n)
	if d.waits++; d.waits > 1 {
		return
	}
	if d.clock == nil {
		d.clock = time.AfterFunc(crowdTick, d.tick)
	} else {
		d.clock.Reset(crowdTick)
	}
}

// refuseLocked ends the wait of n.
func (d *door) refuseLocked(from netip.Prefix, n *newcomer) turn {
	d.unwaitLocked(from, n)
	return turn{who: n, err: n.why}
}

func (d *door) unwaitLocked(from netip.Prefix, n *newcomer) {
	line := d.waiting[from]
	if i := slices.Index(line, n); i == 0 {
		line[0] = nil
		line = line[1:]
	} else {
		line = slices.Delete(line, i, i+1)
	}
	if d.waiting[from] = line; len(line) == 0 {
		delete(d.waiting, from)
		d.order = slices.DeleteFunc(d.order, func(a netip.Prefix) bool { return a == from })
	}
	if d.waits--; d.waits == 0 {
		d.clock.Stop()
	}
}

// turnsLocked lets in who may come now: of the addresses that are next, who have the fewest inside. Those of one that is slow leave it to the others.
func (d *door) turnsLocked(now time.Time) (turns []turn) {
	for d.waits > 0 {
		next := slices.Clone(d.order[:min(crowdTries, len(d.order))])
		slices.SortStableFunc(next, func(a, b netip.Prefix) int { return len(d.guests[a]) - len(d.guests[b]) })
		let := slices.ContainsFunc(next, func(from netip.Prefix) bool {
			n := d.waiting[from][0]
			t := d.turnLocked(n, now, d.gentleLocked(n, now))
			if t.err == errHandshakesOfOrigin { // others may come meanwhile
				d.lastLocked(from)
			}
			if d.patient(t.err) {
				return false
			}
			if d.unwaitLocked(from, n); len(d.waiting[from]) > 0 {
				d.lastLocked(from)
			}
			if t.err == nil && t.gone == nil {
				d.moved = now
			}
			turns = append(turns, t)
			return true
		})
		if !let {
			break
		}
	}
	return turns
}

// lastLocked puts an address behind all others.
func (d *door) lastLocked(from netip.Prefix) {
	d.order = append(slices.DeleteFunc(d.order, func(a netip.Prefix) bool { return a == from }), from)
}

// gentleLocked reports whether nobody is to give way to n yet who is not late: the crowd moves on, and it will have its turn.
func (d *door) gentleLocked(n *newcomer, now time.Time) bool {
	waited := now.Sub(n.came)
	return waited < crowdTick || waited < handshakeGrace && now.Sub(d.moved) < crowdTick
}

// tick lets in who may come in place of guests that are late, and refuses who has waited for as long as a handshake may take.
func (d *door) tick() {
	now := time.Now()
	d.mu.Lock()
	turns := d.turnsLocked(now)
	if most := d.cfg.handshakeTime(false); most > 0 {
		for _, from := range slices.Clone(d.order) {
			for line := d.waiting[from]; len(line) > 0 && now.Sub(line[0].came) >= most; line = d.waiting[from] {
				turns = append(turns, d.refuseLocked(from, line[0]))
			}
		}
	}
	if d.waits > 0 {
		d.clock.Reset(crowdTick)
	}
	d.mu.Unlock()
	call(turns)
}

// dismiss refuses all who wait and came to a listener that has stopped.
func (d *door) dismiss(l *listener) {
	d.mu.Lock()
	var turns []turn
	for _, from := range slices.Clone(d.order) {
		for _, n := range slices.Clone(d.waiting[from]) {
			if n.at == l {
				t := d.refuseLocked(from, n)
				t.err = ErrClosed
				turns = append(turns, t)
			}
		}
	}
	d.mu.Unlock()
	call(turns)
}
