package spool_test

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// fillUp appends until the spool is full and returns how many messages it took.
func fillUp(t *testing.T, l *spool.Log) uint64 {
	t.Helper()
	return fillUpWith(t, l, 500)
}

// fillUpWith is fillUp with messages of size bytes.
func fillUpWith(t *testing.T, l *spool.Log, size int) uint64 {
	t.Helper()
	ctx := bounded(t)
	for n := uint64(0); ; n++ {
		_, err := l.Append(ctx, body(l.Next(), size))
		if err != nil {
			require.ErrorIs(t, err, spool.ErrFull)
			return n
		}
		require.Less(t, n, uint64(100_000))
	}
}

func TestFullSpoolRejects(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]func(o *spool.Options, disk *spooltest.Mem){
		"quota": func(o *spool.Options, _ *spooltest.Mem) { o.Quota = 5 * o.SegmentSize },
		"disk":  func(o *spool.Options, disk *spooltest.Mem) { disk.SetRoom(5 * o.SegmentSize) },
		"reserve": func(o *spool.Options, disk *spooltest.Mem) {
			o.Reserve = 1 << 20
			disk.SetRoom(1<<20 + 5*o.SegmentSize)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk, o := spooltest.NewMem(), small
			o.Full = spool.Reject
			limit(&o, disk)
			l := open(t, disk, o)
			n := fillUp(t, l)
			assert.Greater(t, n, uint64(400))
			assert.LessOrEqual(t, l.Stats().Bytes, 5*o.SegmentSize)
			require.Error(t, l.Stats().Full)
			numbers, gaps := read(t, l.Queue().Reader(), 500)
			require.Equal(t, upTo(n), numbers)
			require.Empty(t, gaps)

			require.NoError(t, l.Queue().Ack(1, n-10), "acknowledgements are taken")
			require.NoError(t, l.Flush(bounded(t)))
			require.Eventually(t, func() bool {
				_, err := l.Append(bounded(t), body(l.Next(), 500))
				return err == nil
			}, 20*time.Second, time.Millisecond, "what is acknowledged makes room")
			require.NoError(t, l.Close())
			l = open(t, disk.Crash(nil), o)
			numbers, gaps = read(t, l.Queue().Reader(), 500)
			assert.Equal(t, fromTo(n-9, n+1), numbers)
			assert.Empty(t, gaps)
		})
	}
}

// TestFullSpoolOfLargeSegments: where a disk has less room than a segment takes at least, what can be done about that is said, and helps.
func TestFullSpoolOfLargeSegments(t *testing.T) {
	t.Parallel()
	disk, o := spooltest.NewMem(), spool.Options{SegmentSize: 1 << 20, Full: spool.Reject}
	disk.SetRoom(o.SegmentSize / 10)
	l := open(t, disk, o)
	_, err := l.Append(bounded(t), []byte("x"))
	require.ErrorIs(t, err, spool.ErrFull)
	require.ErrorIs(t, err, spooltest.ErrNoSpace)
	require.ErrorContains(t, err, "a segment takes 131072 bytes at least where SegmentSize is 1048576, which may be set to less")
	require.NoError(t, l.Close())
	o.SegmentSize = 64 << 10
	l = open(t, disk, o)
	_, err = l.Append(bounded(t), []byte("x"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func TestFullSpoolBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, fullSpoolBlocks)
}

func fullSpoolBlocks(t *testing.T) {
	o := small
	o.Quota = 3 * o.SegmentSize
	l := open(t, spooltest.NewMem(), o)
	ctx, cancel := context.WithCancel(bounded(t))
	done, taken := make(chan error, 1), atomic.Uint64{}
	go func() {
		for range 1000 {
			n, err := l.Append(ctx, body(l.Next(), 500))
			if err != nil {
				done <- err
				return
			}
			taken.Store(n)
		}
		done <- nil
	}()
	synctest.Wait()
	require.Error(t, l.Stats().Full)
	assert.Less(t, taken.Load(), uint64(1000))
	r := l.Queue().Reader()
	defer r.Close()
	for range 1000 { // the consumer makes room
		rec, err := r.Next(bounded(t))
		require.NoError(t, err)
		require.NoError(t, l.Queue().Ack(rec.Number, rec.Number))
	}
	require.NoError(t, <-done)

	go func() {
		for {
			if _, err := l.Append(ctx, body(l.Next(), 500)); err != nil {
				done <- err
				return
			}
		}
	}()
	synctest.Wait()
	require.Error(t, l.Stats().Full)
	cancel()
	err := <-done
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, spool.ErrFull, "what it waited for")
}

