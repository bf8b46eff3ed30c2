package sockettest

import (
	"net"
	"os"
	"sync"
	"time"
)

// FaultyConn is a net.Conn with faults. In are those of Read, Out those of Write; they may be changed at
// any time, from any goroutine, and hold for calls that begin afterwards. Without faults it behaves as the
// connection it wraps. Deadlines and Close work on calls that are held as on those that are not.
type FaultyConn struct {
	net.Conn
	In, Out *Faults

	closed chan struct{}
	once   sync.Once
}

// Faults are what goes wrong in one direction of a FaultyConn.
type Faults struct {
	mu    sync.Mutex    // guards the fields below
	limit int           // bytes at most at a time; 0: any number
	left  int64         // bytes before the failure, if err is set
	err   error         // the failure
	gate  chan struct{} // closed while calls may pass; nil: likewise

	deadline time.Time
	moved    chan struct{} // closed and replaced whenever the deadline changes
}

// NewFaultyConn wraps conn, without faults yet.
func NewFaultyConn(conn net.Conn) *FaultyConn {
	return &FaultyConn{
		Conn:   conn,
		In:     &Faults{moved: make(chan struct{})},
		Out:    &Faults{moved: make(chan struct{})},
		closed: make(chan struct{}),
	}
}

// Limit has at most n bytes pass at a time: a Read returns no more, a Write goes out in pieces of n. Zero
// takes the limit off.
func (f *Faults) Limit(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit = n
}

// FailAfter lets n more bytes pass and then fails every call with err. The call that reaches that point
// moves the bytes before it, as a connection does that breaks in the middle. A nil err repairs.
func (f *Faults) FailAfter(n int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.err = n, err
}

// Hold makes calls wait until Release. One that is waiting for the network already is not held.
func (f *Faults) Hold() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.held() {
		f.gate = make(chan struct{})
	}
}

// Release lets the calls pass again that Hold made wait.
func (f *Faults) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held() {
		close(f.gate)
		f.gate = nil
	}
}

// held needs the lock.
func (f *Faults) held() bool { return f.gate != nil }

// Read reads as the faults of In allow.
func (c *FaultyConn) Read(b []byte) (int, error) {
	n, err := c.In.admit(len(b), c.closed)
	if err != nil {
		return 0, err
	}
	n, err = c.Conn.Read(b[:n])
	c.In.spend(n)
	return n, err
}

// Write writes as the faults of Out allow.
func (c *FaultyConn) Write(b []byte) (int, error) {
	for done := 0; ; {
		n, err := c.Out.admit(len(b)-done, c.closed)
		if err != nil {
			return done, err
		}
		n, err = c.Conn.Write(b[done : done+n])
		c.Out.spend(n)
		done += n
		if err != nil || done == len(b) {
			return done, err
		}
	}
}

// Close closes the connection and ends the calls that are held.
func (c *FaultyConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// SetDeadline sets both deadlines.
func (c *FaultyConn) SetDeadline(t time.Time) error {
	c.In.setDeadline(t)
	c.Out.setDeadline(t)
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline sets the deadline of Read.
func (c *FaultyConn) SetReadDeadline(t time.Time) error {
	c.In.setDeadline(t)
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline sets the deadline of Write.
func (c *FaultyConn) SetWriteDeadline(t time.Time) error {
	c.Out.setDeadline(t)
	return c.Conn.SetWriteDeadline(t)
}

// admit waits for the gate and returns how many of want bytes may pass at once.
func (f *Faults) admit(want int, closed <-chan struct{}) (int, error) {
	if err := f.wait(closed); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.limit > 0 {
		want = min(want, f.limit)
	}
	if f.err != nil {
		if f.left <= 0 {
			return 0, f.err
		}
		want = int(min(int64(want), f.left))
	}
	return want, nil
}

// spend counts n bytes that have passed.
func (f *Faults) spend(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = max(0, f.left-int64(n))
}

// wait returns once the gate is open, or with the error that Close or the deadline ends the call with.
func (f *Faults) wait(closed <-chan struct{}) error {
	for {
		f.mu.Lock()
		gate, moved, deadline := f.gate, f.moved, f.deadline
		f.mu.Unlock()
		if gate == nil {
			return nil
		}
		var expired <-chan time.Time
		if !deadline.IsZero() {
			expired = time.After(time.Until(deadline))
		}
		select {
		case <-gate:
			return nil
		case <-closed:
			return net.ErrClosed
		case <-expired:
			return os.ErrDeadlineExceeded
		case <-moved:
		}
	}
}

// setDeadline has calls that are held look at the deadline again.
func (f *Faults) setDeadline(t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deadline = t
	close(f.moved)
	f.moved = make(chan struct{})
}
