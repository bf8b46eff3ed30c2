package spool_test

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

const (
	scarceBody = 900
	largeBody  = 8000 // of which few fill a segment
)

// medium are options of which an eighth is more than the least segment.
var medium = spool.Options{SegmentSize: 1 << 20}

// TestClosedLogKeepsRoomForState: on a disk that has no room for a segment, or none at all, a log that had been closed can be acknowledged, by names
// that are new, too, and its letters purged: all that is on disk when Flush and Close say so.
func TestClosedLogKeepsRoomForState(t *testing.T) {
	t.Parallel()
	for _, room := range []int64{0, 512 << 10} {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			t.Parallel()
			disk := spooltest.NewMem()
			l := open(t, disk, medium)
			fill(t, l, 100, 100)
			bury(t, l, 1) // the first
			require.NoError(t, l.Close())
			for n := uint64(9); n < 99; n += 10 { // as often as it is opened
				disk.SetRoom(room)
				l = open(t, disk, medium)
				name := fmt.Sprint("from-", n)
				_, err := l.Consumer(name, spool.Beginning())
				require.NoError(t, err)
				require.NoError(t, l.Queue().Ack(1, n))
				require.NoError(t, l.Flush(bounded(t)))
				left := open(t, disk.Synced(), medium)
				require.Contains(t, left.Consumers(), name)
				require.Equal(t, n, left.Queue().Floor())
				require.NoError(t, l.Close())
			}
			l = open(t, disk, medium)
			require.Equal(t, uint64(12), l.Queue().Pending())
			dead, err := l.Dead()
			require.NoError(t, err)
			require.NoError(t, dead.Purge(1, 1))
			require.NoError(t, l.Close())
			l = open(t, disk, medium)
			dead, err = l.Dead()
			require.NoError(t, err)
			require.Zero(t, dead.Len())
			require.NoError(t, l.Close())
			require.LessOrEqual(t, len(disk.Bytes(segments(t, disk)[0])), 512<<10, "no more than that room")
		})
	}
}

// TestRoomBehindTheEnd: what rots there is nothing that was lost, in a log that was closed, and nothing that is read when the room has been used, and power is lost.
func TestRoomBehindTheEnd(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	fill(t, l, 10, scarceBody)
	require.NoError(t, l.Close())
	name := segments(t, disk)[0]
	b := disk.Bytes(name)
	end := len(ended(b, 0))
	require.Greater(t, len(b), end)
	for i := end; i < len(b); i++ {
		b[i] = byte(i | 1)
	}
	disk.Put(name, b)
	undamaged(t, disk, scarceBody)
	l = open(t, disk, small)
	require.True(t, l.Recovery().Clean)
	require.Zero(t, l.Recovery().Torn)
	fill(t, l, 3, scarceBody)
	left := open(t, disk.Synced(), small)
	numbers, gaps := read(t, left.Queue().Reader(), scarceBody)
	require.Equal(t, upTo(13), numbers)
	require.Empty(t, gaps)
}

// TestTurnCutShort: of a segment that was ended for another, when the process ended before it was cut to its length, nothing is kept behind the end.
func TestTurnCutShort(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	var left *spooltest.Mem
	l, err := spool.OpenFS(&spooltest.Faulty{FS: disk, Before: func(_ int64, op, name string) error {
		if op == "truncate" && left == nil {
			left = disk.Crash(nil)
		}
		return nil
	}}, small)
	require.NoError(t, err)
	fill(t, l, 100, scarceBody)
	require.NoError(t, l.Close())
	name := slices.Min(segments(t, left))
	require.Len(t, left.Bytes(name), int(small.SegmentSize))
	l = open(t, left, small)
	require.Len(t, left.Bytes(name), len(ended(left.Bytes(name), 0)))
	require.NoError(t, l.Close())
}

// TestDiskSmallerThanASegment: what there is of it is used, by messages, letters and marks, in a new spool and in one whose file ends where its records do.
func TestDiskSmallerThanASegment(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	disk.SetRoom(8 << 20)
	for range 3 {
		l := open(t, disk, spool.Options{Full: spool.Reject})
		require.Eventually(t, func() bool { // the keeper finds out that there is room for less
			_, err := l.Append(bounded(t), body(l.Next(), 500))
			return err == nil || !assert.ErrorIs(t, err, spool.ErrFull)
		}, 20*time.Second, time.Millisecond)
		require.NoError(t, l.Queue().Ack(1, l.Next()-1))
		require.NoError(t, l.Flush(bounded(t)))
		require.NoError(t, l.Close())
		for _, name := range segments(t, disk) {
			disk.Put(name, ended(disk.Bytes(name), 0))
		}
	}
	l := open(t, disk, spool.Options{})
	require.Zero(t, l.Queue().Pending())
	fill(t, l, 10_000, 500)
	require.NoError(t, l.Close())

	disk = spooltest.NewMem()
	disk.SetRoom(600 << 10)
	w, err := spool.OpenWindowFS(disk, spool.WindowOptions{})
	require.NoError(t, err)
	for n := range uint64(1000) {
		require.NoError(t, w.Mark(bounded(t), spool.Mark{Number: n + 1}))
	}
	require.NoError(t, w.Close())
}

