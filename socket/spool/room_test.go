package spool_test

import (
	"context"
	"math"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// during reports whether a function is on the caller's stack.
func during(function string) bool { return strings.Contains(string(debug.Stack()), function) }

const roomBody = 500

// TestQuotaIsKept sends more than the quota while the consumer has stopped, and the same once more when it has caught up but for messages that are stuck: those are copied
// where there is no room, and the disk never has more than the quota and a segment; the counters are exact. The same where it is the disk's reserve that is kept. A topic sends on when all is acknowledged, which makes no room there.
func TestQuotaIsKept(t *testing.T) {
	t.Parallel()
	for name, full := range map[string]spool.Full{"block": spool.Block, "reject": spool.Reject, "drop the oldest": spool.DropOldest} {
		for limit, reserve := range map[string]int64{"quota": 0, "reserve": 1 << 20} {
			t.Run(name+", "+limit, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { quotaIsKept(t, full, reserve) })
			})
			t.Run("topic, "+name+", "+limit, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { quotaOfTopicIsKept(t, full, reserve) })
			})
		}
	}
}

// measured is a disk that is asked how much it has before each call, for the most that it ever had, and counts the segments that are copied.
type measured struct {
	*spooltest.Faulty
	disk         *spooltest.Mem
	peak, copied atomic.Int64
}

func (m *measured) Free() (uint64, error) { return m.disk.Free() }

func measure(room int64) *measured {
	m := &measured{disk: spooltest.NewMem()}
	m.disk.SetRoom(room)
	m.Faulty = &spooltest.Faulty{FS: m.disk, Before: func(_ int64, op, name string) error {
		if op == "rename" && name == "compact.tmp" {
			m.copied.Add(1)
		}
		free, err := m.disk.Free()
		for used := room - int64(free); ; {
			if was := m.peak.Load(); used <= was || m.peak.CompareAndSwap(was, used) {
				return err
			}
		}
	}}
	return m
}

func quotaIsKept(t *testing.T, full spool.Full, reserve int64) {
	t.Helper()
	const many, stuck = 1500, 10
	o, quota := small, 5*small.SegmentSize-8_000 // five use it up: of those that are sealed the rest is given back
	disk := measure(quota + 1<<20)
	if o.Full, o.Reserve = full, reserve; reserve == 0 {
		o.Quota = quota
	}
	l, err := spool.OpenFS(disk, o)
	require.NoError(t, err)
	defer l.Close()
	sent, acked, dropped := uint64(0), uint64(0), uint64(0)
	for range 2 {
		for i := range many {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			n, err := l.Append(ctx, body(sent+1, roomBody))
			cancel()
			if err != nil {
				require.ErrorIs(t, err, map[spool.Full]error{spool.Block: context.DeadlineExceeded, spool.Reject: spool.ErrFull}[full])
				break
			}
			if sent = n; i == 20 { // what is dropped then does not count
				acked = n - 10
				require.NoError(t, l.Queue().Ack(1, acked))
			}
		}
		synctest.Wait()
		numbers, gaps := read(t, l.Queue().Reader(), roomBody)
		if full == spool.DropOldest {
			require.Len(t, gaps, 1)
			dropped += gaps[0].To - acked
			acked = gaps[0].To
		} else {
			require.Empty(t, gaps)
			require.Less(t, sent, acked+many)
		}
		require.Equal(t, fromTo(acked+1, sent), numbers)
		s := l.Stats()
		require.Equal(t, [2]uint64{sent, dropped}, [2]uint64{s.Appended, s.Dropped})
		require.LessOrEqual(t, s.Bytes, quota)

		var left []uint64
		for n := acked + 1; n <= sent; n++ {
			if n%stuck == 0 {
				left = append(left, n)
				continue
			}
			require.NoError(t, l.Queue().Ack(n, n))
		}
		copied := disk.copied.Load()
		require.NoError(t, l.Release(t.Context()))
		require.Greater(t, disk.copied.Load(), copied, "nothing was copied")
		numbers, _ = read(t, l.Queue().Reader(), roomBody)
		require.Equal(t, left, numbers)
		acked = sent
		require.NoError(t, l.Queue().Ack(1, acked))
		require.NoError(t, l.Release(t.Context()))
	}
	require.NoError(t, l.Close())
	assert.LessOrEqual(t, disk.peak.Load(), quota+o.SegmentSize)
	assert.Greater(t, disk.peak.Load(), quota, "segments are copied beyond it")
}

