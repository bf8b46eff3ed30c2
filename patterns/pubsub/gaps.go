package pubsub

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/meshmq/meshmq/socket"
)

// ErrGap is the error for events that were published and did not come. See GapError.
var ErrGap = errors.New("events are missing")

// GapError says which events of a publisher did not come, though all that they have in common is subscribed to. It is an ErrGap.
type GapError struct {
	Topic     string // of the events, or what their topics begin with, dot included
	Numbering uint64 // by which a publisher that began anew is told from the one before
	From, To  uint64 // their numbers
}

// Error says which.
func (e *GapError) Error() string {
	return fmt.Sprintf("%s: %d to %d of %s", ErrGap, e.From, e.To, e.Topic)
}

// Unwrap returns ErrGap.
func (e *GapError) Unwrap() error { return ErrGap }

// GapCounts says what WithGapDetection found.
type GapCounts struct {
	Gaps       uint64 // reported
	Missing    uint64 // events in them
	Reordered  uint64 // events that came late, but within the grace period, and were handled
	Duplicates uint64 // events that came again, or after their gap was reported, and were not handled
	Numberings uint64 // that were met: more than one for a topic if it has several publishers, or one that began anew
}

// maxSpans bounds the open gaps of a numbering: with more the oldest is reported early.
const maxSpans = 64

// gaps watches numbers of events.
type gaps struct {
	grace  time.Duration
	report func(*GapError, *socket.Peer) // called with no lock held
	turn   chan struct{}                 // of who receives: events are to be looked at in the order they come

	mu      sync.Mutex // guards the fields below
	tracks  map[track]*trail
	counts  GapCounts
	timer   *time.Timer // nil while no gap is open
	reports sync.WaitGroup
}

// track is whose numbers those are. common belongs to the key so that a peer cannot mix up the numbers of others' topics.
type track struct {
	common    string
	numbering uint64
}

// trail is what has come. Invariant: the spans are disjoint, ascending and below last.
type trail struct {
	last uint64
	open []span
}

// span is a gap that may be filled yet.
type span struct {
	from, to uint64
	since    time.Time
	peer     *socket.Peer // that showed it
}

// gap is a span to be reported.
type gap struct {
	err  *GapError
	peer *socket.Peer
}

func newGaps(grace time.Duration, report func(*GapError, *socket.Peer)) *gaps {
	return &gaps{grace: grace, report: report, turn: make(chan struct{}, 1), tracks: map[track]*trail{}}
}

// take notes an event, and reports whether it is to be handled.
func (g *gaps) take(common string, p place, peer *socket.Peer) bool {
	g.mu.Lock()
	key := track{common, p.numbering}
	t := g.tracks[key]
	if t != nil && p.number == t.last+1 { // as nearly always
		t.last++
		g.mu.Unlock()
		return true
	}
	var over []gap
	fresh := true
	switch {
	case t == nil:
		over = g.meetLocked(key, p.number)
	case p.number > t.last:
		t.open = append(t.open, span{t.last + 1, p.number - 1, time.Now(), peer})
		t.last = p.number
		over = g.overLocked(over, key, t, func(i int, _ span) bool { return g.grace == 0 || len(t.open)-i > maxSpans })
		g.armLocked(g.grace)
	case t.fill(p.number):
		g.counts.Reordered++
	default:
		g.counts.Duplicates++
		fresh = false
	}
	g.mu.Unlock()
	g.tell(over)
	return fresh
}

// meetLocked begins a trail, where it happens to be.
func (g *gaps) meetLocked(key track, number uint64) (over []gap) {
	if len(g.tracks) == maxNumberings { // one of them has to go, whichever
		for k, t := range g.tracks {
			over = g.overLocked(over, k, t, func(int, span) bool { return true })
			delete(g.tracks, k)
			break
		}
	}
	g.tracks[key] = &trail{last: number}
	g.counts.Numberings++
	return over
}

// fill closes the gap at a number, and reports whether there was one.
func (t *trail) fill(number uint64) bool {
	for i := range t.open {
		s := &t.open[i]
		switch {
		case number < s.from || number > s.to:
			continue
		case s.from == s.to:
			t.open = slices.Delete(t.open, i, i+1)
		case number == s.from:
			s.from++
		case number == s.to:
			s.to--
		default:
			behind := *s
			behind.from, s.to = number+1, number-1
			t.open = slices.Insert(t.open, i+1, behind)
		}
		return true
	}
	return false
}

// overLocked takes out the open gaps that are given up, and counts them.
func (g *gaps) overLocked(over []gap, key track, t *trail, given func(i int, s span) bool) []gap {
	kept := t.open[:0]
	for i, s := range t.open {
		if !given(i, s) {
			kept = append(kept, s)
			continue
		}
		g.counts.Gaps++
		g.counts.Missing += s.to - s.from + 1
		over = append(over, gap{&GapError{Topic: key.common, Numbering: key.numbering, From: s.from, To: s.to}, s.peer})
	}
	t.open = kept
	return over
}

// armLocked has the open gaps looked at after a while.
func (g *gaps) armLocked(after time.Duration) {
	if g.timer != nil || g.grace == 0 {
		return
	}
	g.reports.Add(1)
	g.timer = time.AfterFunc(after, func() { // ended or awaited by settle
		defer g.reports.Done()
		g.mu.Lock()
		g.timer = nil
		now, earliest := time.Now(), time.Time{}
		var over []gap
		for key, t := range g.tracks {
			over = g.overLocked(over, key, t, func(_ int, s span) bool { return now.Sub(s.since) >= g.grace })
			if len(t.open) > 0 && (earliest.IsZero() || t.open[0].since.Before(earliest)) {
				earliest = t.open[0].since
			}
		}
		if !earliest.IsZero() {
			g.armLocked(g.grace - now.Sub(earliest))
		}
		g.mu.Unlock()
		g.tell(over)
	})
}

func (g *gaps) tell(over []gap) {
	for _, gap := range over {
		g.report(gap.err, gap.peer)
	}
}

// keep forgets all trails that are not of use any more: what was not subscribed to for a while has no numbers to go on with. Its open gaps are not reported.
func (g *gaps) keep(use func(common string) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key := range g.tracks {
		if !use(key.common) {
			delete(g.tracks, key)
		}
	}
}

// settle reports all that is open now, and waits until that has been done.
func (g *gaps) settle() {
	g.mu.Lock()
	if g.timer != nil && g.timer.Stop() {
		g.timer = nil
		g.reports.Done()
	}
	var over []gap
	for key, t := range g.tracks {
		over = g.overLocked(over, key, t, func(int, span) bool { return true })
	}
	g.mu.Unlock()
	g.tell(over)
	g.reports.Wait()
}

func (g *gaps) counted() GapCounts {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.counts
}
