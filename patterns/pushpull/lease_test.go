package pushpull_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
)

const lease = time.Minute

// A handler has its message for as long as its lease, and begins that anew as it gets on. When it has run out the handler's context ends, another worker has the message
// as the next attempt, and what the first returns decides nothing. One that hangs, deaf to its context, holds up nobody else.
func TestFault27_LeasesThatRunOut(t *testing.T) {
	t.Parallel()
	for name, deaf := range map[string]bool{"heeds its context": false, "deaf": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				attempts, causes, let := make(chan string, 10), make(chan error, 10), make(chan struct{})
				note := func(name string) patterns.Option {
					return following(func(d *patterns.Delivery) { attempts <- fmt.Sprint(name, " ", d.Attempt) })
				}
				p, slow := bubble(t, []patterns.Option{assured}, []patterns.Option{patterns.WithLease(lease), silent, note("slow")})
				hung := false
				run(t, slow, func(ctx context.Context, o Order) error {
					if hung { // it heeded its context, and is free
						return nil
					}
					hung = true
					for range 100 {
						<-time.After(lease - 1)
						require.NoError(t, patterns.Extend(ctx))
					}
					<-ctx.Done()
					causes <- context.Cause(ctx)
					if deaf {
						<-let
					}
					assert.ErrorIs(t, patterns.Extend(ctx), socket.ErrLease)
					return nil
				})
				start := time.Now()
				require.NoError(t, p.Send(t.Context(), Order{}))
				assert.Equal(t, "slow 1", <-attempts)
				other := pushpull.NewWorker[Order](assured, silent, note("other"))
				addr, err := other.Bind("inproc://" + t.Name() + "other")
				require.NoError(t, err)
				second := pushpull.NewProducer[Order]() // see bubble
				defer second.Close()
				require.NoError(t, second.Connect(addr))
				require.NoError(t, p.Connect(addr))
				require.NoError(t, other.WaitPeers(t.Context(), 2))
				run(t, other, func(context.Context, Order) error { return nil })
				assert.ErrorIs(t, <-causes, socket.ErrLease)
				assert.Equal(t, 101*lease-100, time.Since(start))
				if second := <-attempts; deaf || second != "slow 2" {
					assert.Equal(t, "other 2", second)
				}
				require.NoError(t, p.WaitAcked(t.Context()))
				close(let)
				<-time.After(time.Hour)
				assert.Empty(t, attempts, "exactly one")
				assert.EqualValues(t, 1, slow.Counts().Unanswered)
				assert.EqualValues(t, 1, slow.Stats().Acks.LateIn)
				assert.EqualValues(t, 1, slow.Stats().Acks.AckedIn+other.Stats().Acks.AckedIn)
			})
		})
	}
}

// What is here waits behind a sole handler that hangs for good: with a lease that is nothing, unless a prefetch is asked for.
func TestFault27_NothingWaitsBehindOneThatHangs(t *testing.T) {
	t.Parallel()
	for _, prefetch := range []int{0, 5} {
		t.Run(fmt.Sprint("prefetch ", prefetch), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				opts := []patterns.Option{patterns.WithLease(lease), silent}
				if prefetch > 0 {
					opts = append(opts, patterns.WithPrefetch(prefetch))
				}
				const sent = 10
				p, hangs := bubble(t, []patterns.Option{assured}, opts)
				let := make(chan struct{})
				run(t, hangs, func(context.Context, Order) error { <-let; return nil })
				done := make(chan error, sent)
				for i := range sent {
					go func() { done <- p.Send(t.Context(), Order{Number: i}) }()
				}
				<-time.After(2 * lease)
				other, handled := pushpull.NewWorker[Order](assured, silent), make(chan int, sent)
				addr, err := other.Bind("inproc://" + t.Name() + "other")
				require.NoError(t, err)
				second := pushpull.NewProducer[Order]() // see bubble
				defer second.Close()
				require.NoError(t, second.Connect(addr))
				require.NoError(t, p.Connect(addr))
				run(t, other, func(_ context.Context, o Order) error { handled <- o.Number; return nil })
				for range sent {
					require.NoError(t, <-done)
				}
				<-time.After(time.Hour)
				assert.Len(t, handled, sent-max(prefetch-1, 0))
				close(let)
				require.NoError(t, p.WaitAcked(t.Context()))
			})
		})
	}
}