// quotaOfTopicIsKept sends more than the quota to a topic with two names, and once more when one of them has acknowledged all.
func quotaOfTopicIsKept(t *testing.T, full spool.Full, reserve int64) {
	t.Helper()
	const many = 1500
	o, quota := small, 5*small.SegmentSize-8_000
	disk := measure(quota + 1<<20)
	if o.Kind, o.Full, o.Reserve = spool.Topic, full, reserve; reserve == 0 {
		o.Quota = quota
	}
	l, err := spool.OpenFS(disk, o)
	require.NoError(t, err)
	defer l.Close()
	names := make([]*spool.Consumer, 2)
	for i := range names {
		names[i], err = l.Consumer(string(rune('a'+i)), spool.Beginning())
		require.NoError(t, err)
	}
	sent, acked := uint64(0), uint64(0)
	for round := range 2 {
		before := sent
		for range many {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			n, err := l.Append(ctx, body(sent+1, roomBody))
			cancel()
			if err != nil {
				require.ErrorIs(t, err, map[spool.Full]error{spool.Block: context.DeadlineExceeded, spool.Reject: spool.ErrFull}[full])
				break
			}
			sent = n
		}
		synctest.Wait()
		s := l.Stats()
		require.Equal(t, full == spool.DropOldest, s.Dropped > 0)
		require.Equal(t, full == spool.DropOldest || round == 0, sent > before, "what is acknowledged stays")
		require.Equal(t, sent, s.Appended)
		require.LessOrEqual(t, s.Bytes, quota)
		for i, from := range []uint64{acked, 0} { // who reads each time, and who never acknowledges
			numbers, gaps := read(t, names[i].Reader(), roomBody)
			require.Equal(t, fromTo(max(from, s.Dropped)+1, sent), numbers)
			if s.Dropped <= from {
				require.Empty(t, gaps)
				continue
			}
			require.Len(t, gaps, 1)
			require.Equal(t, spool.Gap{From: from + 1, To: s.Dropped}, *gaps[0])
		}
		acked = sent
		require.NoError(t, names[0].Ack(1, acked))
		require.NoError(t, l.Release(t.Context()))
	}
	require.NoError(t, l.Close())
	assert.LessOrEqual(t, disk.peak.Load(), quota, "nothing is copied")
}

// TestQuotaOfDeadLetters: they have as much as the messages, by themselves. Without room there a message stays, and others are still taken.
func TestQuotaOfDeadLetters(t *testing.T) {
	t.Parallel()
	o, disk := small, measure(1<<30)
	o.Quota, o.Full = 5*o.SegmentSize, spool.Reject
	l := open(t, disk, o)
	dead, err := l.Dead()
	require.NoError(t, err)
	r := l.Queue().Reader()
	defer r.Close()
	var stays uint64
	for err == nil {
		stays, err = l.Append(bounded(t), body(l.Next(), roomBody))
		require.NoError(t, err)
		rec, wrong := r.TryNext()
		require.NoError(t, wrong)
		err = dead.Bury(bounded(t), l.Queue(), rec, "no")
	}
	require.ErrorIs(t, err, spool.ErrFull)
	require.Equal(t, uint64(1), l.Queue().Pending())
	for err = nil; err == nil; {
		_, err = l.Append(bounded(t), body(l.Next(), roomBody))
	}
	require.ErrorIs(t, err, spool.ErrFull)
	numbers, _ := read(t, l.Queue().Reader(), roomBody)
	assert.Equal(t, fromTo(stays, l.Next()-1), numbers)
	require.NoError(t, l.Close())
	assert.LessOrEqual(t, disk.peak.Load(), 2*o.Quota)
	assert.Greater(t, disk.peak.Load(), 2*o.Quota-2*o.SegmentSize, "of both")
}

// place is where a disk has no room.
type place struct {
	op, name, during string
	acks             bool  // an acknowledgement is what finds none
	err              error // what senders are told
}

// TestNoRoomAndThenRoom lets a disk have no room for a message, the next segment, its checkpoint, its name, an acknowledgement: senders are told at once,
// not when their time is up; what was confirmed is read; and when there is room all goes on, after ErrFull by itself, after ErrFailed when it is opened again.
func TestNoRoomAndThenRoom(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]place{
		"a message":            {op: "write", err: spool.ErrFailed},
		"an acknowledgement":   {op: "write", acks: true, err: spool.ErrFailed},
		"the next segment":     {op: "allocate", err: spool.ErrFull},
		"the file for it":      {op: "open", name: "next", err: spool.ErrFull},
		"its checkpoint":       {op: "write", during: "spool.beginSegment(", err: spool.ErrFailed},
		"its name":             {op: "rename", name: "next", err: spool.ErrFailed},
		"the end of the other": {op: "write", during: "spool.(*Log).end(", err: spool.ErrFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, p.test)
		})
	}
}

