package link

import (
	"math"
	"sync"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// queueLock is the lock of an Out. Under the embedded Mutex alone short messages are added in a row, with nothing but their bytes and a count; whoever takes the
// lock by Lock finds them entered in the books, and the row ended.
type queueLock struct {
	sync.Mutex
	row row
}

// Lock takes the lock.
func (l *queueLock) Lock() {
	l.Mutex.Lock()
	if l.row.buf != nil {
		l.row.end()
	}
}

// row is a place for more short messages like the last one: in the same segment, and on an acknowledged link of one frame, with the next number, in the same group and
// block. Until it is used up nothing is to be decided about them: not whether there is room or credit, nor who writes.
type row struct {
	left    int    // how many more it takes
	longest int    // how many bytes a message may have
	sole    bool   // in one frame
	pos     int    // where the next begins, in buf
	size    int    // of the bodies in it
	buf     []byte // what is left of the segment, as far as it may be used; nil when there is no row
	most    int    // how many it took at first
	o       *Out
}

// AppendRow is AppendOpen, or DeliverOpen, for a message of size bytes that is one more in a row. It refuses where there is no row that has room, and where the peer has spoken since: only then is
// anything to be decided.
func (o *Out) AppendRow(frames [][]byte, size int) bool {
	if size > math.MaxUint8 {
		return false
	}
	o.mu.Mutex.Lock()
	r := &o.mu.row
	end := r.pos + 2*len(frames) + size
	if r.left == 0 || size > r.longest || end > len(r.buf) || r.sole && len(frames) > 1 || o.spoke.Load() {
		o.mu.Unlock()
		return false
	}
	to, last := r.buf[r.pos:end], len(frames)-1
	for i, f := range frames {
		flags := byte(0)
		if i < last {
			flags = zmtp.FlagMore
		}
		to[0], to[1] = flags, byte(len(f))
		to = to[2+copy(to[2:], f):]
	}
	r.left--
	r.pos = end
	r.size += size
	o.mu.Unlock()
	return true
}

// Lend is AppendRow for who makes the message there: it returns the place for one of one frame and of any size that a row takes, nil where there is none or somebody else is at the queue.
// Until Fill nobody else gets there.
func (o *Out) Lend() []byte {
	if !o.mu.TryLock() {
		return nil
	}
	r := &o.mu.row
	from := r.pos + 2
	if r.left == 0 || r.longest < math.MaxUint8 || from+math.MaxUint8 > len(r.buf) || o.spoke.Load() {
		o.mu.Unlock()
		return nil
	}
	return r.buf[from : from+math.MaxUint8 : from+math.MaxUint8]
}

// Fill adds the message of size bytes at the start of what Lend has returned, or none if size is less than 0.
func (o *Out) Fill(size int) {
	if r := &o.mu.row; size >= 0 {
		to := r.buf[r.pos:]
		to[0], to[1] = 0, byte(size)
		r.left--
		r.pos += 2 + size
		r.size += size
	}
	o.mu.Unlock()
}

// beginRowLocked begins a row behind a message of size bytes that was just queued, and that needs no flush, if those like it may be in one. They may have as many bytes as the peer takes, 0 for any number.
func (o *Out) beginRowLocked(size, takes int) {
	if size > math.MaxUint8 {
		return
	}
	s := &o.segs[len(o.segs)-1]
	n, room := math.MaxInt, cap(s.b)-len(s.b)
	msgs, bytes := o.msgs, o.bytes
	if k := o.kept; k != nil {
		n, room = k.row(s, room-size-zmtp.MaxHeaderSize) // the last one of a block comes by the long way, for which see ladenLocked
		msgs, bytes = max(k.msgs, msgs), k.bytes
	}
	if o.HWM > 0 {
		n = level(n, uint64(o.HWM), msgs)
	}
	if o.HWMBytes > 0 {
		room = level(room, uint64(o.HWMBytes), bytes)
	}
	if !o.writing && o.conn != nil && o.conn.try != nil && len(o.flight) == 0 { // as queuedLocked
		room = level(room, flushBytes, o.bytes)
	}
	if o.called != 0 {
		n = min(n, o.msgs-1) // as lateLocked
	}
	if n <= 0 || room <= 0 {
		return
	}
	longest := math.MaxUint8
	if takes > 0 {
		longest = min(longest, takes)
	}
	o.mu.row = row{left: n, longest: longest, sole: o.kept != nil, buf: s.b[len(s.b) : len(s.b)+room], most: n, o: o}
}

// row returns how many messages may follow in a row where s, the last segment, has room for so many bytes, and in how many of these.
func (k *kept) row(s *segment, room int) (n, bytes int) {
	b := k.open
	if b == nil || s.blk != b || !k.expected(&Delivery{Number: k.last + 1, Attempt: 1}) {
		return 0, 0
	}
	g := k.at(k.behind - 1)
	n, room = min(64-int(k.next-g.tag), math.MaxUint8-int(g.frames)), max(0, min(room, cap(b.b)-len(b.b)))
	n, room = level(n, k.credit, k.msgs+k.greeted), level(room, k.creditB, k.bytes)
	return level(n, k.window, int(k.next-k.floor)), room
}

// level returns how much of n can be used without reaching a bound, of which so much is used.
func level(n int, bound uint64, used int) int {
	if bound <= uint64(used)+1 {
		return 0
	}
	return int(min(uint64(n), bound-uint64(used)-1))
}

// end enters what was added. The lock is held.
func (r *row) end() {
	n, pos, size, o := r.most-r.left, r.pos, r.size, r.o
	*r = row{}
	if n == 0 {
		return
	}
	if o.kept != nil {
		o.kept.endRow(n, pos, size)
	}
	s := &o.segs[len(o.segs)-1]
	s.b = s.b[:len(s.b)+pos]
	s.msgs += n
	s.size += size
	o.msgs += n
	o.bytes += size
	o.total += uint64(n)
	o.totalB += uint64(size)
}

func (k *kept) endRow(n, pos, size int) {
	g, b := k.at(k.behind-1), k.open
	g.open |= (1<<n - 1) << (k.next - g.tag)
	g.size += size
	g.frames += uint8(n)
	k.next += uint64(n)
	k.last += uint64(n)
	k.told.Number += uint64(n)
	k.msgs += n
	k.bytes += size
	b.b = b.b[:len(b.b)+pos]
}
