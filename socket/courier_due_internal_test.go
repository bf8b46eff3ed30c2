package socket

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// slowConsumer's readers take long, as on a machine that is busy.
type slowConsumer struct {
	SpoolConsumer
	takes time.Duration
}

type slowReader struct {
	SpoolReader
	takes time.Duration
}

func (c slowConsumer) Reader(n uint64) SpoolReader {
	return slowReader{c.SpoolConsumer.Reader(n), c.takes}
}

func (r slowReader) TryNext() (spool.Record, error) {
	time.Sleep(r.takes)
	return r.SpoolReader.TryNext()
}

// TestCourier_DueWhileItReads: what becomes due between the courier's look at what is due and its sleep is delivered, though nobody wakes it.
func TestCourier_DueWhileItReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, from := openQueue(t, spooltest.NewMem(), spool.Options{})
		k := newCourierTestFrom(t, log, slowConsumer{from, 100 * time.Millisecond}, evenRetry) // longer than the log takes to write how often it failed
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
