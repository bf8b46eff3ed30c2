package link

import (
	"sync/atomic"
	"unsafe"
)

const (
	// firstSlots and maxSlots are for how many frames of a chunk there is room at first, and at most: the most that messages of 14 bytes need.
	firstSlots = 128
	maxSlots   = 16 << 10
)

// share is one use of a chunk by the messages that lie in it: when all of them have been given back, it serves for others. It is made by the reader
// of the link, dealt out to by who takes messages, one at a time, and given back to by anybody.
type share struct {
	lease Lease           // what the messages have of it
	slots [][]byte        // of the frames of messages
	given []atomic.Uint64 // a bit for each slot that was given back
	few   [firstSlots / 64]atomic.Uint64

	used  int  // slots dealt out
	short bool // there was no slot for a message
	taken atomic.Int64

	cut  int64 // batches made, by the reader
	torn bool  // a message of several chunks has a part in this one

	// Of a chunk that a peer within the process gave away, who has something of it: the reader, each batch until its last message is taken, and each slot until it is given back.
	chunk *[chunkSize]byte
	refs  atomic.Int64
}

func newShare(slots [][]byte) *share {
	s := &share{slots: slots}
	s.lease.share = s
	if s.given = s.few[:]; len(slots) > firstSlots {
		s.given = make([]atomic.Uint64, (len(slots)+63)/64)
	}
	return s
}

// take deals out slots for n frames of b, from slab where there are no more.
func (s *share) take(n int, slab *Slab, b *Batch) [][]byte {
	if n > len(s.slots)-s.used {
		s.short = true
		return slab.take(n, b)
	}
	s.ref(n)
	from := s.used
	s.used += n
	return s.slots[from:s.used:s.used]
}

// release gives back the slots of frames, all that the message was given if it is as Recv returned it. Once is as good as twice, since a slot is dealt
// out once only.
func (s *share) release(frames [][]byte) {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(frames))) - uintptr(unsafe.Pointer(unsafe.SliceData(s.slots)))
	first := int(at / unsafe.Sizeof(s.slots[0]))
	if at/unsafe.Sizeof(s.slots[0]) >= uintptr(len(s.slots)) { // the caller's own
		return
	}
	gone := 0
	for i := first; i < min(first+cap(frames), len(s.slots)); i++ {
		bit := uint64(1) << (i % 64)
		if s.given[i/64].Or(bit)&bit == 0 {
			gone++
		}
	}
	s.unref(gone)
}

// over reports whether all messages have been dealt out, which is when used and short can be looked at.
func (s *share) over() bool { return s.taken.Load() == s.cut }

// done reports whether all messages have been given back.
func (s *share) done() bool {
	if s.torn || !s.over() || s.short {
		return false
	}
	for i := range s.used / 64 {
		if s.given[i].Load() != 1<<64-1 {
			return false
		}
	}
	rest := uint64(1)<<(s.used%64) - 1
	return rest == 0 || s.given[s.used/64].Load() == rest
}

// use is a chunk and the lease that its messages have. Its share is nil where it does not serve again.
type use struct {
	buf   []byte
	lease *Lease
}

func (u *use) share() *share {
	if u.lease == nil {
		return nil
	}
	return u.lease.share
}

// another returns a chunk of at least need bytes for what is read next, and begins its use: the current one or the one before, unless it has more than most, once all of its messages were given back, else a new
// one. Without an application that gives messages back it is always that.
func (in *In) another(need, most int) []byte {
	heap.spend(need)
	if !in.reuse.Load() || in.Passing != nil {
		in.now.lease, in.before = nil, use{}
		return make([]byte, need)
	}
	if in.now.buf = in.buf; in.passed() {
		in.now, in.before = use{}, use{}
	}
	in.slots = max(in.slots, firstSlots)
	for i, c := range [...]*use{&in.now, &in.before} {
		s := c.share()
		if s == nil || !s.over() {
			continue
		}
		if s.short && len(s.slots) == in.slots {
			in.slots = min(2*in.slots, maxSlots)
		}
		if len(s.slots) < in.slots || len(c.buf) < need || len(c.buf) > most || !s.done() {
			continue
		}
		buf := c.buf
		if i == 1 {
			in.before = in.now
		}
		in.now.lease = &newShare(s.slots).lease
		return buf
	}
	in.before = in.now
	in.now.lease = &newShare(make([][]byte, in.slots)).lease
	return make([]byte, need)
}

// batch returns the messages in data, of the current chunk.
func (in *In) batch(b Batch, data []byte) Batch {
	b.data = data
	if in.plain == nil && in.Passing == nil {
		in.plain = &Lease{reuse: in.reuse}
	}
	if b.Lease = in.now.lease; b.Lease == nil {
		b.Lease = in.plain
	}
	if b.share = in.now.share(); b.share != nil {
		b.share.cut++
		b.share.ref(1)
	}
	return b
}

// part takes a frame that lies in the current chunk for a message that does not.
func (in *In) part(frame []byte) {
	in.partial = append(in.partial, frame)
	if s := in.now.share(); s != nil {
		s.torn = true
	}
}

// leave ends the use of the current chunk, of which nothing is left.
func (in *In) leave() {
	if s := in.now.share(); s != nil {
		s.unref(1)
	}
	in.now, in.before = use{}, use{}
}

// pass begins the use of a chunk that a peer within the process gave away.
func (in *In) pass(b []byte) {
	in.leave()
	if in.reuse.Load() && in.Passing == nil && cap(b) == chunkSize {
		s := newShare(make([][]byte, firstSlots))
		s.chunk = (*[chunkSize]byte)(b[:chunkSize])
		s.refs.Store(1) // ours, until leave
		in.now.lease = &s.lease
	}
}

// passed reports whether the current chunk is such a one.
func (in *In) passed() bool { s := in.now.share(); return s != nil && s.chunk != nil }

func (s *share) ref(n int) {
	if s.chunk != nil {
		s.refs.Add(int64(n))
	}
}

// unref leaves a chunk that was passed to who sends next, once nobody has anything of it.
func (s *share) unref(n int) {
	if s.chunk != nil && n > 0 && s.refs.Add(int64(-n)) == 0 && !s.short && !s.torn {
		chunks.Put(s.chunk)
	}
}
