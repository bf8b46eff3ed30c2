package socket

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/meshmq/meshmq/socket/spool"
)

// retry is a message that is to be delivered again, or buried.
type retry struct {
	number  uint64
	attempt int // which delivery it will be
	failed  int
	due     time.Time // zero of one that is given up
	reason  string
}

// retries wait for their time, as a heap.
type retries []retry

func (r retries) Len() int           { return len(r) }
func (r retries) Less(i, j int) bool { return r[i].due.Before(r[j].due) }
func (r retries) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *retries) Push(x any)        { *r = append(*r, x.(retry)) }
func (r *retries) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

func compareNumbers(a, b uint64) int { return cmp.Compare(a, b) }

// farAhead is how many messages it is cheaper to read and pass over than to look for the place behind them.
const farAhead = 4096

// maxWaiting is how many messages wait to be delivered again before nothing newer is read: a megabyte or two of reasons and times.
const maxWaiting = 1 << 12

// takeBack decides what becomes of messages that came back, and which of those before are due.
func (c *courier) takeBack(back []returned) {
	before := len(c.ready)
	for _, b := range back {
		if c.lanes != nil {
			c.lanes.back(b.number)
		}
		r := retry{number: b.number, attempt: b.attempt + 1, reason: b.reason}
		switch b.blame {
		case innocent:
			r.attempt = b.attempt
			c.ready = append(c.ready, r)
		case bystander:
			if b.after > 0 {
				c.wait(r, b.after)
			} else {
				c.ready = append(c.ready, r)
			}
		case orphaned:
			c.orphan(r, b.sole)
		case failed:
			c.fail(r, b.after)
		case rejected:
			c.fail(r, -1)
		}
	}
	now := time.Now()
	for len(c.waiting) > 0 && !c.waiting[0].due.After(now) {
		c.ready = append(c.ready, heap.Pop(&c.waiting).(retry))
	}
	if len(c.ready) > before {
		slices.SortFunc(c.ready, func(a, b retry) int { return compareNumbers(a.number, b.number) })
	}
}

// count counts a failed delivery and returns how many there were.
func (c *courier) count(r *retry) int {
	n, err := c.from.Fail(r.number)
	if err != nil { // the spool has failed: what this courier knows must do
		n = r.attempt - 1
	}
	r.failed = n
	c.mu.Lock()
	c.counts.failed++
	c.mu.Unlock()
	return n
}

// orphan counts a delivery whose connection ended. The message is delivered again at once: only one that a member had alone, or that was being written, is known to be what ended it.
func (c *courier) orphan(r retry, sole bool) {
	if n := c.count(&r); sole && c.retry.spent(n) {
		r.reason = cmp.Or(r.reason, orphanedReason(n))
		c.doomed = append(c.doomed, r)
		return
	}
	c.ready = append(c.ready, r)
}

// fail counts a failed delivery, after which the message waits, or is given up. A negative pause says that it was rejected.
func (c *courier) fail(r retry, after time.Duration) {
	n := c.count(&r)
	switch {
	case after < 0:
		c.doomed = append(c.doomed, r)
	case c.retry.spent(n):
		r.reason = fmt.Sprintf("%d deliveries failed, the last one: %s", n, cmp.Or(r.reason, "no reason given"))
		c.doomed = append(c.doomed, r)
	default:
		if after == 0 {
			after = c.retry.pause(n)
		}
		c.wait(r, after)
	}
}

// wait has a message delivered again after a while.
func (c *courier) wait(r retry, after time.Duration) {
	r.due = time.Now().Add(after)
	heap.Push(&c.waiting, r)
}

// spent reports whether a message has failed as often as it may. One that is still there is delivered alone: so that it is known whether it is what ends its receivers, and
// what was with it is not given up for it.
func (p *retryPolicy) spent(failed int) bool { return p.limit > 0 && failed >= p.limit }

// orphanedReason is why a message is given up that has failed n times, in the end because its connection was lost.
func orphanedReason(n int) string {
	return fmt.Sprintf("%d deliveries failed: at the last one the connection ended while the receiver had this message and no other, so it may end whoever handles it", n)
}

// pause returns how long a message waits that has failed n times.
func (p *retryPolicy) pause(n int) time.Duration {
	return retryPause(p.min, p.max, n-1, p.random())
}

// nextAgain returns the place of the first message that is to be delivered again.
func (c *courier) nextAgain() (*reading, error) {
	r := &c.ready[0]
	found, err := c.find(r.number)
	if err != nil {
		return nil, err
	}
	if !found {
		c.ready = c.ready[1:]
		c.drop(r.number)
		c.resume()
		return nil, nil
	}
	c.again.d.attempt = max(r.attempt, c.again.d.attempt)
	return &c.again, nil
}

// find has c.again stand at message n. It reports false if that is acknowledged or lost.
func (c *courier) find(n uint64) (bool, error) {
	p := &c.again
	if p.held && p.d.number == n {
		return true, nil
	}
	if n < p.at || n > p.at+farAhead {
		_ = p.r.Close()
		p.r, p.at = c.from.Reader(n), n
	}
	for {
		err := p.read()
		gap, missing := errors.AsType[*spool.Gap](err)
		switch {
		case missing && gap.From <= n && n <= gap.To: // the quota took it meanwhile, or the disk
			p.at = gap.To + 1
			c.lose(&spool.Gap{From: n, To: n, Damaged: gap.Damaged})
			return false, nil
		case missing:
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err
		case p.d.number >= n:
			return p.d.number == n, nil
		}
	}
}

// bury writes the letters of messages that are given up, and reports whether there were any. When one cannot be written, which is said if it could be before, they are
// tried again later, others first: until then the messages stay where they are.
func (c *courier) bury(ctx context.Context) (buried bool) {
	if time.Now().Before(c.burial) {
		return false
	}
	for len(c.doomed) > 0 {
		r := c.doomed[0]
		c.doomed = c.doomed[1:]
		found, err := c.find(r.number)
		if err == nil && found {
			c.again.held = false
			err = c.from.Bury(ctx, c.again.rec, r.reason)
		}
		if err != nil {
			c.doomed = append(c.doomed, r)
			if c.burial.IsZero() {
				c.tell(courierNews{trouble: err})
			}
			c.burial = time.Now().Add(troublePause)
			return buried
		}
		c.drop(r.number)
		if found {
			c.burial = time.Time{}
			c.mu.Lock()
			c.counts.buried++
			c.mu.Unlock()
			buried = true
			c.tell(courierNews{dead: &DeadLetter{Number: cmp.Or(c.again.d.origin, r.number), Reason: r.reason, Attempts: r.failed, Frames: c.again.d.frames}})
		}
	}
	c.burial = time.Time{}
	return buried
}
