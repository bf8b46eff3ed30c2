package socket

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// catchUp says how a courier reads a log of a million messages, in runs, by the pure rules of its pace: how long it works and rests until it is no further behind than who is live.
func catchUp(published float64, oversleep time.Duration) (worked, rested time.Duration) {
	const backlog, run, perRun = 1_000_000, courierRun, 100 * time.Microsecond
	var p pace
	begun := time.Now()
	for at := uint64(1); worked+rested < time.Minute; at += run {
		worked += perRun
		now := worked + rested
		end := backlog + uint64(published*now.Seconds())
		if end < at+ackWindow {
			break
		}
		if d := p.due(begun.Add(now), perRun, at, end); d > 0 {
			rested += d + oversleep
			p.rested(d + oversleep)
		}
	}
	return worked, rested
}

// TestPace_RestsTwiceAsLongAsItWorks, while others publish: whatever timers are late by. Nobody rests alone, and who is fast enough to get to the end does, however much is published.
func TestPace_RestsTwiceAsLongAsItWorks(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{0, 70 * time.Microsecond, time.Millisecond} {
		_, rested := catchUp(0, late)
		assert.Zero(t, rested, "nothing is published")
		for _, published := range []float64{1000, 20_000, 200_000} {
			worked, rested := catchUp(published, late)
			share := rested.Seconds() / worked.Seconds()
			assert.GreaterOrEqual(t, share, 1.9, "%v a second, late by %v", published, late)
			if late < paceLeast {
				assert.LessOrEqual(t, share, 2.1, "%v a second, late by %v: what it rests in advance counts", published, late)
			}
		}
		for _, published := range []float64{500_000, 1_000_000, 2_000_000} { // of 2,560,000 that it reads without a rest
			worked, rested := catchUp(published, late)
			assert.Less(t, worked+rested, time.Minute, "%v a second, late by %v", published, late)
		}
	}
}

// TestPace_KnowsWhoIsLive: it rests only behind, and only while others publish.
func TestPace_KnowsWhoIsLive(t *testing.T) {
	t.Parallel()
	const work, at = time.Millisecond, 1000
	now := time.Now()
	var p pace
	assert.Zero(t, p.due(now, work, at, at+2*ackWindow), "nobody is known to publish")
	assert.Equal(t, 2*paceLeast, p.due(now, work, at+2, at+2*ackWindow+1), "no longer than it must, however long it worked")
	p.rested(2 * paceLeast)
	assert.Zero(t, p.due(now, work, at+2, at+2*ackWindow+2), "it does not gain")
	assert.Positive(t, p.due(now, work, at+5, at+2*ackWindow+3))
	p.rested(time.Minute)
	assert.Positive(t, p.due(now, work, at+6, at+2*ackWindow+3), "a late timer does not free it for long")
	assert.Zero(t, p.due(now, work, at+ackWindow+7, at+2*ackWindow+6), "it is live")
	assert.Positive(t, p.due(now.Add(paceLive), work, at+9, at+2*ackWindow+6), "others may come")
	assert.Zero(t, p.due(now.Add(paceLive+1), work, at+99, at+2*ackWindow+6), "nobody is expected")
}

// busyPeer is a member each message to which is work.
type busyPeer struct {
	left int
	done chan struct{}
}

func (p *busyPeer) deliver(*delivery) (ok, flush bool) {
	time.Sleep(time.Microsecond)
	if p.left--; p.left == 0 {
		close(p.done)
	}
	return true, false
}

func (p *busyPeer) flush()               {}
func (p *busyPeer) refuses(extent) error { return nil }
func (p *busyPeer) outstanding() int     { return 0 }

// TestCourier_RestsBesideOthers: a replay takes as long as its work, and three times as long while others publish.
func TestCourier_RestsBesideOthers(t *testing.T) {
	t.Parallel()
	for name, long := range map[string]float64{"alone": 1, "beside others": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const backlog, far = 20_000, 1 << 30
				log, from := openQueue(t, spooltest.NewMem(), spool.Options{})
				k := &courierTest{t: t, log: log}
				k.send(backlog)
				k = newCourierTestFrom(t, log, from, evenRetry, func(c *courier) {
					begun := time.Now()
					c.pace.end = func() uint64 {
						if long == 1 {
							return far
						}
						return far + uint64(time.Since(begun).Milliseconds())
					}
				})
				p := &busyPeer{backlog, make(chan struct{})}
				begun := time.Now()
				k.c.member(p).join()
				<-p.done
				took := time.Since(begun).Seconds() / (backlog * time.Microsecond).Seconds()
				require.InDelta(t, long, took, 0.2)
			})
		})
	}
}
