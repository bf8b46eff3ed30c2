package link

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

const (
	// flushBytes is how much is queued before the caller of Append writes itself: one full chunk,
	// the size beyond which a write call gets no cheaper per byte.
	flushBytes = chunkSize
	// flightBytes bounds what one write call takes, so that room is reported in portions.
	flightBytes = 512 << 10
	// maxPongs bounds the commands that wait for a peer which asks and does not read.
	maxPongs = 4 << 10
)

// Out is the write end of a link: a queue of encoded messages, and whoever writes it. The queue lives
// on when its connection ends; Attach gives it another. All methods may be called concurrently.
type Out struct {
	// Set before use, not changed after but by Limit, Conflate and SetHWM.
	HWM      int    // most messages queued, 0 for no limit
	MaxCuts  int    // connections in a row that may end within the same message before it is dropped, 0 for any number
	HWMBytes int    // most bytes queued, 0 for no limit; one message always fits
	Room     func() // called with no lock held once the queue, having refused, is half empty
	Drained  func() // called with no lock held when Watch was called and the queue is empty
	// Shed, if set, makes a full queue drop its oldest messages instead of refusing the newest. It is called by
	// Append with no lock of the queue's held, and told how many were dropped.
	Shed  func(msgs int)
	Line  *Line  // shared by the queues of a socket; nil for none
	First []byte // encoded; goes out before all else on the next connection, uncounted; set before Attach

	spoke atomic.Bool // the peer sent a message since we last wrote
	holds atomic.Bool // hot was set since the peer, within the process, last found nothing to read

	mu        queueLock        // guards the fields below
	wake      sync.Cond        // the pump sleeps here, Detach waits here
	conn      *Conn            // nil while there is no connection
	err       error            // why conn cannot be written any more
	ctrl      []byte           // commands: written before messages, lost with the connection
	settling  int              // bytes of ctrl that Settle queued
	segs      []segment        // queued; the last one is open for appending
	flight    []segment        // taken by the writer, not yet all written
	sent      int              // bytes of flight that are written
	control   int              // bytes at the head of flight that are commands
	vec       [][]byte         // reused for write calls of several segments
	parts     []transport.Part // the same for a peer within the process
	rest      net.Buffers      // what of vec a write call has not written; whoever writes uses it without the lock
	spare     []byte           // the small chunk, when not in the queue
	kept      *kept            // what is not settled, nil where messages are forgotten once they are written: see Retain
	msgs      int              // queued and in flight
	bytes     int
	total     uint64 // messages ever queued
	totalB    uint64
	turn      uint64        // the total before the first answer to what the peer said last
	lonely    uint64        // the total with the last message that calmLocked was asked about
	landed    uint64        // messages written to this connection
	cuts      int           // connections in a row that ended within the first message
	writing   bool          // the baton: somebody writes
	loan      loan          // what became of a lent body
	owners    int           // that wait for the end of a loan
	asleep    bool          // the pump waits for a signal
	called    time.Duration // since epoch, when the pump was that has not come yet; 0 when none is on its way
	conflates bool          // see Conflate
	refused   bool          // Append said no; Room is owed
	watched   bool          // Drained is owed
	pumping   bool
	open      bool          // see AppendOpen
	hot       bool          // the caller of Append writes full chunks: the pump holds back
	heated    bool          // it is among those of Line that are
	resting   bool          // it does
	rests     uint64        // how often it did
	wanted    bool          // the peer, within the process, has found nothing to read since it began to
	pause     time.Duration // how long it does
	alarm     *time.Timer   // ends that, where no clock of the system's does
	stopping  bool
	last      bool // Last was called: messages are written no more
	lined     bool // it waits in Line, or somebody who has a place there has just found it
	place     bool // the pump has a place at the head of Line
	behind    *Out // who waits in Line behind it, guarded by Line.mu
}

// fullLocked reports whether a message of size bytes has no place. o.mu must be held.
func (o *Out) fullLocked(size int) bool {
	if o.kept != nil {
		return o.kept.full(o.HWM, o.HWMBytes, size)
	}
	return o.HWM > 0 && o.msgs >= o.HWM || o.HWMBytes > 0 && o.msgs > 0 && o.bytes+size > o.HWMBytes
}

// Append queues one message: the frames of head, then those of frames, of size bytes together. It copies
// them. ok is false when the queue is full; Room will be called. When flush is true the caller
// calls Flush as soon as it holds no locks.
func (o *Out) Append(head, frames [][]byte, size int) (ok, flush bool) {
	return o.append(head, frames, size, false)
}

