package socket

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// slowConsumer's readers take long, as on a machine that is busy; it has no room for letters while it is full.
type slowConsumer struct {
	SpoolConsumer
	takes *atomic.Int64 // nanoseconds
	full  *atomic.Bool
}

type slowReader struct {
	SpoolReader
	takes *atomic.Int64
}

func newSlowConsumer(from SpoolConsumer) slowConsumer {
	return slowConsumer{from, new(atomic.Int64), new(atomic.Bool)}
}

func (c slowConsumer) Reader(n uint64) SpoolReader {
	return slowReader{c.SpoolConsumer.Reader(n), c.takes}
}

func (c slowConsumer) Bury(ctx context.Context, r spool.Record, reason string) error {
	if c.full.Load() {
		return errors.New("no room for letters")
	}
	return c.SpoolConsumer.Bury(ctx, r, reason)
}

func (r slowReader) TryNext() (spool.Record, error) {
	time.Sleep(time.Duration(r.takes.Load()))
	return r.SpoolReader.TryNext()
}

// TestCourier_DueWhileItReads: what becomes due between the courier's look at what is due and its sleep is delivered, though nobody wakes it.
func TestCourier_DueWhileItReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, from := openQueue(t, spooltest.NewMem(), spool.Options{})
		slow := newSlowConsumer(from)
		slow.takes.Store(int64(100 * time.Millisecond)) // longer than the log takes to write how often it failed
		k := newCourierTestFrom(t, log, slow, evenRetry)
		p := newPeer(k.c, 10)
		k.send(1)
		require.Equal(t, uint64(1), p.next(t).number)
		time.Sleep(time.Second)
		begun := time.Now()
		p.fail(1, failed, time.Millisecond, "")
		require.Equal(t, 2, p.next(t).attempt)
		require.Less(t, time.Since(begun), 2*time.Second)
		p.settle(1)
	})
}

// TestCourier_BuriedWhileItReads: so is what is new when there is room for letters again, without which too many messages waited for anything new to be read.
func TestCourier_BuriedWhileItReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, from := openQueue(t, spooltest.NewMem(), spool.Options{})
		slow := newSlowConsumer(from)
		slow.full.Store(true)
		k := newCourierTestFrom(t, log, slow, evenRetry)
		const n = maxWaiting + 1
		p := newPeer(k.c, n+10)
		k.send(n)
		for range n {
			p.next(t)
		}
		for i := uint64(1); i < n; i++ {
			p.fail(i, rejected, 0, "no good")
		}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait() // burial is tried a second later
		p.fail(n, failed, 980*time.Millisecond, "")
		k.send(1)
		time.Sleep(500 * time.Millisecond)
		slow.takes.Store(int64(100 * time.Millisecond))
		slow.full.Store(false)
		require.Equal(t, 2, (<-p.got).attempt)
		begun := time.Now()
		require.Equal(t, uint64(n+1), (<-p.got).number)
		require.Less(t, time.Since(begun), 10*time.Minute, "it slept for the hour of who has nothing to do") // to bury them takes seven
		slow.takes.Store(0)
		p.settle(n)
		p.settle(n + 1)
	})
}
