package spool_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// ticking is a disk whose clock goes on whenever it is asked, and at no other time: no two things happen at once.
type ticking struct {
	spool.FS
	ticks atomic.Int64
}

func (c *ticking) Now() time.Time { return time.Unix(0, c.ticks.Add(1)) }

// TestReplayWhileCompacting: row 35 of the fault plan. It reads a queue from everywhere, by number and by time, while it is written, acknowledged and
// rewritten: what a reader gets are the messages that nobody had acknowledged when it began, in order, byte for byte.
func TestReplayWhileCompacting(t *testing.T) {
	t.Parallel()
	var rewritten atomic.Int64
	disk := &ticking{FS: &spooltest.Faulty{FS: spooltest.NewMem(), Before: func(_ int64, op, name string) error {
		if op == "rename" && name == "compact.tmp" {
			rewritten.Add(1)
		}
		return nil
	}}}
	l, ctx := open(t, disk, small), bounded(t)
	stuck, err := l.Consumer("stuck", spool.Beginning()) // it wants one in a hundred
	require.NoError(t, err)
	const n, quarter = 3000, 3000 / 4
	var wg sync.WaitGroup
	follow := func(r *spool.Reader, last uint64) {
		defer r.Close()
		for last < n {
			rec, err := r.Next(ctx)
			if !assert.NoError(t, err) || !assert.Greater(t, rec.Number, last) || !assert.Equal(t, string(body(rec.Number, 300)), string(rec.Frames[0])) {
				return
			}
			for m := last + 1; m < rec.Number; m++ { // none that is wanted was passed over
				if !assert.NotZero(t, m%100, "message %d", m) {
					return
				}
			}
			last = rec.Number
		}
	}
	wg.Go(func() {
		for i := uint64(1); i <= n; i++ {
			if last := i - 1; last%quarter == 0 {
				since := disk.Now()
				wg.Go(func() { follow(l.Reader(spool.Since(since)), last) })
				wg.Go(func() { follow(l.Reader(spool.Since(since)), last) }) // which may begin when that time is being rewritten
			}
			_, err := l.Append(ctx, body(i, 300))
			assert.NoError(t, err)
			assert.NoError(t, l.Queue().Ack(i, i))
			if i%100 != 0 {
				assert.NoError(t, stuck.Ack(i, i))
			}
			if i%500 == 0 {
				assert.NoError(t, l.Release(ctx))
			}
		}
	})
	for from := range uint64(4) {
		wg.Go(func() { follow(stuck.From(from*quarter+1), from*quarter) })
	}
	wg.Wait()
	assert.GreaterOrEqual(t, rewritten.Load(), int64(n/500), "one at least each time that room was asked for")
	numbers, gaps := read(t, stuck.Reader(), 300)
	assert.Len(t, numbers, n/100)
	assert.Empty(t, gaps)
}

// kept is a topic that keeps a few hundred messages, and its model: the message of a number is body, and was appended after the time before[number].
type kept struct {
	t      *testing.T
	disk   *ticking
	l      *spool.Log
	before []time.Time
	last   atomic.Uint64 // up to here before is written
}

const keptMessages, keptCount = 6000, 500

func (k *kept) write() {
	ctx := bounded(k.t)
	for i := uint64(1); i <= keptMessages; i++ {
		k.before[i] = k.disk.Now()
		k.last.Store(i)
		if _, err := k.l.Append(ctx, body(i, 300)); !assert.NoError(k.t, err) {
			return
		}
	}
}

