package spool_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestNumbersOfAClosedLogAreNotGivenAgain loses what was read and never synced after a log had been closed and opened:
// its numbers come again under another incarnation.
func TestNumbersOfAClosedLogAreNotGivenAgain(t *testing.T) {
	t.Parallel()
	disk, o := spooltest.NewMem(), small
	o.Policy = spool.OS
	l := open(t, disk, o)
	fill(t, l, 10, 20)
	require.NoError(t, l.Close())
	l = open(t, disk, o)
	fill(t, l, 1, 20)
	lost, err := l.Reader(spool.At(11)).Next(bounded(t))
	require.NoError(t, err)
	left := disk.Synced()
	require.NoError(t, l.Close())

	l = open(t, left, o)
	require.Equal(t, uint64(11), l.Next(), "the message was not synced")
	fill(t, l, 1, 20)
	again, err := l.Reader(spool.At(11)).Next(bounded(t))
	require.NoError(t, err)
	assert.Greater(t, again.Incarnation, lost.Incarnation)
}

// TestFullDiskIsOpenedAndDrained opens a spool on a disk that has no room left, after Close and after a crash: it can
// be read and acknowledged, says that it is full, and takes messages again when there is room.
func TestFullDiskIsOpenedAndDrained(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{true, false} {
		t.Run(fmt.Sprint("closed ", closed), func(t *testing.T) {
			t.Parallel()
			disk, o := spooltest.NewMem(), spool.Options{SegmentSize: 512 << 10, Full: spool.Reject}
			disk.SetRoom(5 * o.SegmentSize)
			l := open(t, disk, o)
			n := fillUp(t, l)
			left := disk.Crash(nil)
			require.NoError(t, l.Close())
			if closed {
				left = disk
			}
			left.SetRoom(0) // what is given back is all there is
			l = open(t, left, o)
			require.Eventually(t, func() bool { return l.Stats().Full != nil }, 20*time.Second, time.Millisecond)
			numbers, gaps := read(t, l.Queue().Reader(), 500)
			assert.Equal(t, upTo(n), numbers)
			assert.Empty(t, gaps)
			require.NoError(t, l.Queue().Ack(1, n))
			require.Eventually(t, func() bool {
				_, err := l.Append(bounded(t), body(l.Next(), 500))
				return err == nil
			}, 20*time.Second, time.Millisecond, "what is acknowledged makes room")
			require.NoError(t, l.Close())
			l = open(t, left.Crash(nil), o)
			numbers, gaps = read(t, l.Queue().Reader(), 500)
			assert.Equal(t, []uint64{n + 1}, numbers)
			assert.Empty(t, gaps)
		})
	}
}

// TestFailedSyncIsNotBelieved lets a sync fail as kernels do: what could not be written stays readable and counts as
// written. Messages whose senders were told so are gone, whatever the kernel shows.
func TestFailedSyncIsNotBelieved(t *testing.T) {
	t.Parallel()
	disk, fail := spooltest.NewMem(), atomic.Bool{}
	l, err := spool.OpenFS(&spooltest.Faulty{FS: disk, Before: func(_ int64, op, _ string) error {
		if op == "sync" && fail.Load() {
			fail.Store(false)
			disk.Forget(segments(t, disk)[0])
			return spooltest.ErrInjected
		}
		return nil
	}}, small)
	require.NoError(t, err)
	fill(t, l, 10, 50)
	fail.Store(true)
	_, err = l.Append(bounded(t), body(11, 50))
	require.ErrorIs(t, err, spool.ErrFailed)
	require.Error(t, l.Close())
	for range 2 {
		l = open(t, disk, small)
		numbers, gaps := read(t, l.Reader(spool.At(1)), 50)
		assert.Equal(t, upTo(l.Next()-1), numbers)
		assert.Empty(t, gaps)
		assert.Len(t, numbers, 10)
		require.NoError(t, l.Close())
		disk = disk.Synced()
	}
}

