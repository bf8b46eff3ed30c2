package socket

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"

	"github.com/meshmq/meshmq/socket/spool"
)

// once is what a receiver with a window adds to it: each message that has a mark goes through admit before Recv returns it, and is marked by mark before it
// is acknowledged.
type once struct {
	r      *receiver
	window Window
	id     func(Msg) (id string, body []byte)
	close  func() error  // nil: the window is not ours
	wake   chan struct{} // a signal that there is something to mark

	marking sync.Mutex // held by who marks, and guards the field below; receiver.mu is taken under it
	marks   []spool.Mark

	// receiver.mu guards the fields below.
	flights  flights
	waiting  map[*flight]struct{} // those with copies
	ready    []held               // copies whose turn came
	handled  []*flight            // acknowledged by the application, to be marked
	size     int                  // bytes of those
	troubled bool                 // marking failed last
	stopped  bool
	failed   error // for good
}

// openOnce opens the window, if there is to be one.
func (r *receiver) openOnce() {
	c := r.c
	if c.bad != nil || c.cfg.openWindow == nil {
		return
	}
	w, release, err := c.cfg.openWindow()
	if err != nil {
		c.bad = fmt.Errorf("%w: WithWindow: %w", ErrOption, err)
		return
	}
	c.tellRecovery(WindowTrouble, WindowTorn, w)
	r.once = &once{
		r: r, window: w, id: c.cfg.messageID, close: release, wake: make(chan struct{}, 1),
		flights: newFlights(), waiting: map[*flight]struct{}{},
	}
	c.wg.Add(1)
	go r.once.run()
}

