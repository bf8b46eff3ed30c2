package socket

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// told returns what the courier has said since it was asked last, in words.
func (k *courierTest) told() (all []string) {
	synctest.Wait()
	for _, n := range k.news {
		if n.dead != nil {
			all = append(all, fmt.Sprint("buried ", n.dead.Number))
		} else {
			all = append(all, "trouble")
		}
	}
	k.news = nil
	return all
}

// failing is a file layer in memory of which the calls named fail while it is on.
func failing(calls func(op, name string) bool) (fs spool.FS, on *atomic.Bool) {
	on = &atomic.Bool{}
	return &spooltest.Faulty{FS: spooltest.NewMem(), Before: func(_ int64, op, name string) error {
		if on.Load() && calls(op, name) {
			return spooltest.ErrNoSpace
		}
		return nil
	}}, on
}

// TestCourier_KeepsWhatCannotBeBuried: while no letter can be written the messages stay in the spool, and it is said once. When they can all are written, and when it begins again that is said again.
func TestCourier_KeepsWhatCannotBeBuried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs, full := failing(func(op, name string) bool { return op == "allocate" && strings.HasPrefix(name, "dead/") })
		log, from := openQueue(t, fs, spool.Options{})
		k := newCourierTestFrom(t, log, from, evenRetry)
		p := newPeer(k.c, 6)
		for range 6 { // letters fill a segment each
			_, err := log.Append(t.Context(), make([]byte, 40<<10))
			require.NoError(t, err)
		}
		p.numbers(t, 6)
		for _, three := range [][]uint64{{1, 2, 3}, {4, 5, 6}} {
			full.Store(true)
			for _, n := range three {
				p.fail(n, rejected, 0, "no")
				synctest.Wait()
			}
			time.Sleep(10 * troublePause)
			told := k.told() // there may be a segment ahead, for one letter
			require.NotEmpty(t, told)
			assert.Equal(t, "trouble", told[len(told)-1])
			assert.NotContains(t, told[:len(told)-1], "trouble")
			assert.Equal(t, 7-three[0]-uint64(len(told)-1), log.Queue().Pending())
			full.Store(false)
			time.Sleep(3 * troublePause) // the log of the letters looks for room once a second itself
			assert.NotContains(t, k.told(), "trouble")
			assert.Equal(t, 6-three[2], log.Queue().Pending())
		}
		assert.Equal(t, uint64(6), k.c.counted().buried)
		k.stop()
	})
}

// pickyBurier buries all but one message.
type pickyBurier struct {
	SpoolConsumer
	not uint64
}

func (b pickyBurier) Bury(ctx context.Context, r spool.Record, reason string) error {
	if r.Number == b.not {
		return ErrTooLarge
	}
	return b.SpoolConsumer.Bury(ctx, r, reason)
}

// TestCourier_OneThatCannotBeBuried keeps no others from it.
func TestCourier_OneThatCannotBeBuried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, from := openQueue(t, spooltest.NewMem(), spool.Options{})
		k := newCourierTestFrom(t, log, pickyBurier{from, 1}, evenRetry)
		p := newPeer(k.c, 3)
		k.send(3)
		for _, n := range p.numbers(t, 3) {
			p.fail(n, rejected, 0, "no")
			synctest.Wait()
		}
		time.Sleep(2 * troublePause)
		assert.Equal(t, []string{"trouble", "buried 2", "buried 3", "trouble"}, k.told())
		_, pending := k.ended()
		assert.Equal(t, uint64(1), pending)
	})
}

// TestCourier_TellsOfTheNextThatCannotBeBuried, too where the one before was not buried but is gone.
func TestCourier_TellsOfTheNextThatCannotBeBuried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs, full := failing(func(op, name string) bool { return op == "allocate" && strings.HasPrefix(name, "dead/") })
		full.Store(true)
		log, from := openQueue(t, fs, spool.Options{})
		k := newCourierTestFrom(t, log, from, evenRetry)
		p := newPeer(k.c, 2)
		k.send(2)
		for _, n := range p.numbers(t, 2) {
			p.fail(n, rejected, 0, "no")
			assert.Equal(t, []string{"trouble"}, k.told())
			require.NoError(t, log.Queue().Ack(n, n))
			time.Sleep(2 * troublePause)
			assert.Empty(t, k.told())
		}
		k.ended()
	})
}

// uncounting cannot count failures, as a log that has failed cannot.
type uncounting struct{ SpoolConsumer }

func (uncounting) Fail(uint64) (int, error) { return 0, spool.ErrFailed }

// TestCourier_CountsFailuresItself where the spool does not any more: a message fails as often as it may, with pauses that grow, and no more often.
func TestCourier_CountsFailuresItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		policy := evenRetry
		policy.limit = 3
		log, from := openQueue(t, spooltest.NewMem(), spool.Options{})
		k := newCourierTestFrom(t, log, uncounting{from}, policy)
		p := newPeer(k.c, 1)
		k.send(1)
		begun := time.Now()
		for i, after := range []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond} {
			d := p.next(t)
			assert.Equal(t, i+1, d.attempt)
			assert.Equal(t, after, time.Since(begun))
			p.fail(1, failed, 0, "no")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, p.got)
		require.Len(t, k.news, 1)
		require.NotNil(t, k.news[0].dead)
		assert.Equal(t, 3, k.news[0].dead.Attempts)
		assert.Equal(t, "3 deliveries failed, the last one: no", k.news[0].dead.Reason)
		k.ended()
	})
}

// unburying buries nothing while it is full.
type unburying struct {
	SpoolConsumer
	full atomic.Bool
}

func (b *unburying) Bury(ctx context.Context, r spool.Record, reason string) error {
	if b.full.Load() {
		return spool.ErrFull
	}
	return b.SpoolConsumer.Bury(ctx, r, reason)
}

// TestCourier_BoundsWhatWaits: a receiver that refuses everything does not make the courier read the whole spool: not for later, not for good while no letter can be written, and
// not in turns. The next comes when one is due, or buried.
func TestCourier_BoundsWhatWaits(t *testing.T) {
	t.Parallel()
	require.Equal(t, 4096, maxWaiting, "as WithRetry and GUARANTEES.md say")
	for name, test := range map[string]struct {
		refusals []blame
		next     uint64
	}{
		"for later": {[]blame{failed}, 1},
		"for good":  {[]blame{rejected}, maxWaiting + 1},
		"in turns":  {[]blame{failed, rejected}, maxWaiting + 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log, from := openQueue(t, spooltest.NewMem(), spool.Options{})
				b := &unburying{SpoolConsumer: from}
				b.full.Store(true)
				k := newCourierTestFrom(t, log, b, evenRetry)
				p := newPeer(k.c, 1)
				k.send(maxWaiting + 10)
				for n := range uint64(maxWaiting) {
					require.Equal(t, n+1, p.next(t).number)
					synctest.Wait() // else the courier may look for the next before it hears of this one
					p.fail(n+1, test.refusals[n%uint64(len(test.refusals))], time.Hour, "busy")
				}
				time.Sleep(10 * troublePause)
				synctest.Wait()
				require.Empty(t, p.got)
				b.full.Store(false)
				time.Sleep(time.Hour)
				require.Equal(t, test.next, p.next(t).number)
				p.settle(test.next)
				k.ended()
			})
		})
	}
}