// AppendSole is AppendLent where more messages like this one may follow, by AppendRow.
func (o *Out) AppendSole(frames [][]byte, size int) (ok, flush bool) {
	if size >= lentBody {
		return o.AppendLent(nil, frames, size)
	}
	return o.append(nil, frames, size, true)
}

func (o *Out) append(head, frames [][]byte, size int, rows bool) (ok, flush bool) {
	shed := 0
	o.mu.Lock()
	if o.fullLocked(size) {
		if shed, ok = o.shedLocked(size); !ok {
			o.refuseLocked()
			o.mu.Unlock()
			return false, false
		}
	}
	last := len(head) + len(frames) - 1
	if whole := size + (2*len(head)+len(frames))*zmtp.MaxHeaderSize; len(head) > 0 && whole > smallChunk && size <= largeBody {
		o.tail(whole, false) // in one piece, to be written by one call
	}
	for i, f := range head {
		o.appendFrame(f, i < last, i > 0)
	}
	for i, f := range frames {
		i += len(head)
		o.appendFrame(f, i < last, i > 0)
	}
	if flush = o.queuedLocked(size); !flush && rows {
		o.beginRowLocked(size, 0)
	}
	o.mu.Unlock()
	if shed > 0 {
		o.Shed(shed)
	}
	return true, flush
}

// AppendGiven is Append for frames that the caller gives away: large bodies are not copied. It is apart from Append because what
// that is passed must not escape to the heap.
func (o *Out) AppendGiven(head, frames [][]byte, size int) (ok, flush bool) {
	shed := 0
	o.mu.Lock()
	if o.fullLocked(size) {
		if shed, ok = o.shedLocked(size); !ok {
			o.refuseLocked()
			o.mu.Unlock()
			return false, false
		}
	}
	for i, f := range head {
		o.appendFrame(f, true, i > 0)
	}
	for i, f := range frames {
		more, inside := i < len(frames)-1, len(head)+i > 0
		if len(f) <= largeBody {
			o.appendFrame(f, more, inside)
			continue
		}
		o.appendLargeHeader(len(f), more, inside)
		o.appendLarge(f[:len(f):len(f)])
		o.segs[len(o.segs)-2].own = true
	}
	flush = o.queuedLocked(size)
	o.mu.Unlock()
	if shed > 0 {
		o.Shed(shed)
	}
	return true, flush
}

// AppendEncoded queues a message of size bytes. Its large bodies are shared, not copied.
func (o *Out) AppendEncoded(e *Encoded, size int) (ok, flush bool) {
	shed := 0
	o.mu.Lock()
	if o.fullLocked(size) {
		if shed, ok = o.shedLocked(size); !ok {
			o.refuseLocked()
			o.mu.Unlock()
			return false, false
		}
	}
	for i, p := range e.parts {
		if i%2 == 1 {
			o.appendLarge(p)
			if body := e.bodies[i/2]; body != nil {
				body.refs.Add(1)
				o.segs[len(o.segs)-2].shared = body
			}
		} else {
			s := o.tail(len(p), i > 0)
			s.b = append(s.b, p...)
		}
	}
	flush = o.queuedLocked(size)
	o.mu.Unlock()
	if shed > 0 {
		o.Shed(shed)
	}
	return true, flush
}

// Full reports whether a message of size bytes would be refused; if so, Room will be called.
func (o *Out) Full(size int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	full := o.Shed == nil && o.fullLocked(size)
	if full {
		o.refuseLocked()
	}
	return full
}

func (o *Out) appendFrame(body []byte, more, inside bool) {
	n := len(body)
	if n > largeBody || o.passesLocked(n) {
		o.appendLargeHeader(n, more, inside)
		if o.conn != nil && o.conn.give != nil {
			o.appendLarge(passedBody(body))
		} else {
			copied, buf := newBody(n)
			o.appendLarge(append(copied, body...))
			o.segs[len(o.segs)-2].copied = buf
		}
		o.segs[len(o.segs)-2].own = true
		return
	}
	flags := byte(0)
	if more {
		flags = zmtp.FlagMore
	}
	s := o.tail(n+zmtp.MaxHeaderSize, inside)
	b := s.b
	if n < 256 {
		b = append(b, flags, byte(n))
	} else {
		b = zmtp.AppendHeader(b, flags, n)
	}
	s.b = append(b, body...)
}

func (o *Out) appendLargeHeader(size int, more, inside bool) {
	flags := byte(0)
	if more {
		flags = zmtp.FlagMore
	}
	s := o.tail(zmtp.MaxHeaderSize, inside)
	s.b = zmtp.AppendHeader(s.b, flags, size)
}

