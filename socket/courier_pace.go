package socket

import (
	"context"
	"time"
)

// pace has the courier of a durable subscription that is behind rest for most of the time while messages are published, so that those find a processor that is
// free: here, and where its subscribers are. Times are arguments; rest is the timer around them.
type pace struct {
	end func() uint64 // the number of the last message; nil for a courier that never rests. Set before run

	last     uint64        // what end was
	grew     time.Time     // when that was seen to be another than before, zero for never
	debt     time.Duration // the rest that is due; below zero that was taken in advance
	at, upto uint64        // where it stood at the last rest, and end
}

const (
	// paceRest is how much longer than it works it rests: twice. With once it reads half as much again, and who is live waits half as long again.
	paceRest = 2
	// paceLeast is the shortest rest. A commit of the log does not get through shorter ones: it is the end of one system call, some work, and another call.
	paceLeast = 250 * time.Microsecond
	// paceLive is for how long after a message others are expected.
	paceLive = time.Second
)

// due returns how long to rest at the time now, after so much work, when message at is to come next and end is the last one. Who is not further behind than what a subscriber
// may have in hand is live as well. Who does not gain on the end, by a quarter of what is published, does not rest: else it would never get there.
func (p *pace) due(now time.Time, worked time.Duration, at, end uint64) time.Duration {
	if end != p.last && p.last > 0 {
		p.grew = now
	}
	p.last = end
	if end < at+ackWindow || p.grew.IsZero() || now.Sub(p.grew) > paceLive {
		p.debt, p.at, p.upto = 0, at, end
		return 0
	}
	p.debt = min(p.debt+paceRest*worked, 2*paceLeast)
	if p.debt < paceLeast || 4*(at-p.at) < 5*(end-p.upto) {
		return 0
	}
	p.at, p.upto = at, end
	return p.debt
}

// rested notes how long it has rested. Timers may be late by a millisecond: what is more than a short rest is not made up for.
func (p *pace) rested(d time.Duration) { p.debt = max(p.debt-d, -paceLeast) }

// rest rests, if that is due after work that began at a time.
func (c *courier) rest(ctx context.Context, timer *time.Timer, begun time.Time) {
	p := &c.pace
	if p.end == nil {
		return
	}
	now := time.Now()
	d := p.due(now, now.Sub(begun), c.ahead.at, p.end())
	if d == 0 {
		return
	}
	sleep(ctx, timer, d)
	p.rested(time.Since(now))
}

// sleep waits for a time, or until ctx ends.
func sleep(ctx context.Context, timer *time.Timer, d time.Duration) {
	timer.Reset(d)
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
