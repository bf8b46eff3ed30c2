package mdns

import (
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/meshmq/meshmq/discovery"
)

const (
	misses = 3 // rounds without an answer before silence means anything

	// RFC 6762, 5.2: ask again at 80, 85, 90 % of a record's life, plus up to 2 % at random so that
	// not all watchers ask at once.
	refreshAt   = 0.80
	refreshStep = 0.05
	refreshRand = 0.02

	// How fast what is shown may change: 64 new peers a second after a burst of 1024 (a large
	// network seen for the first time), one change a second of each after a burst of 5 (RFC 6762,
	// 6: a record is not multicast more than once a second). What is over is left out; the next
	// time it is heard it may be shown.
	upBurst, upRate         = 1024, 64
	changeBurst, changeRate = 5, 1

	// What was said of an instance may be taken in after what was said later, for each socket has a
	// reader of its own. It is left out for this long, which no reader lags behind; not for ever, so
	// that a program that starts again with its clock set back is heard.
	lag = 10 * time.Second
)

// cache is what one Watch knows. It has no clock, timer or goroutine: time is an argument.
type cache struct {
	max   int
	rand  func() float64 // in [0, 1)
	peers map[string]*peer
	left  map[place]farewell
	asked time.Time // the last round
	ups   bucket
}

// peer is an instance, merged from what is heard of it through each interface.
type peer struct {
	views   map[int]*view // by interface, never empty
	shown   discovery.Instance
	changes bucket
}

type view struct {
	in       discovery.Instance
	revision uint64
	heard    time.Time
	ttl      time.Duration
	missed   int     // rounds since the record was due for a refresh
	jitter   float64 // of the refresh, as a share of the life
}

// place is where an instance was heard.
type place struct {
	id    string
	index int // of the interface
}

// farewell is a goodbye that was heard. Each took an Up, whose rate bounds how many are kept.
type farewell struct {
	revision uint64
	at       time.Time
}

func newCache(max int, rand func() float64) *cache {
	return &cache{max: max, rand: rand, peers: make(map[string]*peer), left: make(map[place]farewell)}
}

// see takes in what was heard and returns the event it makes, if any.
func (c *cache) see(s sighting, now time.Time) (discovery.Event, bool) {
	p := c.peers[s.in.ID]
	switch {
	case c.overtaken(p, s, now):
		return discovery.Event{}, false
	case p == nil && (s.ttl == 0 || len(c.peers) >= c.max || !c.ups.take(now, upBurst, upRate)):
		return discovery.Event{}, false
	case p == nil:
		p = &peer{views: map[int]*view{}, shown: s.in}
		c.peers[s.in.ID] = p
		p.views[s.index] = c.view(s, now)
		return discovery.Event{Kind: discovery.Up, Instance: p.shown.Clone()}, true
	case p.shown.Service != s.in.Service:
		return discovery.Event{}, false // an ID keeps its service: this is another's attempt
	case s.ttl == 0:
		delete(p.views, s.index)
		maps.DeleteFunc(c.left, func(_ place, f farewell) bool { return now.Sub(f.at) >= lag })
		c.left[place{s.in.ID, s.index}] = farewell{s.revision, now}
		return c.show(p, now, false)
	}
	p.views[s.index] = c.view(s, now)
	return c.show(p, now, false)
}

func (c *cache) view(s sighting, now time.Time) *view {
	return &view{in: s.in, revision: s.revision, heard: now, ttl: s.ttl, jitter: refreshRand * c.rand()}
}

// overtaken says whether something later than s was heard of p before it, where s was heard.
func (c *cache) overtaken(p *peer, s sighting, now time.Time) bool {
	if s.revision == 0 {
		return false
	}
	if p != nil && p.views[s.index] != nil {
		v := p.views[s.index]
		return s.revision < v.revision && now.Sub(v.heard) < lag
	}
	f, ok := c.left[place{s.in.ID, s.index}]
	return ok && s.revision <= f.revision && now.Sub(f.at) < lag
}