// follow reads from start, where message first is, up to message until: each comes once and in order, or is in a gap that was told of in its place, and is then gone for good.
func (k *kept) follow(start spool.Start, first, until uint64) bool {
	r, ctx, told := k.l.Reader(start), bounded(k.t), uint64(0)
	defer r.Close()
	for next := first; next <= until; {
		rec, err := r.Next(ctx)
		var gap *spool.Gap
		if errors.As(err, &gap) {
			oldest := k.l.First()
			if !assert.LessOrEqual(k.t, gap.From, next) || !assert.GreaterOrEqual(k.t, gap.To+1, next) ||
				!assert.Less(k.t, gap.To, oldest, "they are there") || !assert.False(k.t, gap.Damaged) || !assert.Less(k.t, told, gap.From, "told twice") {
				return false
			}
			next, told = gap.To+1, gap.To
			continue
		}
		if !assert.NoError(k.t, err) || !assert.Equal(k.t, next, rec.Number) || !assert.Equal(k.t, string(body(next, 300)), string(rec.Frames[0])) ||
			!assert.True(k.t, rec.Time.After(k.before[next])) {
			return false
		}
		next++
	}
	return true
}

// TestReplayWhileRetentionGoesOn: row 35 of the fault plan. It reads a topic from everywhere, by number and by time, while it is written and retention takes what
// is old: what is gone is a gap up to the first message that is there.
func TestReplayWhileRetentionGoesOn(t *testing.T) {
	t.Parallel()
	disk := &ticking{FS: spooltest.NewMem()}
	l := open(t, disk, spool.Options{Kind: spool.Topic, SegmentSize: 64 << 10, Retention: spool.Retention{Count: keptCount}})
	k := &kept{t: t, disk: disk, l: l, before: make([]time.Time, keptMessages+1)}
	var wg sync.WaitGroup
	wg.Go(k.write)
	for seed, place := range []func(last, any uint64) (spool.Start, uint64){
		func(_, _ uint64) (spool.Start, uint64) { return spool.At(1), 1 },
		func(last, _ uint64) (spool.Start, uint64) { return spool.At(last/2 + 1), last/2 + 1 },
		func(last, _ uint64) (spool.Start, uint64) { return spool.At(last), last },
		func(_, any uint64) (spool.Start, uint64) { return spool.At(any), any },
		func(_, any uint64) (spool.Start, uint64) { return spool.Since(k.before[any]), any },
		func(last, _ uint64) (spool.Start, uint64) { return spool.Since(k.before[last]), last },
	} {
		rng := rand.New(rand.NewPCG(35, uint64(seed)))
		wg.Go(func() {
			for last := uint64(0); last < keptMessages; {
				if last = k.last.Load(); last == 0 {
					continue
				}
				start, first := place(last, 1+rng.Uint64N(last))
				if !k.follow(start, first, min(last+keptCount, keptMessages)) {
					return
				}
			}
		})
	}
	wg.Wait()

	require.NoError(t, l.Release(bounded(t)))
	oldest := l.First()
	require.Greater(t, oldest, uint64(keptMessages-2*keptCount))
	gone := []*spool.Gap{{From: 1, To: oldest - 1}}
	for _, r := range []*spool.Reader{l.Reader(spool.At(1)), l.Reader(spool.Since(k.before[1])), l.Reader(spool.Since(k.before[oldest-1])), k.consumer(spool.Since(k.before[1])).Reader()} {
		numbers, gaps := read(t, r, 300)
		assert.Equal(t, gone, gaps)
		assert.Equal(t, fromTo(oldest, keptMessages), numbers)
	}
	middle := oldest + keptCount/2
	for _, r := range []*spool.Reader{l.Reader(spool.At(middle)), l.Reader(spool.Since(k.before[middle])), k.consumer(spool.Since(k.before[middle])).Reader()} {
		numbers, gaps := read(t, r, 300)
		assert.Empty(t, gaps)
		assert.Equal(t, fromTo(middle, keptMessages), numbers)
	}
}

// consumer returns a new one.
func (k *kept) consumer(start spool.Start) *spool.Consumer {
	k.t.Helper()
	name := []string{"first", "second"}[len(k.l.Consumers())]
	c, err := k.l.Consumer(name, start)
	require.NoError(k.t, err)
	return c
}