// hoard returns a disk without room, with a closed log of several segments, all pending.
func hoard(t *testing.T) (*spooltest.Mem, uint64) {
	t.Helper()
	const many = 1000
	disk := spooltest.NewMem()
	l := open(t, disk, spool.Options{SegmentSize: 128 << 10})
	_, err := l.Consumer("gone", spool.Beginning())
	require.NoError(t, err)
	_, err = l.Consumer("stays", spool.Beginning())
	require.NoError(t, err)
	fill(t, l, many, scarceBody)
	require.NoError(t, l.Close())
	disk.SetRoom(0)
	return disk, many
}

// TestNothingGoesBeforeItsAcknowledgement: where the room for acknowledgements is used up no loss of power makes messages look lost; the last of that
// room is kept for letting go, which makes room for all else before Flush, or Close, returns.
func TestNothingGoesBeforeItsAcknowledgement(t *testing.T) {
	t.Parallel()
	for name, flush := range map[string]func(l *spool.Log) error{
		"flush": func(l *spool.Log) error { return l.Flush(context.Background()) },
		"close": (*spool.Log).Close,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { nothingGoesBefore(t, flush) })
		})
	}
}

func nothingGoesBefore(t *testing.T, flush func(*spool.Log) error) {
	t.Helper()
	disk, many := hoard(t)
	removed := false
	var left []*spooltest.Mem // by losses of power before and after a segment goes
	o := spool.Options{SegmentSize: 4 << 20}
	l, err := spool.OpenFS(&spooltest.Faulty{FS: disk, Before: func(_ int64, op, name string) error {
		if op == "remove" && path.Ext(name) == ".seg" || op == "syncdir" && removed {
			removed = op == "remove"
			left = append(left, disk.Crash(nil), disk.Synced())
		}
		return nil
	}}, o)
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	stays, err := l.Consumer("stays", spool.Beginning())
	require.NoError(t, err)
	for n := uint64(2); err == nil; n += 2 {
		require.NoError(t, stays.Ack(n, n))
		require.NoError(t, l.Queue().Ack(n, n))
		err = l.Flush(t.Context())
	}
	require.ErrorIs(t, err, spool.ErrFull)
	require.Empty(t, left)
	require.NoError(t, l.RemoveConsumer("gone"))
	require.NoError(t, l.RemoveConsumer("stays"))
	_, err = l.Consumer("stays", spool.Beginning()) // once, however often it is written
	require.NoError(t, err)
	require.NoError(t, stays.Ack(1, many))
	require.NoError(t, l.Queue().Ack(1, many/4))
	require.NoError(t, l.Release(t.Context()))
	require.NotEmpty(t, left)
	require.ErrorIs(t, l.Flush(t.Context()), spool.ErrFull, "that was too little")
	require.NoError(t, l.Queue().Ack(1, many/2))
	require.NoError(t, flush(l))
	require.NoError(t, l.Close())
	for _, disk := range append(left, disk) {
		undamaged(t, disk, scarceBody)
	}
	l, err = spool.OpenFS(disk, o)
	require.NoError(t, err)
	require.Equal(t, many/2, l.Queue().Floor())
	require.Equal(t, []string{"stays"}, l.Consumers())
}

// TestNothingGoesWhereNothingCanBeWritten, not even that; and all goes when there is room.
func TestNothingGoesWhereNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	disk, many := hoard(t)
	names := segments(t, disk)
	last := slices.Max(names)
	disk.Put(last, ended(disk.Bytes(last), 64)) // for the ends of two openings
	l := open(t, disk, medium)
	require.NoError(t, l.RemoveConsumer("gone"))
	require.NoError(t, l.RemoveConsumer("stays"))
	require.NoError(t, l.Queue().Ack(1, many))
	require.NoError(t, l.Release(bounded(t)))
	require.ErrorIs(t, l.Flush(bounded(t)), spool.ErrFull)
	require.ErrorIs(t, l.Close(), spool.ErrFull)
	require.ElementsMatch(t, names, segments(t, disk))
	undamaged(t, disk, scarceBody)

	l = open(t, disk, medium)
	require.Equal(t, many, l.Queue().Pending())
	require.NoError(t, l.RemoveConsumer("gone"))
	require.NoError(t, l.RemoveConsumer("stays"))
	require.NoError(t, l.Queue().Ack(1, many))
	disk.SetRoom(4 << 10)
	require.NoError(t, l.Flush(bounded(t)))
	require.NoError(t, l.Close())
	l = open(t, disk, medium)
	require.Zero(t, l.Queue().Pending())
	require.Less(t, len(segments(t, disk)), len(names))
	require.NoError(t, l.Close())
	undamaged(t, disk, scarceBody)
}

