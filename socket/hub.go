package socket

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// eventBacklog is how many events wait for a reader that is slow; then the oldest go. It is far beyond
	// what a socket in order has, and bounds what a storm of connections can hold.
	eventBacklog = 4096
	// dropInterval is how often drops become an event: often enough to be seen, rarely enough to cost
	// nothing when a publisher drops a million messages a second.
	dropInterval = 100 * time.Millisecond
)

// hub passes events on to the handler and the streams of Events.
type hub struct {
	active atomic.Bool // somebody listens

	mu      sync.Mutex // guards the fields below
	streams []*stream
	drops   map[dropKey]uint64
	timer   *time.Timer
	closed  bool
	handler *stream
	handled sync.WaitGroup // the handler's goroutine
}

type dropKey struct {
	peer     *Peer
	endpoint string
	reason   DropReason
}

// stream is one reader's backlog of events.
type stream struct {
	events []Event
	signal chan struct{} // holds one
	done   bool
}

func (h *hub) init(handler func(Event)) {
	if handler == nil {
		return
	}
	h.handler = h.add()
	h.handled.Add(1)
	go func() { // ends when close has marked the stream as done, and close waits for it
		defer h.handled.Done()
		for {
			events, done := h.take(h.handler)
			for _, e := range events {
				handler(e)
			}
			if done {
				return
			}
			<-h.handler.signal
		}
	}()
}

func (h *hub) add() *stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &stream{signal: make(chan struct{}, 1), done: h.closed}
	h.streams = append(h.streams, s)
	h.active.Store(true)
	return s
}

func (h *hub) remove(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.streams, s); i >= 0 {
		h.streams = slices.Delete(h.streams, i, i+1)
	}
	s.done = true
	h.active.Store(len(h.streams) > 0)
}

func (h *hub) take(s *stream) (events []Event, done bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	events, s.events = s.events, nil
	return events, s.done
}

func (h *hub) emit(e Event) {
	if !h.active.Load() {
		return
	}
	h.mu.Lock()
	h.emitLocked(e)
	h.mu.Unlock()
}

func (h *hub) emitLocked(e Event) {
	if h.closed {
		return
	}
	e.Time = time.Now()
	for _, s := range h.streams {
		if len(s.events) == eventBacklog {
			s.events = slices.Delete(s.events, 0, eventBacklog/2)
		}
		s.events = append(s.events, e)
		signal(s.signal)
	}
}

// drop notes dropped messages; an event follows within dropInterval.
func (h *hub) drop(p *pipe, reason DropReason, n uint64) {
	if !h.active.Load() {
		return
	}
	key := dropKey{reason: reason}
	if p != nil {
		key.peer, key.endpoint = p.peer.Load(), p.endpoint
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.drops == nil {
		h.drops = map[dropKey]uint64{}
	}
	h.drops[key] += n
	if h.timer == nil && !h.closed {
		h.timer = time.AfterFunc(dropInterval, h.reportDrops)
	}
}

func (h *hub) reportDrops() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reportLocked()
}

func (h *hub) reportLocked() {
	for key, n := range h.drops {
		h.emitLocked(Event{Kind: Dropped, Endpoint: key.endpoint, Peer: key.peer, Reason: key.reason, Count: n})
	}
	clear(h.drops)
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
}

// close ends all streams once their readers have seen everything.
func (h *hub) close() {
	h.mu.Lock()
	h.reportLocked()
	h.closed = true
	for _, s := range h.streams {
		s.done = true
		signal(s.signal)
	}
	h.mu.Unlock()
	h.handled.Wait()
}

// Events returns what happens to the socket from this call on, until ctx ends or the socket is closed. Several
// streams may be open; each is to be ranged over once, and leaving the loop ends it. A reader that falls thousands of events behind misses the oldest.
func (c *core) Events(ctx context.Context) iter.Seq[Event] {
	if c.pat == nil { // no socket, whose streams nobody would end
		return func(func(Event) bool) {}
	}
	s := c.hub.add()
	stop := context.AfterFunc(ctx, func() { c.hub.remove(s) })
	return func(yield func(Event) bool) {
		defer c.hub.remove(s)
		defer stop()
		for {
			events, done := c.hub.take(s)
			for _, e := range events {
				if !yield(e) {
					return
				}
			}
			if done || ctx.Err() != nil {
				return
			}
			select {
			case <-s.signal:
			case <-ctx.Done():
			}
		}
	}
}
