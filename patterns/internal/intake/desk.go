package intake

import (
	"container/heap"
	"time"

	"github.com/meshmq/meshmq/patterns"
)

// desk is where messages wait for a handler that are not to be handled in the order they came. It has no lock and no clock.
//
//	add --> of a key that is busy: behind those of the key
//	    --> others: their lane --> take --> a handler --> done, which lets the next of the key go to its lane
//	                                              +-----> retry: waits for its time, and those of its key with it
type desk struct {
	lanes [patterns.Lanes]lane
	keys  map[string][]*slip // by key, while one of it is in a lane, with a handler or waits to be tried again: those behind it
	later slips
	n     int // all but those with handlers
}

// slip is a message on the desk.
type slip struct {
	task  *Task
	key   string // "" for none
	lane  int
	tries int // failed here
	due   time.Time
}

// lane is first in, first out.
type lane struct {
	queue  []*slip
	passed int // how often those of a higher lane were taken while some waited here
}

// patience is how often a lane that has messages is passed over for a higher one before it has a turn: often enough that the higher
// ones get nine tenths, and few enough that no lane stands still.
const patience = 9

func newDesk() desk { return desk{keys: map[string][]*slip{}} }

func (d *desk) add(s *slip) {
	d.n++
	if s.key != "" {
		behind, busy := d.keys[s.key]
		if busy {
			d.keys[s.key] = append(behind, s)
			return
		}
		d.keys[s.key] = nil
	}
	d.queue(s)
}

func (d *desk) queue(s *slip) { d.lanes[s.lane].queue = append(d.lanes[s.lane].queue, s) }

// take returns the next to be handled, nil if there is none now.
func (d *desk) take(now time.Time) *slip {
	for len(d.later) > 0 && !d.later[0].due.After(now) {
		d.queue(heap.Pop(&d.later).(*slip))
	}
	next := d.choose()
	if next < 0 {
		return nil
	}
	for i := range d.lanes[:next] { // the lower ones
		if len(d.lanes[i].queue) > 0 {
			d.lanes[i].passed++
		}
	}
	l := &d.lanes[next]
	s := l.queue[0]
	l.queue[0] = nil
	l.queue, l.passed = l.queue[1:], 0
	d.n--
	return s
}

// ready reports whether there is something in a lane.
func (d *desk) ready() bool {
	for i := range d.lanes {
		if len(d.lanes[i].queue) > 0 {
			return true
		}
	}
	return false
}

// choose returns the lane that has a turn: the highest with messages, unless a lower one has been passed over too often. It is
// negative if all are empty.
func (d *desk) choose() int {
	best := -1
	for i := range d.lanes {
		l := &d.lanes[i]
		switch {
		case len(l.queue) == 0:
			l.passed = 0
		case best < 0 || d.lanes[best].passed < patience:
			best = i
		}
	}
	return best
}

// done says that a message that was taken is settled.
func (d *desk) done(s *slip) {
	if s.key == "" {
		return
	}
	behind := d.keys[s.key]
	if len(behind) == 0 {
		delete(d.keys, s.key)
		return
	}
	d.keys[s.key] = behind[1:]
	d.queue(behind[0])
}

// retry has a message that was taken wait until it is due; its key stays busy.
func (d *desk) retry(s *slip) {
	d.n++
	heap.Push(&d.later, s)
}

// next returns when the first of those that wait for their time is due.
func (d *desk) next() (due time.Time, some bool) {
	if len(d.later) == 0 {
		return time.Time{}, false
	}
	return d.later[0].due, true
}

// hasten has those that wait for their time, and for which f returns true, wait no more.
func (d *desk) hasten(now time.Time, f func(*Task) bool) {
	for _, s := range d.later {
		if f(s.task) {
			s.due = now
		}
	}
	heap.Init(&d.later)
}

// clear forgets all but what handlers have, and returns how much that was.
func (d *desk) clear() int {
	n := d.n
	*d = newDesk()
	return n
}

// slips wait for their time, as a heap.
type slips []*slip

func (s slips) Len() int           { return len(s) }
func (s slips) Less(i, j int) bool { return s[i].due.Before(s[j].due) }
func (s slips) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *slips) Push(x any)        { *s = append(*s, x.(*slip)) }
func (s *slips) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}