// markOf returns what a message is known by.
func (q *once) markOf(m Msg) (mark spool.Mark, ok bool) {
	mark, ok = m.Mark()
	mark.Sum = sumOf(m.Frames[q.r.lead:]...)
	if q.id != nil {
		id, body := q.id(m)
		if mark.ID = id; len(id) > sha256.Size*2 {
			sum := sha256.Sum256([]byte(id))
			mark.ID = hex.EncodeToString(sum[:])
		}
		if mark.Body = mark.Sum; body != nil {
			mark.Body = sumOf(body)
		}
	}
	return mark, ok || mark.ID != ""
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumOf tells messages apart. It is never 0.
func sumOf(frames ...[]byte) uint32 {
	sum := uint32(len(frames))
	for _, f := range frames {
		sum = crc32.Update(sum^uint32(len(f)), castagnoli, f)
	}
	return max(sum, 1)
}

// admit reports whether a message that was taken is to be returned. receiver.mu is not held.
func (q *once) admit(m Msg, p *pipe) bool {
	o := m.from
	if o.in == nil { // it needs no acknowledgement
		return true
	}
	mark, ok := q.markOf(m)
	if !ok {
		q.r.leases.begin(o)
		return true
	}
	h := held{m, p, mark}
	if o.flight() == nil { // else it has waited for its turn
		entered, err := q.enter(h)
		if err != nil {
			p.kill(err)
		}
		if !entered {
			return false
		}
	}
	// It is among the flights, so that no copy passes while the window is asked.
	seen, place, id := q.known(mark)
	if !seen {
		q.r.leases.begin(o)
		return true
	}
	if err := q.forgo(o.flight(), h, place, id); err != nil {
		p.kill(err)
	}
	return false
}

// known reports whether the window has seen a message, or another one than that, in the same place or with the same id. receiver.mu is not held: the window may be
// the application's own, and ask the socket.
func (q *once) known(mark spool.Mark) (seen, place, id bool) {
	seen = q.window.Seen(mark)
	if c, can := q.window.(clasher); seen && can {
		place, id = c.Clash(mark)
		seen = place || id || q.window.Seen(mark) // what it forgot before Clash may have been another
	}
	return seen, place, id
}

// enter makes the message a flight of its own, unless an earlier copy is one: then it waits for that.
func (q *once) enter(h held) (entered bool, clashes error) {
	q.r.mu.Lock()
	defer q.r.mu.Unlock()
	o := h.m.from
	f := q.flights.find(h.mark)
	if f == nil {
		f = &flight{mark: h.mark, owner: o}
		o.flights[o.nth] = f
		q.flights.add(f)
		return true, nil
	}
	q.r.uncountLocked(h.m)
	if samePlace(f.mark, h.mark) && f.mark.Sum != h.mark.Sum {
		return false, q.refuseLocked(h)
	}
	if o.in.open { // else it comes once more
		f.copies = append(f.copies, h)
		q.waiting[f] = struct{}{}
	}
	return false, nil
}

// samePlace reports whether marks name the same place.
func samePlace(a, b spool.Mark) bool { return a.Number > 0 && placeOf(a) == placeOf(b) }

// forgo ends the flight of a message that the window has seen. It is acknowledged again, unless it is another message in the same place, or with the same id: then
// the window is asked about its next copy.
func (q *once) forgo(f *flight, h held, place, id bool) error {
	q.r.mu.Lock()
	defer q.r.mu.Unlock()
	q.r.uncountLocked(h.m)
	switch {
	case place:
		q.passLocked(f)
		return q.refuseLocked(h)
	case id:
		q.passLocked(f)
		q.rejectLocked(h)
	default:
		q.endLocked(f)
		q.dropLocked(h)
	}
	return nil
}

// uncountLocked corrects the counters of what Recv returned for a message that it does not return. r.mu is held.
func (r *receiver) uncountLocked(m Msg) {
	r.msgs--
	r.bytes -= uint64(m.Size())
	if m.from.attempt() > 1 {
		r.acks.counts.RedeliveredIn--
	}
}

// dropLocked acknowledges a copy of what is marked.
func (q *once) dropLocked(h held) {
	q.r.acks.counts.DuplicatesIn++
	q.r.settleLocked(h.m.from)
}

// rejectLocked refuses a message for good that has the id of another which is marked: its sender keeps it as a dead letter. On a connection that has
// ended there is nothing to say; the message comes again.
func (q *once) rejectLocked(h held) {
	err := fmt.Errorf("another message with the id %q was handled", h.mark.ID)
	if o := h.m.from; o.in.open && o.in.refuseLocked(o.tag(), Reject(err.Error())) {
		q.r.acks.counts.ConflictsIn++
		q.r.c.hub.emit(Event{Kind: Conflicted, Endpoint: h.p.endpoint, Peer: o.peer, Err: err, Count: 1})
	}
}

// refuseLocked lets go of the connection of a message that stands in the place of another, and returns what the caller is to end it for.
func (q *once) refuseLocked(h held) error {
	mark := h.mark
	in := h.m.from.in
	if !in.open {
		return nil
	}
	q.r.closeLocked(in)
	q.r.sendBackLocked(in)
	return fmt.Errorf("%w: stream %s, incarnation %d, message %d", ErrStream, mark.Stream, mark.Incarnation, mark.Number)
}

// endLocked ends a flight whose message is marked. Its copies are duplicates, or conflicts.
func (q *once) endLocked(f *flight) {
	for _, h := range q.overLocked(f) {
		if samePlace(f.mark, h.mark) || f.mark.Body == h.mark.Body {
			q.dropLocked(h)
		} else {
			q.rejectLocked(h)
		}
	}
}

// overLocked takes a flight out of the books, and returns its copies. It lets go of its owner, which would keep the origins beside it in memory, and through their
// flights all that came before.
func (q *once) overLocked(f *flight) (copies []held) {
	q.flights.remove(f)
	delete(q.waiting, f)
	copies = f.copies
	f.state, f.owner, f.copies = over, nil, nil
	return copies
}

// passLocked ends a flight whose message was not handled, in favour of its next copy.
func (q *once) passLocked(f *flight) {
	copies := q.overLocked(f)
	if len(copies) == 0 {
		return
	}
	h := copies[0]
	next := &flight{mark: h.mark, owner: h.m.from, copies: copies[1:]}
	h.m.from.flights[h.m.from.nth] = next
	q.flights.add(next)
	if len(next.copies) > 0 {
		q.waiting[next] = struct{}{}
	}
	q.ready = append(q.ready, h)
	q.r.rouseLocked()
}

// leaveLocked lets go of the copies that came on a connection that has ended. They come again.
func (q *once) leaveLocked(in *inbound) {
	gone := func(h held) bool { return h.m.from.in == in }
	for f := range q.waiting {
		n := len(f.copies)
		f.copies = slices.DeleteFunc(f.copies, gone)
		q.r.acks.counts.ReturnedIn += uint64(n - len(f.copies))
		if len(f.copies) == 0 {
			delete(q.waiting, f)
		}
	}
	kept := q.ready[:0]
	for _, h := range q.ready {
		if gone(h) {
			q.r.acks.counts.ReturnedIn++
			defer q.passLocked(h.m.from.flight()) // which appends to ready
		} else {
			kept = append(kept, h)
		}
	}
	clear(q.ready[len(kept):])
	q.ready = kept
}

func (q *once) readyLocked() bool { return q != nil && (len(q.ready) > 0 || q.failed != nil) }

// firstLocked returns what comes before all that waits in inboxes, if there is any. r.mu is held.
func (r *receiver) firstLocked() (Msg, *pipe, error) {
	if len(r.missed) > 0 {
		err := r.missed[0]
		r.missed = r.missed[1:]
		return Msg{}, nil, &Error{Op: "recv", Peer: err.Peer.address, Err: err}
	}
	return r.once.nextLocked()
}

// nextLocked returns a copy whose turn came, if there is one, and the error that the window has failed with.
func (q *once) nextLocked() (Msg, *pipe, error) {
	if q == nil {
		return Msg{}, nil, nil
	}
	if q.failed != nil {
		return Msg{}, nil, &Error{Op: "recv", Err: q.failed}
	}
	if len(q.ready) == 0 {
		return Msg{}, nil, nil
	}
	h := q.ready[0]
	q.ready[0] = held{}
	q.ready = q.ready[1:]
	q.r.msgs++
	q.r.bytes += uint64(h.m.Size())
	if h.m.from.attempt() > 1 {
		q.r.acks.counts.RedeliveredIn++
	}
	return h.m, h.p, nil
}
