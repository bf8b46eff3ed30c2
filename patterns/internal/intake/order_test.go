package intake_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/socket"
)

// The messages of a key are handled in the order they came also where Run is called several times at once, and where the one that receives ends.
func TestOrderOfSeveralRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := intake.New(newInbox(9), nil)
		c := conf.Config{}
		c.KeyOrder = &conf.KeyOrder{}
		o := intake.NewOrder(l, &c, 100)
		var opened atomic.Int64
		handled := make(chan int, 9)
		steps := intake.Steps{
			Open: func(m socket.Msg) (*intake.Task, error) {
				n := int(opened.Add(1)) - 1
				if n%3 == 0 {
					time.Sleep(time.Second) // of a bubble: time for all others to get ahead
				}
				e := &codec.Envelope{}
				e.SetHeader(patterns.HeaderKey, "k")
				return &intake.Task{Msg: m, Delivery: patterns.Delivery{Kind: patterns.Work, Envelope: e, Attempt: n}}, nil
			},
			Handle: func(task *intake.Task) error { handled <- task.Delivery.Attempt; return nil },
		}
		var runs sync.WaitGroup
		for _, length := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, time.Minute} {
			ctx, end := context.WithTimeout(t.Context(), length)
			defer end()
			runs.Go(func() { assert.NoError(t, o.Run(ctx, 2, steps)) }) // ended by ctx, awaited below
			synctest.Wait()
		}
		runs.Wait()
		for n := range 9 {
			assert.Equal(t, n, <-handled)
		}
		assert.Zero(t, o.Waiting())
		assert.NoError(t, l.Shutdown(t.Context()))
	})
}
