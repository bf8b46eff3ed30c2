package spool_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestManyAtOnce lets senders of all kinds, a consumer and readers work together, and closes the log under them: what
// was confirmed is there, each message once, those of one sender in order.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	o := spool.Options{SegmentSize: 256 << 10}
	l, err := spool.OpenFS(disk, o)
	require.NoError(t, err)
	const senders, each = 64, 100
	var wg sync.WaitGroup
	var confirmed [senders]atomic.Int64
	for s := range senders {
		wg.Go(func() {
			for i := 1; i <= each; i++ {
				n, err := l.Enqueue(context.Background(), []byte{byte(s), byte(i)}, make([]byte, 200))
				if err == nil && (s%2 == 0 || i%10 == 0) {
					err = l.Wait(context.Background(), n)
				}
				if err == nil && s%8 == 3 && i%10 == 0 {
					err = l.Flush(context.Background())
				}
				if err != nil {
					assert.ErrorIs(t, err, spool.ErrClosed)
					return
				}
				if s%2 == 0 || i%10 == 0 {
					confirmed[s].Store(int64(i))
				}
			}
		})
	}
	enough := make(chan struct{})
	for reader := range 3 {
		wg.Go(func() {
			r := l.Queue().Reader()
			defer r.Close()
			for {
				rec, err := r.Next(context.Background())
				if errors.Is(err, spool.ErrClosed) {
					return
				}
				if !assert.NoError(t, err) {
					return
				}
				if reader == 0 && rec.Number <= senders*each/4 {
					if err := l.Queue().Ack(rec.Number, rec.Number); err != nil {
						assert.ErrorIs(t, err, spool.ErrClosed)
					}
				}
				if reader == 1 && rec.Number == senders*each/2 {
					close(enough)
				}
			}
		})
	}
	<-enough
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	wg.Wait()

	l = open(t, disk, o)
	var last [senders]int64
	acked := l.Queue().Floor()
	r := l.Reader(spool.At(acked + 1))
	defer r.Close()
	for n := acked + 1; n < l.Next(); n++ {
		rec, err := r.TryNext()
		require.NoError(t, err)
		require.Equal(t, n, rec.Number)
		s, i := rec.Frames[0][0], int64(rec.Frames[0][1])
		if last[s] > 0 {
			require.Equal(t, last[s]+1, i, "sender %d", s)
		}
		last[s] = i
	}
	for s := range senders {
		if last[s] > 0 {
			assert.GreaterOrEqual(t, last[s], confirmed[s].Load())
		}
	}
}

func TestContextEndsAWait(t *testing.T) {
	t.Parallel()
	gate, entered := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var shut atomic.Bool
	l, err := spool.OpenFS(&spooltest.Faulty{FS: spooltest.NewMem(), Before: func(_ int64, op, name string) error {
		if op == "sync" && name == "next" && shut.Load() {
			once.Do(func() { close(entered) })
			<-gate
		}
		return nil
	}}, small)
	require.NoError(t, err)
	shut.Store(true)
	done := make(chan error, 1)
	go func() {
		_, err := l.Append(context.Background(), []byte("held up"))
		done <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	n, err := l.Append(ctx, []byte("not waited for"))
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, uint64(2), n, "it has its place")
	close(gate)
	require.NoError(t, <-done)
	require.NoError(t, l.Flush(context.Background()))
	require.ErrorIs(t, l.Wait(context.Background(), 9), spool.ErrNumber)
	require.NoError(t, l.Close())
}

func TestView(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	fill(t, l, 1000, 100)
	require.NoError(t, l.Queue().Ack(1, 100))
	require.NoError(t, l.Flush(bounded(t)))
	v, err := spool.OpenViewFS(disk)
	require.NoError(t, err)
	defer v.Close()
	fill(t, l, 10, 100)
	numbers, gaps := read(t, v.Reader(spool.At(1)), 100)
	assert.Equal(t, upTo(1000), numbers)
	assert.Empty(t, gaps)
	r, err := v.Pending("")
	require.NoError(t, err)
	numbers, _ = read(t, r, 100)
	assert.Equal(t, fromTo(101, 1000), numbers)
	_, err = v.Pending("nobody")
	require.ErrorIs(t, err, spool.ErrNoConsumer)
	_, err = v.Reader(spool.End()).Next(bounded(t))
	require.ErrorIs(t, err, spool.ErrClosed)
	assert.Equal(t, uint64(1001), v.Stats().Next)
}
