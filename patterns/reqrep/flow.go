package reqrep

import (
	"errors"
	"fmt"
	"sync"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
)

// Streams by default are this far ahead of the loop that takes them: enough for a round trip to another room at ten thousand items a second, and
// little memory.
const (
	streamItems = 64
	streamBytes = 1 << 20
)

// ErrGap says that items of a stream are missing between those that came, or before its end.
var ErrGap = errors.New("items of the stream are missing")

// inflow is what came of a stream, at the client. It is plain data under the client's lock.
//
// Both ends keep the same account: the service may send an item while fewer than window.items of them, and fewer than window.bytes
// of body, are not known to be taken; or none at all. What was taken becomes known when half of either is.
type inflow struct {
	window  window
	ready   chan struct{} // takes one: there is something to take, or the end
	items   []*codec.Envelope
	came    uint64
	taken   uint64
	told    uint64 // of those taken, what the service knows of
	ahead   int    // bytes of those that came and were not told
	untold  int    // bytes of those taken and not told
	closed  bool
	failure error // why it is closed, nil for its proper end
}

func newInflow(w window) *inflow { return &inflow{window: w, ready: make(chan struct{}, 1)} }

// come takes what the service sent, and reports whether that is the end. The error says what is wrong with it.
func (f *inflow) come(e *codec.Envelope, tag uint64, failure error) (ended bool, err error) {
	if called, there, err := numberOf(e, headerCall, 64); err != nil || there && called != tag {
		return false, err // of a stream before this one, that had the same id
	}
	number, isItem, err := numberOf(e, headerItem, 63)
	if err != nil {
		return false, err
	}
	count, isEnd, err := numberOf(e, headerEnd, 63)
	switch {
	case err != nil:
		return false, err
	case isEnd && count != f.came:
		return false, fmt.Errorf("%w: it ends after %d, %d came", ErrGap, count, f.came)
	case isEnd || failure != nil:
		return true, nil
	case !isItem && f.came > 0:
		return false, fmt.Errorf("%w: a reply within a stream", patterns.ErrMalformed)
	case !isItem: // the method does not stream: its answer is the only item
		f.add(e)
		return true, nil
	case number != f.came+1:
		return false, fmt.Errorf("%w: item %d after %d", ErrGap, number, f.came)
	case !f.window.open(f.came, f.told, f.ahead):
		return false, fmt.Errorf("%w: more of a stream than was asked for", patterns.ErrMalformed)
	}
	f.add(e)
	return false, nil
}

func (f *inflow) add(e *codec.Envelope) {
	f.items = append(f.items, e)
	f.came++
	f.ahead += len(e.Body)
	f.wake()
}

func (f *inflow) wake() {
	select {
	case f.ready <- struct{}{}:
	default: // it is awake
	}
}

// end closes the stream behind what came.
func (f *inflow) end(failure error) {
	f.closed, f.failure = true, failure
	f.wake()
}

// take returns the next item, nil if there is none yet, and whether the service should be told how many were taken.
func (f *inflow) take() (e *codec.Envelope, tell bool) {
	if len(f.items) == 0 {
		return nil, false
	}
	e = f.items[0]
	f.items[0] = nil
	if f.items = f.items[1:]; len(f.items) == 0 {
		f.items = nil
	}
	f.taken++
	f.untold += len(e.Body)
	if f.closed || f.taken-f.told < uint64(f.window.items+1)/2 && f.untold < f.window.bytes/2+1 {
		return e, false
	}
	f.ahead -= f.untold
	f.told, f.untold = f.taken, 0
	return e, true
}

// open reports whether one more item may be on its way.
func (w window) open(sent, taken uint64, ahead int) bool {
	return sent == taken || sent-taken < uint64(w.items) && ahead < w.bytes
}

// outflow is what was sent of a stream, at the service.
type outflow struct {
	window window
	more   chan struct{} // takes one: there is room again

	mu    sync.Mutex // guards the fields below
	sent  uint64
	taken uint64
	sizes []int // of those sent and not taken
	ahead int   // their sum
}

func newOutflow(w window) *outflow { return &outflow{window: w, more: make(chan struct{}, 1)} }

// room reports whether an item may be sent.
func (f *outflow) room() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.window.open(f.sent, f.taken, f.ahead)
}

// count returns how many items were sent.
func (f *outflow) count() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent
}

// note notes an item that is about to be sent: that it was taken may be known before Send returns.
func (f *outflow) note(size int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent++
	f.sizes = append(f.sizes, size)
	f.ahead += size
}

// revoke undoes note for an item that was not sent.
func (f *outflow) revoke() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent--
	last := len(f.sizes) - 1
	f.ahead -= f.sizes[last]
	f.sizes = f.sizes[:last]
}

// took notes that the first n items were taken.
func (f *outflow) took(n uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n > f.sent {
		return fmt.Errorf("%w: %d items of a stream taken, %d were sent", patterns.ErrMalformed, n, f.sent)
	}
	for ; f.taken < n; f.taken++ {
		f.ahead -= f.sizes[0]
		f.sizes = f.sizes[1:]
	}
	select {
	case f.more <- struct{}{}:
	default: // whoever waits was woken
	}
	return nil
}