// TestRewritingWaitsForAcks acknowledges messages while their segment is rewritten, and loses power when the copy has
// taken its place: what the copy left out is known to be acknowledged.
func TestRewritingWaitsForAcks(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	var log atomic.Pointer[spool.Log]
	var renamed atomic.Bool
	looked := make(chan struct{}, 100)
	look := func(left *spooltest.Mem) {
		l, err := spool.OpenFS(left, small)
		if assert.NoError(t, err) {
			_, gaps := read(t, l.Queue().Reader(), crashBody)
			assert.Empty(t, gaps)
			assert.NoError(t, l.Close())
		}
	}
	l, err := spool.OpenFS(&spooltest.Faulty{FS: disk, Before: func(_ int64, op, name string) error {
		switch {
		case op == "open" && name == "compact.tmp":
			assert.NoError(t, log.Load().Queue().Ack(2, 60))
		case op == "rename" && name == "compact.tmp":
			renamed.Store(true)
		case op == "syncdir" && renamed.Swap(false):
			look(disk.Crash(nil))
			looked <- struct{}{}
		}
		return nil
	}}, small)
	require.NoError(t, err)
	log.Store(l)
	fill(t, l, 500, crashBody)
	require.NoError(t, l.Queue().Ack(5, 56))
	select {
	case <-looked:
	case <-bounded(t).Done():
		require.Fail(t, "nothing was rewritten")
	}
	require.NoError(t, l.Close())
}

// TestConsumerMadeLate makes a consumer of a queue when messages are gone that nobody else needed: they are no gap, and
// no damage.
func TestConsumerMadeLate(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	fill(t, l, 2000, 500)
	require.NoError(t, l.Queue().Ack(1, 700))
	require.NoError(t, l.Queue().Ack(900, 1500))
	require.NoError(t, l.Release(bounded(t)))
	for range 2 {
		c, err := l.Consumer("late", spool.Beginning())
		require.NoError(t, err)
		numbers, gaps := read(t, c.Reader(), 500)
		assert.Equal(t, append(fromTo(701, 899), fromTo(1501, 2000)...), numbers)
		assert.Empty(t, gaps)
		require.NoError(t, l.Queue().Ack(1, 2000))
		require.NoError(t, l.Release(bounded(t)))
		require.NoError(t, l.Close())
		report, err := spool.VerifyFS(disk)
		require.NoError(t, err)
		assert.Empty(t, report.Damage)
		l = open(t, disk, small)
	}
}

// TestTooLargeForTheQuota: what could never have room is refused, not waited for.
func TestTooLargeForTheQuota(t *testing.T) {
	t.Parallel()
	for _, full := range []spool.Full{spool.Block, spool.Reject, spool.DropOldest} {
		o := small
		o.Quota, o.Full = 3*o.SegmentSize, full
		l := open(t, spooltest.NewMem(), o)
		_, err := l.Append(bounded(t), make([]byte, 2*o.SegmentSize))
		require.ErrorIs(t, err, spool.ErrTooLarge)
		require.ErrorContains(t, err, "raise the quota, which is 196608")
		_, err = l.Append(bounded(t), make([]byte, o.SegmentSize))
		require.NoError(t, err)
	}
}

// clocked is a disk with a clock that jumps.
type clocked struct {
	spool.FS
	ahead atomic.Int64
}

func (c *clocked) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// clockJumps are how far ahead clocks are in turn: a year, which they are put right from, and an hour behind.
var clockJumps = []time.Duration{0, 365 * 24 * time.Hour, -365 * 24 * time.Hour, 0, -time.Hour}

// TestClockJumps sets the clock forth and back by a year: nothing expires before its time, the times of messages do not
// go back, and a place by time is found.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const year = 365 * 24 * time.Hour
		disk := spooltest.NewMem()
		fs := &clocked{FS: disk}
		o := spool.Options{Kind: spool.Topic, SegmentSize: 64 << 10, Policy: spool.OS, Retention: spool.Retention{Age: time.Hour}}
		l, err := spool.OpenFS(fs, o)
		require.NoError(t, err)
		var jumps []time.Time
		for _, ahead := range []time.Duration{0, year, -year, 0} {
			fs.ahead.Store(int64(ahead))
			time.Sleep(time.Minute)
			jumps = append(jumps, fs.Now())
			for range 300 {
				_, err := l.Append(t.Context(), body(l.Next(), 500))
				require.NoError(t, err)
			}
		}
		time.Sleep(10 * time.Minute)
		require.Zero(t, l.Stats().Dropped, "no clock made them older")
		r, last := l.Reader(spool.Beginning()), time.Time{}
		for range 1200 {
			rec, err := r.TryNext()
			require.NoError(t, err)
			require.False(t, rec.Time.Before(last))
			last = rec.Time
		}
		require.NoError(t, r.Close())
		r = l.Reader(spool.Since(jumps[1]))
		rec, err := r.TryNext()
		require.NoError(t, err)
		assert.Equal(t, uint64(301), rec.Number)
		require.NoError(t, r.Close())
		time.Sleep(time.Hour)
		assert.Greater(t, l.Stats().Dropped, uint64(1000), "they are old now")
		require.NoError(t, l.Close())
	})
}

