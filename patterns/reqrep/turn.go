package reqrep

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/socket"
)

const (
	// unread is how long nobody receives after a caller has, while nobody waits for anything: what comes then is of calls that were given up.
	unread = 20 * time.Millisecond
	// aloneFor is after how many replies that nobody else waited beside a client's own goroutine leaves receiving to callers: with fewer it
	// would between those of calls that are made side by side.
	aloneFor = 4
)

// turn says who receives for a client: a caller that waits for its reply itself, which saves the change of goroutine, or Client.receive if
// callers wait for several.
type turn struct {
	taken atomic.Bool   // somebody receives, or was told to; changed with Client.mu held, which guards the next two
	used  bool          // a caller has received since the timer ran
	armed bool          // it runs
	timer *time.Timer   // has Client.receive receive when no caller does
	pass  chan struct{} // takes one: Client.receive receives
	alone atomic.Int64  // replies in a row that nobody else waited beside

	// Whoever has taken the turn guards the fields below.
	heeded <-chan struct{} // Done of the context whose end is told to who receives; nil for none
	last   <-chan struct{} // that of the last caller who received
	ignore func() bool     // heeds it no more
	read   codec.Envelope  // what was received last
}

func (c *Client) openTurn() {
	t := &c.turn
	t.pass = make(chan struct{}, 1)
	t.taken.Store(true)
	t.timer = time.AfterFunc(unread, c.look)
	t.timer.Stop() // until it is armed
	signal(t.pass)
}

// signal leaves a signal in a channel that holds one.
func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// receive hands replies to those who wait for them, when no caller does.
func (c *Client) receive() {
	for range c.turn.pass {
		for staying := true; staying; staying = c.stay() {
			c.turn.alone.Store(0)
			if c.receiveUntil(func() bool { return c.turn.alone.Load() >= aloneFor }) {
				c.ignore()
				return // and nobody gets the turn any more
			}
		}
	}
}

// stay gives up the turn, unless somebody waits who is not going to receive, or the end is near.
func (c *Client) stay() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.book.open > 0 || c.closing {
		return true
	}
	c.freeLocked()
	return false
}

// lead has the caller receive until its call is over, or due unless that is zero, if nobody else does.
func (c *Client) lead(ctx context.Context, q *question, due time.Time) {
	if c.turn.taken.Load() { // by who will not leave before q is over, since that is in the book
		return
	}
	c.mu.Lock()
	taken := c.turn.taken.Swap(true)
	c.mu.Unlock()
	if taken {
		return
	}
	closed := true // or a hook panicked: Client.receive will see
	defer func() { c.yield(closed) }()
	c.heed(ctx)
	if !due.IsZero() {
		defer time.AfterFunc(time.Until(due), c.nudge).Stop()
	}
	closed = c.receiveUntil(func() bool { return len(q.done) > 0 || ctx.Err() != nil || !due.IsZero() && !time.Now().Before(due) })
}

// rely has somebody receive.
func (c *Client) rely() {
	c.mu.Lock()
	c.relyLocked()
	c.mu.Unlock()
}

func (c *Client) relyLocked() {
	if !c.turn.taken.Swap(true) {
		signal(c.turn.pass)
	}
}

// yield gives up a caller's turn: to Client.receive if anybody waits, or the end is near, which that must see.
func (c *Client) yield(closed bool) {
	if t := &c.turn; t.heeded != t.last { // mostly each call has a context of its own
		t.last = t.heeded
		c.ignore()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if closed || c.closing || c.book.open > 0 {
		signal(c.turn.pass)
		return
	}
	c.freeLocked()
}

func (c *Client) freeLocked() {
	t := &c.turn
	t.taken.Store(false)
	t.used = true
	if !t.armed {
		t.armed = true
		t.timer.Reset(unread)
	}
}

// look has Client.receive receive if no caller has for a while.
func (c *Client) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.turn
	if t.used && !t.taken.Load() {
		t.used = false
		t.timer.Reset(unread)
		return
	}
	t.armed = false // or somebody has the turn, and arms it again
	c.relyLocked()
}

// noteLocked notes that a reply came, and how many are waited for still. Client.mu is held.
func (t *turn) noteLocked(open int) {
	if open > 0 {
		t.alone.Store(0)
		return
	}
	t.alone.Add(1)
}

// heed has the end of ctx end receiveUntil, which it does for others' as well: they look again. It is heeded still when its caller comes again.
func (c *Client) heed(ctx context.Context) {
	done := ctx.Done()
	if done == c.turn.heeded {
		return
	}
	c.ignore()
	if done != nil {
		c.turn.heeded, c.turn.ignore = done, context.AfterFunc(ctx, c.nudge)
	}
}

func (c *Client) ignore() {
	if t := &c.turn; t.heeded != nil {
		t.ignore()
		t.heeded, t.ignore = nil, nil
	}
}

// nudge has whoever receives look again whether that is over.
func (c *Client) nudge() {
	c.mu.Lock()
	c.wake()
	c.mu.Unlock()
}

// receiveUntil hands replies to those who wait for them, and fails the calls at instances that are gone, after all that these
// had sent. It reports whether there is nothing more to receive.
func (c *Client) receiveUntil(over func() bool) (closed bool) {
	for {
		gone, ctx := c.departed()
		for gone != nil || !over() {
			m, err := c.Router.Recv(ctx)
			if errors.Is(err, context.Canceled) {
				break
			}
			if err != nil {
				return true // closed, or never usable
			}
			c.open(m)
		}
		if gone == nil && over() {
			return false
		}
		if gone != nil {
			c.bury(gone)
		}
	}
}

func (c *Client) bury(gone []*instance) {
	verdict := c.calls.breaker.verdict(socket.ErrPeerGone)
	c.mu.Lock()
	c.book.bury(gone, verdict)
	c.forgotten()
}

// departed returns the instances that are gone, and a context for Recv that has ended if there are any, else ends when there are, or
// when nudge is called.
func (c *Client) departed() (gone []*instance, ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.book.gone) > 0 {
		return c.book.gone, ended // they are in the book until bury, for others if a hook panics before
	}
	if c.waiting.Err() != nil {
		c.waiting, c.wake = context.WithCancel(context.Background())
	}
	return nil, c.waiting
}