// show compares what is known of p with what was last said of it.
func (c *cache) show(p *peer, now time.Time, expired bool) (discovery.Event, bool) {
	if len(p.views) == 0 {
		delete(c.peers, p.shown.ID)
		return discovery.Event{Kind: discovery.Down, Instance: p.shown, Expired: expired}, true
	}
	in := p.merge()
	if in.Equal(p.shown) || !p.changes.take(now, changeBurst, changeRate) {
		return discovery.Event{}, false
	}
	p.shown = in
	return discovery.Event{Kind: discovery.Change, Instance: in.Clone()}, true
}

// merge returns the latest word of the instance with the endpoints of all interfaces it was heard through.
func (p *peer) merge() discovery.Instance {
	var latest *view
	var endpoints []string
	for _, index := range slices.Sorted(maps.Keys(p.views)) {
		v := p.views[index]
		if latest == nil || v.revision > latest.revision || v.revision == latest.revision && v.heard.After(latest.heard) {
			latest = v
		}
	}
	for _, index := range slices.Sorted(maps.Keys(p.views)) {
		if v := p.views[index]; v.revision == latest.revision {
			endpoints = append(endpoints, v.in.Endpoints...)
		}
	}
	in := latest.in
	in.Endpoints = endpoints
	return in.On(nil) // drops repeated ones and those above the limit
}

// markAsked counts a round: every record due for a refresh misses it until it is heard again.
func (c *cache) markAsked(now time.Time) {
	c.asked = now
	for v := range c.views() {
		if !now.Before(v.refresh(0)) {
			v.missed++
		}
	}
}

// refreshDue says whether it is time for a round to keep records alive.
func (c *cache) refreshDue(now time.Time) bool {
	for v := range c.views() {
		if v.missed < misses && !now.Before(c.due(v)) {
			return true
		}
	}
	return false
}

// expire forgets records whose life is over and whose refreshes were not answered. A program
// that slept through a record's life asks before it forgets.
func (c *cache) expire(now time.Time) []discovery.Event {
	var events []discovery.Event
	for _, id := range slices.Sorted(maps.Keys(c.peers)) {
		p, gone := c.peers[id], false
		for index, v := range p.views {
			if v.missed >= misses && !now.Before(c.due(v)) {
				delete(p.views, index)
				gone = true
			}
		}
		if !gone {
			continue
		}
		if e, ok := c.show(p, now, true); ok {
			events = append(events, e)
		}
	}
	return events
}

// next returns when refreshDue or expire will have something to do; zero means never.
func (c *cache) next() time.Time {
	var first time.Time
	for v := range c.views() {
		if due := c.due(v); first.IsZero() || due.Before(first) {
			first = due
		}
	}
	return first
}

// due is when the next round for v is, or after enough of them, when it expires: never before
// the last round had time to be answered.
func (c *cache) due(v *view) time.Time {
	at := v.heard.Add(v.ttl)
	if v.missed < misses {
		at = v.refresh(v.missed)
	}
	if answered := c.asked.Add(share(v.ttl, refreshStep)); at.Before(answered) {
		return answered
	}
	return at
}

// refresh is when round n to keep v alive is due.
func (v *view) refresh(n int) time.Time {
	return v.heard.Add(share(v.ttl, refreshAt+refreshStep*float64(n)+v.jitter))
}

func (c *cache) views() iter.Seq[*view] {
	return func(yield func(*view) bool) {
		for _, p := range c.peers {
			for _, v := range p.views {
				if !yield(v) {
					return
				}
			}
		}
	}
}

func share(d time.Duration, part float64) time.Duration { return time.Duration(float64(d) * part) }

// bucket is a token bucket that starts full.
type bucket struct {
	spent float64 // tokens missing from a full bucket
	at    time.Time
}

// take takes a token if there is one.
func (b *bucket) take(now time.Time, burst, perSecond float64) bool {
	if !b.at.IsZero() {
		b.spent = max(0, b.spent-now.Sub(b.at).Seconds()*perSecond)
	}
	b.at = now
	if b.spent+1 > burst {
		return false
	}
	b.spent++
	return true
}