// TestIntervalBoundsWhatIsLost loses power under a log that syncs every so often: what was sent longer ago than that is
// there, and so is all that Flush confirmed.
func TestIntervalBoundsWhatIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const interval, step = 100 * time.Millisecond, 7 * time.Millisecond
		disk, o := spooltest.NewMem(), small
		o.Policy, o.Interval = spool.Interval, interval
		l, err := spool.OpenFS(disk, o)
		require.NoError(t, err)
		flushed := uint64(0)
		for n := uint64(1); n <= 300; n++ {
			_, err := l.Append(t.Context(), body(n, 300))
			require.NoError(t, err)
			if n%100 == 0 {
				require.NoError(t, l.Flush(t.Context()))
				flushed = n
			}
			time.Sleep(step)
			synctest.Wait()
			left, err := spool.OpenViewFS(disk.Synced())
			require.NoError(t, err)
			older := max(int64(n)-int64(interval/step)-1, int64(flushed))
			require.Greater(t, int64(left.Stats().Next), older)
			require.NoError(t, left.Close())
		}
		require.NoError(t, l.Close())
	})
}

// TestFlushConfirmsWhatWasEnqueued loses power right after Flush, with every policy.
func TestFlushConfirmsWhatWasEnqueued(t *testing.T) {
	t.Parallel()
	for _, policy := range []spool.Policy{spool.Always, spool.Interval, spool.OS} {
		disk, o := spooltest.NewMem(), small
		o.Policy = policy
		l := open(t, disk, o)
		for n := range uint64(500) {
			_, err := l.Enqueue(context.Background(), body(n+1, 300))
			require.NoError(t, err)
		}
		require.NoError(t, l.Queue().Ack(1, l.Stats().Appended)) // as far as it has got
		acked := l.Queue().Floor()
		require.NoError(t, l.Flush(bounded(t)))
		left := open(t, disk.Synced(), o)
		assert.Equal(t, acked, left.Queue().Floor())
		numbers, gaps := read(t, left.Queue().Reader(), 300)
		assert.Equal(t, fromTo(acked+1, 500), numbers)
		assert.Empty(t, gaps)
	}
}

// TestFlushConfirmsWhatNobodyHasTaken: what Flush waits for are the messages that were enqueued, also where nothing is being written yet and nothing else is to be.
func TestFlushConfirmsWhatNobodyHasTaken(t *testing.T) {
	t.Parallel()
	for _, policy := range []spool.Policy{spool.Always, spool.Interval, spool.OS} {
		disk, o := spooltest.NewMem(), small
		o.Policy, o.Interval = policy, time.Hour
		l := open(t, disk, o)
		for n := range uint64(50) { // some of which the log's own goroutine is too late for
			_, err := l.Enqueue(bounded(t), body(n+1, 300))
			require.NoError(t, err)
			require.NoError(t, l.Flush(bounded(t)))
			left, err := spool.OpenViewFS(disk.Synced())
			require.NoError(t, err)
			require.Equal(t, n+2, left.Stats().Next, policy)
			require.NoError(t, left.Close())
		}
	}
}

// TestSpoolMadeAnew: one that is deleted and made again has another id, so a window takes its messages for new.
func TestSpoolMadeAnew(t *testing.T) {
	t.Parallel()
	w, err := spool.OpenWindowFS(spooltest.NewMem(), spool.WindowOptions{})
	require.NoError(t, err)
	defer w.Close()
	for range 2 {
		l := open(t, spooltest.NewMem(), small)
		fill(t, l, 1, 20)
		rec, err := l.Queue().Reader().Next(bounded(t))
		require.NoError(t, err)
		mark := spool.Mark{Stream: l.ID(), Incarnation: rec.Incarnation, Number: rec.Number}
		assert.False(t, w.Seen(mark))
		require.NoError(t, w.Mark(bounded(t), mark))
		assert.True(t, w.Seen(mark))
	}
}