func (p place) test(t *testing.T) {
	disk, full, o := spooltest.NewMem(), atomic.Bool{}, small
	o.Full = spool.Reject
	fs := &spooltest.Faulty{FS: disk, Before: func(_ int64, op, name string) error {
		if full.Load() && op == p.op && strings.HasPrefix(name, p.name) && during(p.during) {
			return spooltest.ErrNoSpace
		}
		return nil
	}}
	l, err := spool.OpenFS(fs, o)
	require.NoError(t, err)
	fill(t, l, 200, roomBody)
	full.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	sent, told := p.sendTo(ctx, l, 200)
	require.ErrorIs(t, told, p.err)
	require.ErrorIs(t, told, spooltest.ErrNoSpace)
	require.NoError(t, ctx.Err())

	numbers, gaps := read(t, l.Reader(spool.At(1)), roomBody)
	require.Equal(t, upTo(sent), numbers)
	require.Empty(t, gaps)
	acked := l.Queue().Floor()
	if p.err == spool.ErrFull {
		require.NoError(t, l.Queue().Ack(1, sent-10), "draining goes on")
		require.NoError(t, l.Flush(ctx))
		acked = sent - 10
	} else {
		require.ErrorIs(t, l.Queue().Ack(1, 1), p.err)
		require.ErrorIs(t, l.Close(), p.err)
		l, err = spool.OpenFS(disk, o)
		require.NoError(t, err)
		require.LessOrEqual(t, l.Queue().Floor(), acked)
		acked = l.Queue().Floor()
	}
	full.Store(false)
	time.Sleep(2 * time.Second) // the keeper looks once a second
	fill(t, l, 200, roomBody)
	numbers, gaps = read(t, l.Queue().Reader(), roomBody)
	require.Equal(t, fromTo(acked+1, sent+200), numbers)
	require.Empty(t, gaps)
	require.NoError(t, l.Close())
}

// sendTo goes on from message sent until it is told that there is no room.
func (p place) sendTo(ctx context.Context, l *spool.Log, sent uint64) (uint64, error) {
	for sent < math.MaxInt16 {
		if !p.acks {
			n, err := l.Append(ctx, body(sent+1, roomBody))
			if err != nil {
				return sent, err
			}
			sent = n
			continue
		}
		if err := l.Queue().Ack(1, 1); err != nil {
			return sent, err
		}
		if err := l.Flush(ctx); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// TestWaitsForRoom: who sends to a full disk, and waits, goes on when there is room.
func TestWaitsForRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		l, err := spool.OpenFS(&spooltest.Faulty{FS: spooltest.NewMem(), Before: func(_ int64, op, _ string) error {
			if full.Load() && op == "allocate" {
				return spooltest.ErrNoSpace
			}
			return nil
		}}, small)
		require.NoError(t, err)
		full.Store(true)
		done := make(chan error, 1)
		go func() {
			for range 1000 {
				if _, err := l.Append(t.Context(), body(l.Next(), roomBody)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		time.Sleep(time.Minute)
		require.Less(t, l.Next(), uint64(1000))
		require.ErrorIs(t, l.Stats().Full, spooltest.ErrNoSpace)
		full.Store(false)
		require.NoError(t, <-done)
		numbers, gaps := read(t, l.Queue().Reader(), roomBody)
		assert.Equal(t, upTo(1000), numbers)
		assert.Empty(t, gaps)
		require.NoError(t, l.Close())
	})
}

// TestQuotaHasRoomForTheNext: a log that is opened again with its only segment full keeps room for acknowledgements there only as far as the next segment fits
// into the quota beside it: else it would never take a message again.
func TestQuotaHasRoomForTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := small
		o.Quota, o.Full = 2*o.SegmentSize, spool.Reject
		for _, first := range []spool.Options{o, small} { // with the quota from the start, and without one so far
			disk := spooltest.NewMem()
			l := open(t, disk, o)
			for int(l.Next())*(32+scarceBody) < int(o.SegmentSize)-24<<10 {
				fill(t, l, 1, scarceBody)
			}
			for len(ended(disk.Bytes(segments(t, disk)[0]), 0)) < int(o.SegmentSize)-4<<10 {
				_, err := l.Queue().Fail(1)
				require.NoError(t, err)
				require.NoError(t, l.Flush(t.Context()))
			}
			require.NoError(t, l.Close())
			l = open(t, disk, first)
			require.NoError(t, l.Queue().Ack(1, l.Next()-1))
			require.NoError(t, l.Close())
			l = open(t, disk, o)
			require.Zero(t, l.Queue().Pending())
			require.Len(t, segments(t, disk), 1)
			time.Sleep(2 * time.Second) // the keeper looks
			_, err := l.Append(t.Context(), body(l.Next(), largeBody))
			require.NoError(t, err)
			require.NoError(t, l.Close())
		}
	})
}
