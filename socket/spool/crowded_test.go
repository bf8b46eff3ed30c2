package spool_test

import (
	"path"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// crowded is a disk that has no room for a segment while it is full, and of which the oldest cannot be removed while they are stuck.
type crowded struct {
	full, stuck atomic.Bool
	removed     atomic.Int64
}

func (c *crowded) on(fs spool.FS) spool.FS {
	return &spooltest.Faulty{FS: fs, Before: func(_ int64, op, name string) error {
		switch {
		case op == "allocate" && c.full.Load():
			return spooltest.ErrNoSpace
		case op == "remove" && path.Ext(name) == ".seg" && c.stuck.Load():
			return spooltest.ErrInjected
		case op == "remove" && path.Ext(name) == ".seg":
			c.removed.Add(1)
		}
		return nil
	}}
}

// crowd has a log that drops the oldest come to a full disk, and calls then while a message waits, which goes on when there is room.
func crowd(t *testing.T, c *crowded, then func(l *spool.Log)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := small
		o.Full = spool.DropOldest
		l, err := spool.OpenFS(c.on(spooltest.NewMem()), o)
		require.NoError(t, err)
		fill(t, l, 1500, roomBody)
		synctest.Wait()
		c.full.Store(true)
		done := make(chan error, 1)
		go func() {
			var err error
			for n := 0; err == nil && n < 300; n++ {
				_, err = l.Append(t.Context(), body(l.Next(), roomBody))
			}
			done <- err
		}()
		synctest.Wait()
		require.ErrorIs(t, l.Stats().Full, spooltest.ErrNoSpace)
		then(l)
		c.full.Store(false)
		assert.NoError(t, <-done)
		assert.NoError(t, l.Close())
	})
}

// TestDropOldest_WhatIsOpenFreesNothing: where a segment that goes makes no room, as one does that a reader has open, the others do not go all at once for that.
func TestDropOldest_WhatIsOpenFreesNothing(t *testing.T) {
	t.Parallel()
	var c crowded
	crowd(t, &c, func(l *spool.Log) {
		const atOnce = 2 // sealed segments are a little smaller than the one to come
		for step := int64(1); step <= 3; step++ {
			assert.Equal(t, step*atOnce, c.removed.Load(), "step %d", step)
			time.Sleep(time.Second) // the keeper looks once a second
			synctest.Wait()
		}
	})
}

// TestDropOldest_CountsWhatIsGone, and what is still there, since it cannot be removed, not at all.
func TestDropOldest_CountsWhatIsGone(t *testing.T) {
	t.Parallel()
	var c crowded
	c.stuck.Store(true)
	crowd(t, &c, func(l *spool.Log) {
		time.Sleep(10 * time.Second)
		numbers, gaps := read(t, l.Queue().Reader(), roomBody)
		require.Empty(t, gaps)
		require.Equal(t, upTo(uint64(len(numbers))), numbers)
		require.Zero(t, l.Stats().Dropped)
		c.stuck.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		_, gaps = read(t, l.Queue().Reader(), roomBody)
		require.Len(t, gaps, 1)
		require.Equal(t, gaps[0].To, l.Stats().Dropped)
	})
}