// The oldest go where it is the disk that is full, too, with neither quota nor reserve.
func TestFullSpoolDropsOldest(t *testing.T) {
	t.Parallel()
	for name, quota := range map[string]int64{"quota": 4 * small.SegmentSize, "disk": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk, o := spooltest.NewMem(), small
			o.Quota, o.Full = quota, spool.DropOldest
			if quota == 0 {
				disk.SetRoom(4 * small.SegmentSize)
			}
			l := open(t, disk, o)
			fill(t, l, 2000, 500)
			require.Eventually(t, func() bool { // the keeper may still be at it
				_, gaps := read(t, l.Queue().Reader(), 500)
				return len(gaps) == 1 && gaps[0].To == l.Stats().Dropped
			}, 20*time.Second, time.Millisecond)
			for range 2 {
				numbers, gaps := read(t, l.Queue().Reader(), 500)
				require.Len(t, gaps, 1)
				assert.Equal(t, uint64(1), gaps[0].From)
				assert.False(t, gaps[0].Damaged)
				assert.Equal(t, fromTo(gaps[0].To+1, 2000), numbers)
				assert.LessOrEqual(t, l.Stats().Bytes, 4*small.SegmentSize)
				require.NoError(t, l.Close())
				report, err := spool.VerifyFS(disk)
				require.NoError(t, err)
				require.Empty(t, report.Damage)
				l = open(t, disk, o)
			}
		})
	}
}

// TestAcksOfAFullSpool acknowledges one message at a time for longer than there is room to write that down.
func TestAcksOfAFullSpool(t *testing.T) {
	t.Parallel()
	disk, o := spooltest.NewMem(), small
	o.Quota, o.Full = 2*o.SegmentSize, spool.Reject
	l := open(t, disk, o)
	n := fillUp(t, l)
	for i := uint64(2); i <= n; i += 2 {
		require.NoError(t, l.Queue().Ack(i, i))
		if err := l.Flush(bounded(t)); err != nil {
			require.ErrorIs(t, err, spool.ErrFull)
		}
	}
	require.NoError(t, l.Queue().Ack(1, n))
	require.Eventually(t, func() bool {
		_, err := l.Append(bounded(t), body(l.Next(), 500))
		return err == nil
	}, 20*time.Second, time.Millisecond)
	require.NoError(t, l.Close())
	l = open(t, disk, o)
	numbers, gaps := read(t, l.Queue().Reader(), 500)
	assert.Equal(t, []uint64{n + 1}, numbers)
	assert.Empty(t, gaps)
}

func TestFailedSyncStopsTheLog(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"sync", "write"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			disk, fail := spooltest.NewMem(), atomic.Bool{}
			l, err := spool.OpenFS(&spooltest.Faulty{FS: disk, Before: func(_ int64, what, name string) error {
				if what == op && strings.HasSuffix(name, "1.seg") || what == op && name == "next" && fail.Load() {
					if fail.Swap(false) {
						return spooltest.ErrInjected
					}
				}
				return nil
			}}, small)
			require.NoError(t, err)
			fill(t, l, 10, 50)
			_, err = l.Consumer("known", spool.Beginning())
			require.NoError(t, err)
			fail.Store(true)
			ctx := bounded(t)
			_, err = l.Append(ctx, body(11, 50))
			require.ErrorIs(t, err, spool.ErrFailed)
			require.ErrorIs(t, err, spooltest.ErrInjected)
			require.False(t, fail.Load())
			for range 3 {
				_, err = l.Append(ctx, body(11, 50))
				require.ErrorIs(t, err, spool.ErrFailed, "one failure is for good")
				require.ErrorIs(t, l.Flush(ctx), spool.ErrFailed)
				require.ErrorIs(t, l.Queue().Ack(1, 1), spool.ErrFailed)
			}
			known, err := l.Consumer("known", spool.End())
			require.NoError(t, err)
			numbers, _ := read(t, known.Reader(), 50)
			require.Equal(t, upTo(10), numbers, "what was confirmed is there for who comes back")
			_, err = l.Consumer("new", spool.Beginning())
			require.ErrorIs(t, err, spool.ErrFailed)
			require.Error(t, l.Close())
			l = open(t, disk, small)
			numbers, gaps := read(t, l.Reader(spool.At(1)), 50)
			assert.Equal(t, upTo(10), numbers[:10])
			assert.Empty(t, gaps)
			fill(t, l, 10, 50)
		})
	}
}

// TestFailedLogForgetsAName that is removed, since its place could not be kept, rather than serve what is gone after the next opening.
func TestFailedLogForgetsAName(t *testing.T) {
	t.Parallel()
	var fails atomic.Bool
	l, err := spool.OpenFS(&spooltest.Faulty{FS: spooltest.NewMem(), Before: func(_ int64, op, _ string) error {
		if op == "sync" && fails.Load() {
			return spooltest.ErrInjected
		}
		return nil
	}}, small)
	require.NoError(t, err)
	fill(t, l, 1, 10)
	fails.Store(true)
	_, err = l.Consumer("new", spool.Beginning())
	require.NoError(t, err)
	require.ErrorIs(t, l.Flush(bounded(t)), spool.ErrFailed)
	require.Equal(t, []string{"new"}, l.Consumers())
	for _, name := range []string{"new", ""} {
		require.ErrorIs(t, l.RemoveConsumer(name), spool.ErrFailed)
	}
	require.Empty(t, l.Consumers())
	_, err = l.Consumer("new", spool.Beginning())
	require.ErrorIs(t, err, spool.ErrFailed)
	numbers, _ := read(t, l.Queue().Reader(), 10)
	require.Equal(t, upTo(1), numbers)
	require.Equal(t, uint64(1), l.Queue().Pending(), "that of Queue stays")
	require.ErrorIs(t, l.Close(), spool.ErrFailed)
}

