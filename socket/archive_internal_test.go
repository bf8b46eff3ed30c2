package socket

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// The counters of a courier that follows another go on from those of that one, whether it is over yet or not.
func TestCourier_CountsOn(t *testing.T) {
	t.Parallel()
	first, second := newCourier(nil, retryPolicy{}, nil), newCourier(nil, retryPolicy{}, nil)
	first.counts, second.counts, second.prior = courierCounts{delivered: 3, settled: 2}, courierCounts{delivered: 1}, first
	want := courierCounts{delivered: 4, settled: 2}
	assert.Equal(t, want, second.counted())
	close(first.over)
	second.follow()
	assert.Equal(t, want, second.counted())
	assert.Nil(t, second.prior)
}

// A courier that follows another, or several, keeps to what those had put off or given up. With WithKeyOrder the others of the key wait for it.
func TestCourier_KeepsToWhatWasPutOff(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		set  func(*courier)
		want []uint64
	}{
		"in any order": {func(*courier) {}, []uint64{4, 3, 1}},
		"by key":       {func(c *courier) { c.lanes = newLanes(func([][]byte) []byte { return nil }) }, []uint64{1, 3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log, from := openQueue(t, spooltest.NewMem(), spool.Options{})
				b := &unburying{SpoolConsumer: from}
				b.full.Store(true)
				k := newCourierTestFrom(t, log, b, evenRetry)
				p := newPeer(k.c, 10)
				k.send(4)
				p.numbers(t, 4)
				begun := time.Now()
				p.fail(1, failed, time.Hour, "busy")
				p.fail(2, rejected, 0, "no")
				p.die() // with 3 and 4, of which 3 is put off for half a second
				for range 2 {
					k.stop()
					prior := k.c
					k = newCourierTestFrom(t, log, b, evenRetry, test.set, func(c *courier) {
						c.prior = prior
						c.follow()
					})
				}
				b.full.Store(false)
				last := newPeer(k.c, 10)
				var got []uint64
				for range test.want {
					d := <-last.got
					assert.Equal(t, 2, d.attempt)
					got = append(got, d.number)
					last.settle(d.number)
				}
				assert.Equal(t, test.want, got)
				assert.GreaterOrEqual(t, time.Since(begun), time.Hour)
				assert.Less(t, time.Since(begun), time.Hour+time.Second)
				_, pending := k.ended()
				assert.Zero(t, pending)
				assert.Equal(t, uint64(1), k.c.counted().buried)
			})
		})
	}
}

// DURABLE.md, 6: what is lost is done with once a message is acknowledged that was sent behind LOST, not one that was sent before, though its number is higher: the member may have had it without
// having been told.
func TestCourier_LostIsDoneWithBehindIt(t *testing.T) {
	t.Parallel()
	log, from := openQueue(t, spooltest.NewMem(), spool.Options{})
	defer log.Close()
	for range 5 {
		_, err := log.Append(t.Context(), []byte("x"))
		require.NoError(t, err)
	}
	c := newCourier(from, evenRetry, nil)
	c.choosy = true
	c.handed(&delivery{number: 4}, nil)
	c.report(spool.Gap{From: 1, To: 2})
	for last, floor := range []uint64{3: 0, 4: 0, 5: 2} {
		c.confirmed([]numbers{{uint64(last), uint64(last)}})
		done, _ := from.Position()
		assert.Equal(t, floor, done, "after %d", last)
	}
}