// Each message has a lease of its own, which ends with its handler, also where the handlers are many and some fail or panic.
func TestLeasesOfManyMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 1000
		p, w := bubble(t, []patterns.Option{assured, patterns.WithSocketOptions(socket.WithRetry(time.Second, time.Second))},
			[]patterns.Option{patterns.WithLease(lease), silent, patterns.WithConcurrency(4)})
		contexts, first := make(chan context.Context, 3*many), make(map[int]bool)
		turn := make(chan struct{}, 1)
		run(t, w, func(ctx context.Context, o Order) error {
			turn <- struct{}{}
			again := first[o.Number]
			first[o.Number] = true
			<-turn
			contexts <- ctx
			<-time.After(time.Second)
			switch {
			case again, o.Number%3 == 0:
				return ctx.Err()
			case o.Number%3 == 1:
				return errors.New("no")
			}
			panic("no")
		})
		for i := range many {
			require.NoError(t, p.Send(t.Context(), Order{Number: i}))
		}
		require.NoError(t, p.WaitAcked(t.Context()))
		close(contexts)
		seen := map[context.Context]bool{}
		for ctx := range contexts {
			assert.False(t, seen[ctx])
			seen[ctx] = true
			assert.Equal(t, context.Canceled, context.Cause(ctx), "it ended with its handler")
			require.ErrorIs(t, patterns.Extend(ctx), context.Canceled)
		}
		s := w.Stats().Acks
		assert.Equal(t, []uint64{many, 0, 0}, []uint64{s.AckedIn, s.ExpiredIn, s.LateIn})
	})
}

// A handler whose message is another's, because the connection that it came on has ended, is told by Extend, and its context ends with that.
func TestLeaseWhoseConnectionHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, w := bubble(t, []patterns.Option{assured}, []patterns.Option{patterns.WithLease(lease), silent})
		has, gone, told := make(chan struct{}), make(chan struct{}), make(chan struct{})
		run(t, w, func(ctx context.Context, _ Order) error {
			has <- struct{}{}
			<-gone
			assert.NoError(t, ctx.Err())
			assert.ErrorIs(t, patterns.Extend(ctx), socket.ErrPeerGone)
			assert.ErrorIs(t, ctx.Err(), context.Canceled)
			assert.ErrorIs(t, context.Cause(ctx), socket.ErrPeerGone)
			close(told)
			return nil
		})
		require.NoError(t, p.Send(t.Context(), Order{}))
		<-has
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Error(t, p.Shutdown(ctx))
		synctest.Wait()
		close(gone)
		<-told
		synctest.Wait()
		assert.EqualValues(t, 1, w.Counts().Unanswered)
	})
}

func TestLeaseOptions(t *testing.T) {
	t.Parallel()
	for want, opts := range map[string][]patterns.Option{
		"WithLease(-1ns)": {patterns.WithLease(-1)},
		"WithKeyOrder":    {patterns.WithLease(1), patterns.WithKeyOrder(patterns.KeyOrder{})},
		"WithPriorities":  {patterns.WithPriorities(), patterns.WithLease(1)},
	} {
		w := pushpull.NewWorker[Order](opts...)
		err := w.Run(t.Context(), func(context.Context, Order) error { return nil })
		assert.ErrorIs(t, err, socket.ErrOption)
		assert.ErrorContains(t, err, want)
		assert.NoError(t, w.Close())
	}
	assert.NoError(t, patterns.Extend(t.Context()), "there is none to extend")
}
