package reqrep

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/socket"
)

// What may wait for handlers: more requests than a burst has from which a service recovers before its callers have left, and as
// many bytes as one socket may queue.
const (
	maxWaiting      = 1 << 16
	maxWaitingBytes = 64 << 20
)

// maxEarly is how many cancellations are kept that came before what they cancel: requests are taken by several goroutines, which
// may overtake each other by a few messages.
const maxEarly = 64

// desk is a service's account of the requests it has. It is plain data under the service's lock.
type desk struct {
	limit   int // of waiting
	slots   int // handlers there may be at a time
	active  int // Invariant: if anything waits, active > 0: handlers take what waits before they leave
	waiting []*request
	bytes   int // that wait
	inHand  map[requestKey]*request
	early   []requestKey // a ring
	turn    int          // where the next one goes
	own     uint64       // the last tag made up
	dropped uint64       // waited when the service was closed
	counts  ServiceCounts
}

// requestKey is what a control names.
type requestKey struct {
	peer *socket.Peer
	tag  uint64
}

// request is one request from its arrival to its reply, and the context of that: the work's with the envelope. See scope.go.
type request struct {
	context.Context
	m        socket.Msg
	e        *codec.Envelope // the one below, once it is read
	envelope codec.Envelope
	room     [3]codec.Header // for those of most: value, call and timeout
	size     int
	key      requestKey
	attempt  int
	came     time.Time
	deadline time.Time // zero: none
	flow     *outflow  // it asks for a stream
	streams  bool      // it gets one
	spent    bool      // nothing will refer to the message once it is answered
	method   *method   // nil until a handler is free, or if there is none

	forsaken atomic.Bool // nobody waits for the reply
	scope    scope
}

// open reads the headers of a request.
func (r *request) open() error {
	e := r.e
	r.key.peer, r.attempt, r.came, r.size = r.m.Peer(), 1, time.Now(), len(r.m.Bytes())
	tag, _, err := numberOf(e, headerCall, 63)
	r.key.tag = tag
	if err != nil {
		return err
	}
	if n, there, err := numberOf(e, headerAttempt, 31); err != nil {
		return err
	} else if there {
		r.attempt = max(int(n), 1)
	}
	left, limited, err := timeoutOf(e)
	if err != nil {
		return err
	}
	if limited {
		r.deadline = r.came.Add(left)
	}
	w, streams, err := windowOf(e)
	if err == nil && streams {
		r.flow = newOutflow(w)
	}
	return err
}

// What becomes of a request that came.
type fate uint8

const (
	handled  fate = iota // now
	waits                // until whoever handles another is done with that
	unwanted             // it was cancelled already
	leaving              // the service is
	crowded              // too many wait
)

// admit says what becomes of a request.
func (s *Service) admit(r *request) fate {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &s.desk
	switch {
	case s.leaving:
		return leaving
	case d.cancelledEarly(r.key):
		d.counts.Cancelled++
		return unwanted
	case d.active < d.slots:
		d.active++
		s.noteLocked(r)
		return handled
	case len(d.waiting) >= d.limit || d.bytes+r.size > maxWaitingBytes:
		d.counts.Overloaded++
		return crowded
	}
	d.waiting = append(d.waiting, r)
	d.bytes += r.size
	s.noteLocked(r)
	return waits
}

func (s *Service) noteLocked(r *request) {
	d := &s.desk
	if r.key.tag == 0 { // the peer does not number its requests: nobody will name it
		d.own++
		r.key.tag = 1<<63 | d.own
	}
	d.inHand[r.key] = r
	s.busy++
}

// next ends a request, and returns one that waits, if the goroutine is to handle another.
func (s *Service) next(ctx context.Context, r *request) *request {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(r)
	d := &s.desk
	for len(d.waiting) > 0 {
		r := d.waiting[0]
		d.waiting[0] = nil
		if d.waiting = d.waiting[1:]; len(d.waiting) == 0 {
			d.waiting = nil
		}
		d.bytes -= r.size
		switch {
		case ctx.Err() != nil: // the service was closed
			d.dropped++
		case r.forsaken.Load():
			d.counts.Cancelled++
		default:
			return r
		}
		s.endLocked(r)
	}
	d.active--
	return nil
}

// endLocked takes a request off the desk.
func (s *Service) endLocked(r *request) {
	if s.desk.inHand[r.key] == r {
		delete(s.desk.inHand, r.key)
	}
	s.busy--
	s.quietenLocked()
}

func (s *Service) quietenLocked() {
	if s.leaving && s.busy == 0 {
		close(s.quiet)
	}
}

// hire changes how many handlers there may be at a time.
func (s *Service) hire(n int) {
	s.mu.Lock()
	s.desk.slots += n
	s.mu.Unlock()
}

// control does what a peer's control says.
func (s *Service) control(m socket.Msg, e *codec.Envelope) error {
	tag, there, err := numberOf(e, headerCall, 63)
	if err != nil || !there {
		return fmt.Errorf("%w: %s of no call", errMalformed, e.Type)
	}
	key := requestKey{m.Peer(), tag}
	s.mu.Lock()
	r := s.desk.inHand[key]
	if r == nil && e.Type == controlCancel {
		s.desk.cancelEarly(key)
	}
	s.mu.Unlock()
	switch {
	case r == nil: // it was answered meanwhile, or is being taken
		return nil
	case e.Type == controlCancel:
		r.forsake()
		return nil
	case r.flow == nil:
		return fmt.Errorf("%w: %s of what is no stream", errMalformed, e.Type)
	}
	n, _, err := numberOf(e, headerTaken, 63)
	if err != nil {
		return err
	}
	return r.flow.took(n)
}

// forsake ends the contexts of a peer's requests.
func (s *Service) forsake(peer *socket.Peer) {
	s.mu.Lock()
	var forsaken []*request
	for key, r := range s.desk.inHand {
		if key.peer == peer {
			forsaken = append(forsaken, r)
		}
	}
	s.mu.Unlock()
	for _, r := range forsaken {
		r.forsake()
	}
}

// cancelEarly keeps a cancellation for a request that is not there.
func (d *desk) cancelEarly(key requestKey) {
	if len(d.early) < maxEarly {
		d.early = append(d.early, key)
		return
	}
	d.early[d.turn%maxEarly] = key
	d.turn++
}

// cancelledEarly reports whether a request was cancelled before it was taken.
func (d *desk) cancelledEarly(key requestKey) bool {
	if key.tag == 0 {
		return false
	}
	for i := range d.early {
		if d.early[i] == key {
			d.early[i] = requestKey{}
			return true
		}
	}
	return false
}
