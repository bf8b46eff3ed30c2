package link

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// largest is the size class of the largest body whose memory is kept for another: 64 MiB.
const largest = 26

// bodies holds the memory of large bodies for reuse, by the power of two that it is at least.
var bodies [largest + 1]sync.Pool

// newBody returns memory for a body of up to size bytes and, if it may go back to bodies, what goes there.
func newBody(size int) ([]byte, *[]byte) {
	class := bits.Len(uint(size - 1))
	if class > largest {
		heap.spend(size)
		return make([]byte, 0, size), nil
	}
	heap.spend(1 << class)
	buf, ok := bodies[class].Get().(*[]byte)
	if !ok {
		b := make([]byte, 0, 1<<class)
		buf = &b
	}
	return (*buf)[:0], buf
}

// returned says of each size class whether bodies of it were ever given back.
var returned [largest + 2]atomic.Bool

// passedBody returns a copy of body for a peer within the process to keep. Where such bodies are given back it is in memory that serves again.
func passedBody(body []byte) []byte {
	if class := bits.Len(uint(len(body) - 1)); class > largest || !returned[class].Load() {
		return append([]byte(nil), body...)
	}
	b, _ := newBody(len(body))
	return append(b, body...)
}

// recycleBody gives memory back that nobody uses any more.
func recycleBody(buf *[]byte) {
	if class := bits.Len(uint(cap(*buf) - 1)); class <= largest && !returned[class].Load() {
		returned[class].Store(true)
	}
	if class := bits.Len(uint(cap(*buf))) - 1; class > 0 && class <= largest {
		bodies[class].Put(buf)
	}
}

// Lease is the memory of messages that were received: of the large bodies of one, or of all that share a chunk.
type Lease struct {
	reuse  *atomic.Bool // of the link: its reader uses memory again
	bodies []*[]byte
	first  [1]*[]byte // room for one
	whole  []byte     // memory of a body that came whole
	gone   atomic.Bool
	share  *share
}

// Release gives the memory of a message with these frames back, for messages to come. Only the first call for each message does. A nil Lease holds nothing.
func (l *Lease) Release(frames [][]byte) {
	if l == nil {
		return
	}
	if l.share != nil {
		l.share.release(frames)
		return
	}
	if l.gone.Load() || l.gone.Swap(true) {
		return
	}
	l.reuse.Store(true)
	if len(l.bodies) == 0 { // of many messages: others look at it
		return
	}
	for _, buf := range l.bodies {
		recycleBody(buf)
	}
	l.bodies = nil
}

// releaseAll is Release for a batch whose messages have no slots.
func (l *Lease) releaseAll() {
	if l != nil && l.share != nil {
		l.share.taken.Add(1)
		l.share.unref(1)
		return
	}
	l.Release(nil)
}

// HasBodies reports whether there are large bodies of a single message.
func (l *Lease) HasBodies() bool { return l != nil && len(l.bodies) > 0 }

// leaseBody notes the memory of a large body that arrived whole.
func (in *In) leaseBody() {
	if in.lease == nil {
		in.lease = &Lease{reuse: in.reuse}
		in.lease.bodies = in.lease.first[:0]
	}
	buf := in.largeBuf
	if buf == nil {
		whole := &in.lease.whole
		if *whole != nil { // the message has several
			whole = new([]byte)
		}
		*whole = in.large
		buf = whole
	}
	in.lease.bodies = append(in.lease.bodies, buf)
	in.large = in.large[:in.want:in.want]
	in.largeBuf = nil
}