// noAllocate is a disk that promises nothing ahead, as some systems do: that it is full shows at a write.
type noAllocate struct{ spool.FS }

type noAllocateFile struct{ spool.File }

func (n noAllocate) Open(name string, flag int) (spool.File, error) {
	f, err := n.FS.Open(name, flag)
	return noAllocateFile{f}, err
}

func (noAllocateFile) Allocate(int64) error { return nil }

// TestDiskFullAtAWrite: the log stops and says so at once; what was confirmed is there, can be read meanwhile, and all
// goes on when the log is opened where there is room.
func TestDiskFullAtAWrite(t *testing.T) {
	t.Parallel()
	for room := int64(20 << 10); room < 200<<10; room += 4999 { // messages, acknowledgements, checkpoints, ends
		disk := spooltest.NewMem()
		disk.SetRoom(room)
		l := open(t, noAllocate{disk}, small)
		ctx, sent := bounded(t), uint64(0)
		for {
			n, err := l.Append(ctx, body(sent+1, 500))
			if err != nil {
				require.ErrorIs(t, err, spooltest.ErrNoSpace)
				require.ErrorIs(t, err, spool.ErrFailed)
				break
			}
			sent = n
			if n > 1 && n%2 == 0 {
				_ = l.Queue().Ack(n-1, n-1)
			}
		}
		floor := l.Queue().Floor()
		numbers, gaps := read(t, l.Reader(spool.At(floor+1)), 500)
		require.Equal(t, fromTo(floor+1, sent), numbers)
		require.Empty(t, gaps)
		require.Error(t, l.Close())
		disk.SetRoom(-1)
		l = open(t, noAllocate{disk}, small)
		require.Equal(t, sent+1, l.Next())
		numbers, gaps = read(t, l.Reader(spool.At(floor+1)), 500)
		require.Equal(t, fromTo(floor+1, sent), numbers)
		require.Empty(t, gaps)
		fill(t, l, 1, 500)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	o := small
	o.MaxMessage = 1 << 20
	l := open(t, spooltest.NewMem(), o)
	ctx := bounded(t)
	_, err := l.Append(ctx, make([]byte, 1<<20+1))
	require.ErrorIs(t, err, spool.ErrTooLarge)
	_, err = l.Append(ctx, make([]byte, 1<<20), []byte{1})
	require.ErrorIs(t, err, spool.ErrTooLarge)
	for size := 1 << 10; size <= 1<<20; size *= 2 { // above a segment's size, too
		n, err := l.Append(ctx, body(l.Next(), size))
		require.NoError(t, err)
		rec, err := l.Reader(spool.At(n)).Next(ctx)
		require.NoError(t, err)
		require.Equal(t, body(n, size), rec.Frames[0])
	}
	for _, frames := range [][][]byte{{}, {nil}, {nil, nil}, {[]byte("a"), nil, []byte("c")}} {
		n, err := l.Append(ctx, frames...)
		require.NoError(t, err)
		rec, err := l.Reader(spool.At(n)).Next(ctx)
		require.NoError(t, err)
		require.Len(t, rec.Frames, len(frames))
		for i := range frames {
			assert.Equal(t, string(frames[i]), string(rec.Frames[i]))
		}
	}
}

func TestOptionsThatContradict(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]spool.Options{
		"kind":         {Kind: 9},
		"policy":       {Policy: 9},
		"negative":     {Interval: -1},
		"segment size": {SegmentSize: 100},
		"quota":        {Quota: 1 << 20},
		"largest":      {MaxMessage: 1 << 30},
		"retention":    {Retention: spool.Retention{Count: 1}},
	} {
		_, err := spool.OpenFS(spooltest.NewMem(), o)
		assert.ErrorContains(t, err, want)
	}
}

// TestFullDiskTakesNoNewSpool: it is said why, and nothing is left that keeps one from being made when there is room.
func TestFullDiskTakesNoNewSpool(t *testing.T) {
	t.Parallel()
	for _, full := range []string{"allocate", "write", "sync", "rename", "syncdir"} {
		disk := spooltest.NewMem()
		_, err := spool.OpenFS(&spooltest.Faulty{FS: disk, Before: func(_ int64, op, _ string) error {
			if op == full {
				return syscall.ENOSPC
			}
			return nil
		}}, small)
		require.ErrorIs(t, err, spool.ErrFull, full)
		require.ErrorIs(t, err, syscall.ENOSPC, full)
		fill(t, open(t, disk, small), 1, 10)
	}
}
