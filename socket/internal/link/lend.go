package link

import (
	"time"
	"unsafe"
)

// lentBody is the size from which a body is written from where its owner has it, if it can be written at once: the copy would take as long as all else.
const lentBody = 256 << 10

// loan says what became of a body that is written from where its owner has it.
type loan uint8

const (
	noLoan    loan = iota
	loanTaken      // flight has it, and the baton is the owner's, who calls Flush
	loanUsed       // it is being written; behind that it is nobody's but its owner's again
)

// AppendLent is Append for who always calls Flush when flush is true, before the frames are used for anything else: a large body that ends the message is not copied if the
// connection takes all of it at once.
func (o *Out) AppendLent(head, frames [][]byte, size int) (ok, flush bool) {
	if size >= lentBody {
		o.mu.Lock()
		ok = o.lendLocked(head, frames, size)
		o.mu.Unlock()
		if ok {
			return true, true
		}
	}
	return o.Append(head, frames, size)
}

// lendLocked makes a message the flight if nothing is before it, and keeps the baton for Flush.
func (o *Out) lendLocked(head, frames [][]byte, size int) bool {
	last := len(frames) - 1
	if o.conn == nil || o.conn.gather == nil || o.err != nil || o.writing || o.stopping || o.last || o.kept != nil ||
		len(o.ctrl)+len(o.segs)+len(o.flight) > 0 || len(frames[last]) < lentBody || size-len(frames[last]) > largeBody || !stays(frames[last]) {
		return false
	}
	for i, f := range head {
		o.appendFrame(f, true, i > 0)
	}
	for i, f := range frames[:last] {
		o.appendFrame(f, true, len(head)+i > 0)
	}
	o.appendLargeHeader(len(frames[last]), false, len(head)+last > 0)
	o.appendLarge(unescaped(frames[last]))
	o.segs[len(o.segs)-2].lent = true
	o.queuedLocked(size)
	o.takeLocked()
	o.writing, o.loan = true, loanTaken
	return true
}

// repayLocked writes a lent body as far as it can without blocking, and copies it if that is not all. It gives up o.mu meanwhile.
func (o *Out) repayLocked() {
	o.loan = loanUsed
	conn := o.conn
	vec := o.vector()
	alone := o.Line == nil || o.Line.members.Load() == 1
	o.mu.Unlock()
	whole := total(vec)
	n, err := conn.tryLong(vec, whole, alone)
	if err != nil || n < whole {
		for i := range o.flight { // which who has the baton may change
			o.flight[i].keep()
		}
	}
	clear(vec)
	o.mu.Lock()
	o.loan = noLoan
	if o.owners > 0 {
		o.wake.Broadcast()
	}
	o.finishLocked(n, err)
	if o.pendingLocked() {
		o.wakeLocked()
	}
}

const (
	// takePause is how long the only peer may take nothing of a lent body until that is copied, takeTime how long it may go on making room for the rest.
	takePause = 100 * time.Microsecond
	takeTime  = time.Millisecond
)

// tryLong is tryWrite for size bytes, of a lent body: with wait, what is left is written as the peer makes room. Others would have to wait for that peer.
func (c *Conn) tryLong(rest [][]byte, size int, wait bool) (written int, err error) {
	for start := time.Now(); ; {
		n, err := c.tryWrite(rest)
		written += n
		if wouldBlock(err) {
			err = nil
		}
		if err != nil || written == size || !wait || time.Since(start) > takeTime || !c.gather.AwaitRoom(takePause) {
			return written, err
		}
		for n >= len(rest[0]) {
			n -= len(rest[0])
			rest = rest[1:]
		}
		rest[0] = rest[0][n:]
	}
}

// keep copies a lent body: all of it, since the next connection begins with its first octet.
func (s *segment) keep() {
	if !s.lent {
		return
	}
	b, buf := newBody(len(s.b))
	s.b, s.copied, s.own, s.lent = append(b, s.b...), buf, true, false
}

// unescaped returns b, so that the compiler need not know that the queue has it for a while: else whatever anybody sends would have to be on the heap, short messages too. The
// caller of AppendLent still has b, so it is not collected while its address is a number.
func unescaped(b []byte) []byte {
	words := *(*[3]uintptr)(unsafe.Pointer(&b))
	return *(*[]byte)(unsafe.Pointer(&words))
}

// stays reports whether b is where it stays until nobody has it any more: not on the stack of this goroutine, which may move. Variables as large as lentBody are not
// kept there, but what functions pass to one another by value is, whatever its size. Between the call and the comparison nothing moves a stack; if it did, local would not be within its bounds. Where the bounds of the stack are not known, which shows by what is surely on it, the answer is no.
func stays(b []byte) bool {
	var local byte
	lo, hi := stackBounds()
	at, here := uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(unsafe.Pointer(&local))
	return lo <= here && here < hi && (at < lo || at >= hi)
}
