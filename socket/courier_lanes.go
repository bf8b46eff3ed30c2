package socket

import (
	"hash/maphash"
	"slices"
)

// lanes keep the messages of each key in order and with one member at a time: while some are with a member, others go to that one or wait, and while
// one waits to be delivered again, later ones wait for it. What waits is parked: no others have to wait with it.
type lanes struct {
	key    func(frames [][]byte) []byte // nil: the first frame
	seed   maphash.Seed
	byKey  map[uint64]*lane  // by the hash of the key: two keys of one hash are taken for one
	open   map[uint64]uint64 // of messages that were handed out and are not done with: number and hash
	parked int
	freed  []retry // parked no more
}

// lane is one key, while messages of it are open.
type lane struct {
	at     *member  // has those that fly
	flying int      // with at
	again  []uint64 // came back, to be delivered again, in order
	parked []retry  // in order
}

// maxParked bounds what waits for others of its key, 3 MB. While there is so much nothing new is read.
const maxParked = 1 << 16

func newLanes(key func(frames [][]byte) []byte) *lanes {
	return &lanes{key: key, seed: maphash.MakeSeed(), byKey: map[uint64]*lane{}, open: map[uint64]uint64{}}
}

// hash returns that of a message's key: of one that is open the one that it was opened with, whatever its key has become.
func (l *lanes) hash(d *delivery) uint64 {
	if hash, open := l.open[d.number]; open {
		return hash
	}
	var key []byte
	switch {
	case l.key != nil:
		key = l.key(d.frames)
	case len(d.frames) > 0:
		key = d.frames[0]
	}
	return maphash.Bytes(l.seed, key)
}

// admit reports whether a message may be handed out now, and to whom: nil is anybody.
func (l *lanes) admit(d *delivery) (to *member, free bool) {
	d.lane = l.hash(d)
	n := l.byKey[d.lane]
	if n == nil {
		return nil, true
	}
	switch {
	case len(n.again) > 0 && d.number > n.again[0], len(n.parked) > 0 && d.number > n.parked[0].number:
		return nil, false
	case n.flying > 0:
		return n.at, true
	}
	return nil, true
}

// park has a message wait until those of its key are done with. It is errParked, or errNoRoom if too many wait.
func (c *courier) park(d *delivery) error {
	l := c.lanes
	if l.parked >= maxParked {
		return errNoRoom
	}
	l.parked++
	n := l.byKey[d.lane]
	delete(l.open, d.number)
	n.forget(d.number)
	i, _ := slices.BinarySearchFunc(n.parked, d.number, func(r retry, number uint64) int { return compareNumbers(r.number, number) })
	n.parked = slices.Insert(n.parked, i, retry{number: d.number, attempt: d.attempt, failed: d.failed})
	l.release(d.lane, n)
	return errParked
}

func (n *lane) forget(number uint64) {
	if i, found := slices.BinarySearch(n.again, number); found {
		n.again = slices.Delete(n.again, i, i+1)
	}
}

// wait notes that a message is to be delivered again.
func (n *lane) wait(number uint64) {
	if i, found := slices.BinarySearch(n.again, number); !found {
		n.again = slices.Insert(n.again, i, number)
	}
}

// enter opens a message, and returns its lane.
func (l *lanes) enter(d *delivery) *lane {
	n := l.byKey[d.lane]
	if n == nil {
		n = &lane{}
		l.byKey[d.lane] = n
	}
	l.open[d.number] = d.lane
	return n
}

// handed notes that a message was handed out.
func (l *lanes) handed(d *delivery, m *member) {
	n := l.enter(d)
	n.forget(d.number)
	n.at = m
	n.flying++
}

// hold notes that a message is to be delivered later that was not handed out.
func (l *lanes) hold(d *delivery) {
	d.lane = l.hash(d)
	l.enter(d).wait(d.number)
}

// back notes that a message came back.
func (l *lanes) back(number uint64) {
	if hash, open := l.open[number]; open {
		n := l.byKey[hash]
		n.flying--
		n.wait(number)
	}
}

// done notes that a message is done with: flying says whether a member had it.
func (l *lanes) done(number uint64, flying bool) {
	hash, open := l.open[number]
	if !open {
		return
	}
	delete(l.open, number)
	n := l.byKey[hash]
	if flying {
		n.flying--
	}
	n.forget(number)
	l.release(hash, n)
}

// release frees what is parked once nothing of the key is open.
func (l *lanes) release(hash uint64, n *lane) {
	if n.flying > 0 || len(n.again) > 0 {
		return
	}
	l.parked -= len(n.parked)
	l.freed = append(l.freed, n.parked...)
	delete(l.byKey, hash)
}

// free notes that members have settled messages.
func (c *courier) free(settled []numbers) {
	if c.lanes == nil {
		return
	}
	for _, s := range settled {
		for number := s.lo; number <= s.hi; number++ {
			c.lanes.done(number, true)
		}
	}
}

// drop notes that a message is done with that nobody has.
func (c *courier) drop(number uint64) {
	if c.lanes != nil {
		c.lanes.done(number, false)
	}
}

// resume makes ready what is not parked any more.
func (c *courier) resume() {
	if c.lanes == nil || len(c.lanes.freed) == 0 {
		return
	}
	c.ready = append(c.ready, c.lanes.freed...)
	c.lanes.freed = c.lanes.freed[:0]
	slices.SortFunc(c.ready, func(a, b retry) int { return compareNumbers(a.number, b.number) })
}