// tail returns the open segment with room for n bytes. inside says that a message is under way.
func (o *Out) tail(n int, inside bool) *segment {
	if k := len(o.segs); k > 0 {
		s := &o.segs[k-1]
		if cap(s.b)-len(s.b) >= n {
			return s
		}
		s.whole = !inside
	}
	var s segment
	switch {
	case len(o.segs) == 0 && n <= smallChunk && len(o.flight) == 0:
		if o.spare == nil {
			o.spare = make([]byte, 0, smallChunk)
		}
		s.b, s.small, o.spare = o.spare[:0], true, nil
	case n > chunkSize:
		s.b = make([]byte, 0, n)
	default:
		s.pooled = chunks.Get().(*[chunkSize]byte)
		s.b = s.pooled[:0]
	}
	o.segs = append(o.segs, s)
	return &o.segs[len(o.segs)-1]
}

// appendLarge queues a body as its own segment and leaves the chunk before it to be continued.
func (o *Out) appendLarge(body []byte) {
	s := &o.segs[len(o.segs)-1]
	rest := segment{pooled: s.pooled, b: s.b[len(s.b):]}
	s.pooled, s.small = nil, false // the chunk goes back with the last segment cut from it
	s.b = s.b[:len(s.b):len(s.b)]
	s.whole = false
	o.segs = append(o.segs, segment{b: body}, rest)
}

// queuedLocked accounts for a message just queued and decides who writes it.
func (o *Out) queuedLocked(size int) (flush bool) {
	s := &o.segs[len(o.segs)-1]
	s.msgs++
	s.size += size
	s.whole = true
	o.msgs++
	o.bytes += size
	o.total++
	o.totalB += uint64(size)
	soon := o.spoke.Load() && o.answersLocked()
	if o.writing || o.conn == nil {
		return false
	}
	if o.conn.try != nil && len(o.flight) == 0 {
		if o.msgs == 1 && (soon || o.asleep && (o.firstLocked() || o.calmLocked())) {
			return true
		}
		if !o.asleep && o.lateLocked() {
			return true
		}
		if o.ladenLocked(s, size) || o.HWM > 0 && o.msgs >= o.HWM || o.kept != nil && o.fullLocked(0) {
			o.heatLocked()
			return true
		}
	}
	if o.hot || o.resting { // from a burst that FlushHot has written already
		o.leaveLocked()
	}
	o.wakeLocked()
	return false
}

// firstLocked reports whether the message just queued is the first on its connection, and there is no pump yet: to start one takes longer than to write.
func (o *Out) firstLocked() bool { return o.landed == 0 && !o.pumping && !o.Line.Long() }

// ladenLocked reports whether enough is queued for the caller of Append to write itself, behind a message of size bytes in s. What is kept is written by whole blocks, where it comes to that: the end of one and the
// beginning of the next take two calls.
func (o *Out) ladenLocked(s *segment, size int) bool {
	return o.bytes >= flushBytes || o.kept != nil && o.bytes >= flushBytes/2 && cap(s.b)-len(s.b) < size+zmtp.MaxHeaderSize
}

// Control queues an encoded command. It is not counted, precedes queued messages and is forgotten when
// the connection ends. PONGs are bounded: a peer that asks and does not read gets no more of them.
func (o *Out) Control(frame []byte, pong bool) {
	o.mu.Lock()
	if o.conn != nil && !(pong && len(o.ctrl) > maxPongs) {
		o.ctrl = append(o.ctrl, frame...)
		o.wakeLocked()
	}
	o.mu.Unlock()
}

// Spoke notes that the peer sent a message: the next Append is likely the answer, and is written at once unless several answered the one before.
func (o *Out) Spoke() { o.spoke.Store(true) }

// Depth returns what is queued.
func (o *Out) Depth() (msgs, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.msgs, o.bytes
}

// Totals returns what was ever queued.
func (o *Out) Totals() (msgs, bytes uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.total, o.totalB
}

// Watch has Drained called whenever the queue becomes empty from now on, and reports whether it is. On an acknowledged link
// Drained is called whenever something was settled, and empty means that all is.
func (o *Out) Watch() (empty bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.watched = true
	return o.msgs == 0 && (o.kept == nil || o.kept.msgs == 0)
}

// vector lists what of the flight is not written yet.
func (o *Out) vector() [][]byte {
	o.vec = o.vec[:0]
	skip := o.sent
	for i := range o.flight {
		b := o.flight[i].b
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		o.vec = append(o.vec, b[skip:])
		skip = 0
	}
	return o.vec
}
