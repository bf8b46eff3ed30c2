package spool_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestReserveAtOpening: the first segment leaves the reserve, too. A spool that is there is opened all the same, for what it holds: when it was closed, and when it was not.
func TestReserveAtOpening(t *testing.T) {
	t.Parallel()
	const free = 1 << 20
	o := small
	o.Reserve, o.Full = free, spool.Reject
	disk := spooltest.NewMem()
	disk.SetRoom(free + 8<<10)
	_, err := spool.OpenFS(disk, o)
	require.ErrorIs(t, err, spool.ErrFull)
	require.ErrorContains(t, err, "reserve")
	assert.Empty(t, segments(t, disk))

	for _, closed := range []bool{true, false} {
		disk := spooltest.NewMem()
		l := open(t, disk, small)
		fill(t, l, 10, damageBody)
		left := disk.Crash(nil)
		require.NoError(t, l.Close())
		if closed {
			left = disk
		}
		left.SetRoom(free + 24<<10)
		l = open(t, left, o)
		for err = nil; err == nil; { // that one was cut to its length may have given some room
			require.Less(t, l.Next(), uint64(2000), "closed: %v", closed)
			_, err = l.Append(bounded(t), body(l.Next(), damageBody))
		}
		require.ErrorIs(t, err, spool.ErrFull, "closed: %v", closed)
		numbers, _ := read(t, l.Queue().Reader(), damageBody)
		assert.Equal(t, upTo(l.Next()-1), numbers)
		require.NoError(t, l.Queue().Ack(1, l.Next()-1))
		require.NoError(t, l.Flush(bounded(t)))
		room, err := left.Free()
		require.NoError(t, err)
		assert.GreaterOrEqual(t, room, uint64(free), "closed: %v", closed)
		left.SetRoom(free + 10*small.SegmentSize)
		require.NoError(t, l.Release(bounded(t)))
		_, err = l.Append(bounded(t), []byte("x"))
		require.NoError(t, err)
	}
}

// TestReserveOfDeadLetters: letters leave the reserve, too. What cannot be one stays among the messages, until there is room.
func TestReserveOfDeadLetters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const free, messages = 1 << 20, 20
		o, disk := spool.Options{SegmentSize: 1 << 20, Reserve: free}, spooltest.NewMem()
		l := open(t, disk, o)
		fill(t, l, messages, lettersBody) // in one segment, so that none makes room
		dead, err := l.Dead()
		require.NoError(t, err)
		disk.SetRoom(free + 100<<10)
		r := l.Queue().Reader()
		defer r.Close()
		var rec spool.Record
		for err == nil {
			rec, err = r.TryNext()
			require.NoError(t, err, "all were buried")
			err = dead.Bury(t.Context(), l.Queue(), rec, "no")
		}
		require.ErrorIs(t, err, spool.ErrFull)
		require.ErrorContains(t, err, "reserve")
		room, err := disk.Free()
		require.NoError(t, err)
		assert.GreaterOrEqual(t, room, uint64(free))
		assert.Equal(t, uint64(messages), dead.Len()+l.Queue().Pending())
		disk.SetRoom(8 * free)      // of which the spool itself takes a segment
		time.Sleep(2 * time.Second) // a log looks for room once a second
		require.NoError(t, dead.Bury(t.Context(), l.Queue(), rec, "no"))
	})
}