// TestQuotaIsLowered: a log that has many times its quota is drained, or drops, segment after segment, though there is no room for another.
func TestQuotaIsLowered(t *testing.T) {
	t.Parallel()
	for _, full := range []spool.Full{spool.Block, spool.DropOldest} {
		disk, many := spooltest.NewMem(), uint64(1200)
		l := open(t, disk, small)
		fill(t, l, int(many), largeBody)
		require.NoError(t, l.Close())
		o := small
		o.Quota, o.Full = 2*o.SegmentSize, full
		l = open(t, disk, o)
		for n := uint64(1); n <= many && full == spool.Block; n++ {
			require.NoError(t, l.Queue().Ack(n, n))
			if err := l.Flush(bounded(t)); err != nil {
				require.ErrorIs(t, err, spool.ErrFull)
			}
		}
		_, err := l.Append(bounded(t), body(many+1, largeBody))
		require.NoError(t, err)
		require.NoError(t, l.Flush(bounded(t)))
		require.NoError(t, l.Release(bounded(t)))
		require.NoError(t, l.Close())
		undamaged(t, disk, largeBody)
		l = open(t, disk, o)
		numbers, _ := read(t, l.Queue().Reader(), largeBody)
		require.Less(t, len(numbers), 15, full)
		require.NoError(t, l.Close())
	}
}

// TestFullOnlyWhileItIs: when all that is to be known of what goes is on disk, nothing says any more that there is no room for it.
func TestFullOnlyWhileItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := spooltest.NewMem()
		o := spool.Options{Kind: spool.Topic, SegmentSize: 128 << 10}
		l := open(t, disk, o)
		fill(t, l, 1000, scarceBody)
		require.NoError(t, l.Close())
		disk.SetRoom(0)
		o.SegmentSize = 4 << 20 // there is never room for one
		l = open(t, disk, o)
		c, err := l.Consumer("c", spool.Beginning())
		require.NoError(t, err)
		for n := uint64(2); err == nil; n += 2 {
			require.NoError(t, c.Ack(n, n))
			err = l.Flush(t.Context())
		}
		require.ErrorIs(t, err, spool.ErrFull)
		require.ErrorIs(t, l.Close(), spool.ErrFull)
		before := len(segments(t, disk))
		o.Retention.Count = 500
		l = open(t, disk, o)
		require.NoError(t, l.Release(t.Context()))
		require.Less(t, len(segments(t, disk)), before)
		require.NoError(t, l.Flush(t.Context()))
		require.NoError(t, l.Close())
	})
}

// TestRoomForWhatASegmentBeginsWith: where acknowledgements find no room, the next segment is one that has room for all of them, however little the disk has.
func TestRoomForWhatASegmentBeginsWith(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 100_000
		disk := spooltest.NewMem()
		l := open(t, disk, medium)
		fill(t, l, many, 20)
		require.NoError(t, l.Close())
		disk.SetRoom(0)
		l = open(t, disk, medium)
		var err error
		for n := uint64(2); err == nil; n += 2 {
			require.NoError(t, l.Queue().Ack(n, n))
			if n%1000 == 0 {
				err = l.Flush(t.Context())
			}
		}
		require.ErrorIs(t, err, spool.ErrFull)
		for room := int64(70 << 10); err != nil; room += 10 << 10 {
			disk.SetRoom(room)
			if err = l.Flush(t.Context()); err != nil {
				require.ErrorIs(t, err, spool.ErrFull)
			}
		}
		pending := l.Queue().Pending()
		require.NoError(t, l.Close())
		l = open(t, disk, medium)
		require.Equal(t, pending, l.Queue().Pending())
		require.NoError(t, l.Close())
	})
}

// undamaged wants all that nobody has acknowledged to be there, for each consumer.
func undamaged(t *testing.T, disk *spooltest.Mem, size int) {
	t.Helper()
	report, err := spool.VerifyFS(disk)
	require.NoError(t, err)
	require.Empty(t, report.Damage)
	v, err := spool.OpenViewFS(disk)
	require.NoError(t, err)
	for _, c := range v.Stats().Consumers {
		r, err := v.Pending(c.Name)
		require.NoError(t, err)
		_, gaps := read(t, r, size)
		for _, g := range gaps {
			require.False(t, g.Damaged, "%q misses %d to %d", c.Name, g.From, g.To)
		}
	}
	require.NoError(t, v.Close())
}

// ended returns a segment with so much room behind its records.
func ended(b []byte, room int) []byte {
	n := len(bytes.TrimRight(b, "\x00"))
	return b[:(n+7)&^7+room]
}
