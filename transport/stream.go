package transport

import (
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	smallBuffer = 4 << 10   // enough for the small messages of a conn whose reader keeps up
	largeBuffer = 256 << 10 // about what Linux gives a Unix socket; lent to a stream while it needs it
	givenBuffer = 1 << 20   // of bodies that the writer gave away no more wait than this and one
)

// largeBuffers is shared, so that memory grows with the streams that are behind, not with all that ever were.
var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// stream is one direction of an inproc connection: a ring of bytes with a writer's and a reader's end. Bodies that
// the writer gives away stand between the bytes without being copied.
type stream struct {
	writing sync.Mutex // held for a whole Write, so that Writes do not mix; before mu

	mu     sync.Mutex // guards the fields below
	reader end        // wakes when there are bytes
	writer end        // wakes when there is space

	// The bytes are buf[head:head+size], modulo len(buf), which is 0 or a power of two.
	// Invariant: buf is small or large[:], and if size is 0 then head is 0 and large is nil.
	buf        []byte
	head, size int
	small      []byte // kept once allocated
	large      *[largeBuffer]byte

	bodies []givenBody
	given  int // bytes of bodies
	behind int // bytes in the ring behind the last of bodies

	wanted func()       // see pipeConn.OnWanted
	holds  *atomic.Bool // likewise, nil if nobody asked
}

// givenBody is a run of bytes that the reader may keep.
type givenBody struct {
	before int // bytes in the ring between the body before this one, if any, and this one
	b      []byte
}

// end is the state of a stream's reader or writer.
type end struct {
	wake    sync.Cond
	closed  bool
	expired bool        // the deadline has passed
	timer   *time.Timer // of a deadline to come
}

func newStream() *stream {
	s := &stream{}
	s.reader.wake.L = &s.mu
	s.writer.wake.L = &s.mu
	return s
}

func (s *stream) read(p []byte, block bool) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.awaitLocked(block); err != nil {
		return 0, err
	}
	return s.take(p), nil
}

// readBody returns the body that comes next, if it has n bytes or n is zero; else nil, and the bytes are to be read.
func (s *stream) readBody(n int, block bool) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.awaitLocked(block); err != nil {
		return nil, err
	}
	if len(s.bodies) == 0 || s.bodies[0].before > 0 || n > 0 && len(s.bodies[0].b) != n {
		return nil, nil
	}
	b := s.bodies[0].b
	s.takenLocked(len(b))
	return b, nil
}

// awaitLocked returns when there is something to read. It tells the writer before it waits, and gives up s.mu meanwhile.
func (s *stream) awaitLocked(block bool) error {
	for {
		switch {
		case s.reader.closed:
			return net.ErrClosed
		case s.reader.expired && block:
			return os.ErrDeadlineExceeded
		case s.size > 0 || len(s.bodies) > 0:
			return nil
		case s.writer.closed:
			return io.EOF
		case s.holds != nil && s.holds.Load():
			s.holds.Store(false)
			wanted := s.wanted
			s.mu.Unlock()
			wanted()
			s.mu.Lock()
			continue
		case !block:
			return ErrWouldBlock
		}
		s.reader.wake.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if err := s.writeError(); err != nil {
			return n, err
		}
		if s.writer.expired {
			return n, os.ErrDeadlineExceeded
		}
		n += s.put(p[n:])
		s.reader.wake.Broadcast()
		if n == len(p) {
			return n, nil
		}
		s.writer.wake.Wait()
	}
}

// writeParts writes parts until all are written, or without block until no more fits, and wakes the reader for all of them together.
func (s *stream) writeParts(parts []Part, block bool) (n int, err error) {
	if block {
		s.writing.Lock()
	} else if !s.writing.TryLock() {
		return 0, ErrWouldBlock
	}
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	woken := 0 // bytes that the reader knows of
	defer func() {
		if n > woken {
			s.reader.wake.Broadcast()
		}
	}()
	for _, p := range parts {
		for done := 0; done < len(p.Bytes); {
			if err := s.writeError(); err != nil {
				return n, err
			}
			if block && s.writer.expired {
				return n, os.ErrDeadlineExceeded
			}
			took := 0
			if p.Given {
				took = s.putBody(p.Bytes)
			} else {
				took = s.put(p.Bytes[done:])
			}
			done += took
			n += took
			switch {
			case done == len(p.Bytes):
			case block:
				s.reader.wake.Broadcast()
				woken = n
				s.writer.wake.Wait()
			case n == 0:
				return 0, ErrWouldBlock
			default:
				return n, nil
			}
		}
	}
	return n, nil
}

