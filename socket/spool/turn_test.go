package spool_test

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestAckWhileTurning: what a reader has returned can be acknowledged, also while what follows it in the next segment is being written.
func TestAckWhileTurning(t *testing.T) {
	t.Parallel()
	turning, proceed := make(chan struct{}), make(chan struct{})
	var armed, turned atomic.Bool
	disk := &spooltest.Faulty{FS: spooltest.NewMem(), Before: func(_ int64, op, name string) error {
		switch {
		case op == "rename" && armed.Load(): // the next segment gets its name
			turned.Store(true)
		case op == "write" && name != "newest" && turned.CompareAndSwap(true, false): // what follows the first page
			armed.Store(false)
			close(turning)
			<-proceed
		}
		return nil
	}}
	l := open(t, disk, spool.Options{SegmentSize: 64 << 10})
	release := sync.OnceFunc(func() { close(proceed) })
	t.Cleanup(release)
	fill(t, l, 1, 1000) // the spare is there, or will be
	armed.Store(true)
	var n uint64
	for range 80 { // more than a segment holds
		var err error
		n, err = l.Enqueue(bounded(t), body(l.Next(), 1000))
		require.NoError(t, err)
	}
	<-turning
	r := l.Queue().Reader()
	read := uint64(0)
	for {
		rec, err := r.TryNext()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		read = rec.Number
		require.NoError(t, l.Queue().Ack(read, read))
	}
	release()
	require.NoError(t, r.Close())
	require.Greater(t, read, uint64(1))
	require.NoError(t, l.Wait(bounded(t), n))
}

// TestNameMadeWhileTurning: a name that is removed, and made again while what says that it was removed is on its way to the disk, is there after a crash.
func TestNameMadeWhileTurning(t *testing.T) {
	t.Parallel()
	mem := spooltest.NewMem()
	var l *spool.Log
	name := func() {
		_, err := l.Consumer("name", spool.Beginning())
		assert.NoError(t, err)
	}
	var turned atomic.Bool
	disk := &spooltest.Faulty{FS: mem, Before: func(_ int64, op, _ string) error {
		if op == "truncate" && len(l.Consumers()) == 0 { // the segment ends
			turned.Store(true)
			name()
		}
		return nil
	}}
	l = open(t, disk, small)
	name()
	for !turned.Load() {
		require.NoError(t, l.Flush(bounded(t)))
		require.NoError(t, l.RemoveConsumer("name"))
		fill(t, l, 1, 1000)
		if !turned.Load() {
			name()
		}
	}
	l = open(t, mem.Crash(nil), small)
	require.Equal(t, []string{"name"}, l.Consumers())
}
