package intake_test

import (
	"context"
	"errors"
	"runtime/metrics"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/socket"
)

// awakened returns how often a goroutine of the process was begun or woken, of which the runtime counts one in eight.
func awakened() (n uint64) {
	s := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(s)
	for _, c := range s[0].Value.Float64Histogram().Counts {
		n += 8 * c
	}
	return n
}

// A message that comes to idle handlers wakes one of them, and not all, who would find nothing.
func TestOrder_AMessageWakesOneHandler(t *testing.T) {
	const handlers, messages = 300, 100
	synctest.Test(t, func(t *testing.T) {
		l := intake.New(newInbox(messages), nil)
		c := conf.Config{}
		c.Priorities = true
		o := intake.NewOrder(l, &c, messages)
		var handled atomic.Int64
		steps := intake.Steps{
			Open: func(m socket.Msg) (*intake.Task, error) {
				time.Sleep(time.Second) // of a bubble: all handlers have nothing to do by then
				return &intake.Task{Msg: m, Delivery: patterns.Delivery{Kind: patterns.Work, Envelope: &codec.Envelope{}}}, nil
			},
			Handle: func(*intake.Task) error { handled.Add(1); return nil },
		}
		var run sync.WaitGroup
		run.Go(func() { assert.NoError(t, o.Run(t.Context(), handlers, steps)) }) // ended by Shutdown, awaited below
		synctest.Wait()
		before := awakened()
		time.Sleep((messages + 1) * time.Second)
		synctest.Wait()
		require.EqualValues(t, messages, handled.Load())
		require.Less(t, awakened()-before, uint64(messages*handlers/10))
		require.NoError(t, l.Shutdown(t.Context()))
		run.Wait()
	})
}

// What is to be tried again is, when it is due, whatever other handlers do: work for long, wait, or end with their Run.
func TestOrder_RetriesAreInTime(t *testing.T) {
	t.Parallel()
	const messages = 60
	synctest.Test(t, func(t *testing.T) {
		l := intake.New(newInbox(messages), func(context.Context, error) {})
		c := conf.Config{}
		c.KeyOrder = &conf.KeyOrder{Attempts: 2}
		o := intake.NewOrder(l, &c, messages)
		var opened, failed, handled atomic.Int64
		var due sync.Map // the times at which one is to be tried again
		steps := intake.Steps{
			Open: func(m socket.Msg) (*intake.Task, error) {
				e := &codec.Envelope{}
				e.SetHeader(patterns.HeaderKey, strconv.Itoa(int(opened.Add(1))))
				return &intake.Task{Msg: m, Delivery: patterns.Delivery{Kind: patterns.Work, Envelope: e}}, nil
			},
			Handle: func(task *intake.Task) error {
				if task.Delivery.Attempt > 0 {
					_, some := due.LoadAndDelete(time.Now())
					assert.True(t, some, "tried again when nothing is due")
					handled.Add(1)
					return nil
				}
				pause := time.Duration(failed.Add(1)*7%messages+1) * time.Second // each another
				due.Store(time.Now().Add(pause), true)
				return patterns.RetryAfter(errors.New("later"), pause)
			},
		}
		var runs sync.WaitGroup
		for _, length := range []time.Duration{10500 * time.Millisecond, 20500 * time.Millisecond, time.Hour} {
			ctx, end := context.WithTimeout(t.Context(), length)
			defer end()
			runs.Go(func() { assert.NoError(t, o.Run(ctx, 3, steps)) }) // ended by ctx or Shutdown, awaited below
		}
		time.Sleep((messages + 1) * time.Second)
		synctest.Wait()
		require.EqualValues(t, messages, handled.Load())
		require.NoError(t, l.Shutdown(t.Context()))
		runs.Wait()
	})
}

// A message that Close finds on its way to the desk is counted with those it finds there.
func TestOrder_CloseCountsWhatIsOnItsWayToTheDesk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := intake.New(newInbox(1), nil)
		c := conf.Config{}
		c.Priorities = true
		o := intake.NewOrder(l, &c, 1)
		steps := intake.Steps{
			Open: func(m socket.Msg) (*intake.Task, error) {
				time.Sleep(time.Second)
				return &intake.Task{Msg: m, Delivery: patterns.Delivery{Kind: patterns.Work, Envelope: &codec.Envelope{}}}, nil
			},
			Handle: func(*intake.Task) error { assert.Fail(t, "handled"); return nil },
		}
		var run sync.WaitGroup
		run.Go(func() { _ = o.Run(t.Context(), 1, steps) })
		synctest.Wait()
		require.NoError(t, l.Close())
		run.Wait()
		require.Zero(t, o.Waiting())
		require.EqualValues(t, 1, l.Counts().Unhandled)
	})
}