// putBody puts b behind what is there, if there is room: as long as less than givenBuffer waits.
func (s *stream) putBody(b []byte) int {
	if s.given >= givenBuffer {
		return 0
	}
	s.bodies = append(s.bodies, givenBody{s.behind, b})
	s.given += len(b)
	s.behind = 0
	return len(b)
}

func (s *stream) tryWrite(p []byte) (int, error) {
	if !s.writing.TryLock() {
		return 0, ErrWouldBlock
	}
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writeError(); err != nil {
		return 0, err
	}
	n := s.put(p)
	if n == 0 && len(p) > 0 {
		return 0, ErrWouldBlock
	}
	s.reader.wake.Broadcast()
	return n, nil
}

func (s *stream) writeError() error {
	switch {
	case s.writer.closed:
		return net.ErrClosed
	case s.reader.closed:
		return syscall.EPIPE
	}
	return nil
}

// put copies as much of p into the ring as fits.
func (s *stream) put(p []byte) int {
	if len(p) > len(s.buf)-s.size {
		s.grow(len(p))
	}
	n := min(len(p), len(s.buf)-s.size)
	if n == 0 {
		return 0
	}
	tail := (s.head + s.size) & (len(s.buf) - 1)
	first := copy(s.buf[tail:], p[:n])
	copy(s.buf, p[first:n])
	s.size += n
	s.behind += n
	return n
}

// take moves bytes from the ring to p, and wakes the writer once half of the ring is free: at each read it would
// wake for crumbs.
func (s *stream) take(p []byte) int {
	ahead := s.size
	if len(s.bodies) > 0 {
		ahead = s.bodies[0].before
		if ahead == 0 {
			n := copy(p, s.bodies[0].b)
			s.takenLocked(n)
			return n
		}
		s.bodies[0].before -= min(len(p), ahead)
	} else {
		s.behind -= min(len(p), ahead)
	}
	n := min(len(p), ahead)
	first := copy(p[:n], s.buf[s.head:])
	copy(p[first:n], s.buf)
	s.size -= n
	if s.size == 0 {
		s.shrink()
	} else {
		s.head = (s.head + n) & (len(s.buf) - 1)
	}
	if s.size <= largeBuffer/2 {
		s.writer.wake.Broadcast()
	}
	return n
}

// takenLocked removes the first n bytes of the first body.
func (s *stream) takenLocked(n int) {
	s.given -= n
	s.bodies[0].b = s.bodies[0].b[n:]
	if len(s.bodies[0].b) == 0 {
		s.bodies = slices.Delete(s.bodies, 0, 1)
	}
	if s.given <= givenBuffer/2 {
		s.writer.wake.Broadcast()
	}
}

// grow makes room for n more bytes, as far as the buffers go.
func (s *stream) grow(n int) {
	switch {
	case s.large != nil:
	case s.small == nil && n <= smallBuffer:
		s.small = make([]byte, smallBuffer)
		s.buf = s.small
	default:
		s.large = largeBuffers.Get().(*[largeBuffer]byte)
		first := copy(s.large[:s.size], s.buf[s.head:])
		copy(s.large[first:s.size], s.buf)
		s.buf, s.head = s.large[:], 0
	}
}

// shrink empties the ring and gives the large buffer back.
func (s *stream) shrink() {
	s.head, s.size = 0, 0
	if s.large != nil {
		largeBuffers.Put(s.large)
		s.large, s.buf = nil, s.small
	}
}

// closeWriter ends the stream: the reader gets what is left, then io.EOF.
func (s *stream) closeWriter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close(&s.writer)
}

// closeReader drops what is left: nobody will read it. Writes fail from here on.
func (s *stream) closeReader() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close(&s.reader)
	s.shrink()
	s.bodies, s.given, s.behind = nil, 0, 0
}

func (s *stream) close(e *end) {
	e.closed = true
	e.stopTimer()
	s.reader.wake.Broadcast()
	s.writer.wake.Broadcast()
}

// setDeadline sets the deadline of e, one of the stream's ends. The zero time is none. A closed end needs none.
func (s *stream) setDeadline(e *end, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.closed {
		return
	}
	e.stopTimer()
	left := time.Until(t)
	e.expired = !t.IsZero() && left <= 0
	if e.expired {
		e.wake.Broadcast()
	} else if !t.IsZero() {
		e.startTimer(left)
	}
}

func (e *end) stopTimer() {
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
}

func (e *end) startTimer(d time.Duration) {
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		e.wake.L.Lock()
		defer e.wake.L.Unlock()
		// A timer that was stopped too late is no longer the end's.
		if e.timer == timer {
			e.expired = true
			e.wake.Broadcast()
		}
	})
	e.timer = timer
}
