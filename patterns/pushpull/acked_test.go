package pushpull_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
)

// quick has what fails tried again soon, and given up after three attempts.
func quick() patterns.Option {
	return patterns.WithSocketOptions(socket.WithRetry(time.Microsecond, time.Millisecond), socket.WithAttempts(3))
}

// graves returns an option, and what it was told.
func graves() (patterns.Option, <-chan patterns.DeadLetter) {
	dead := make(chan patterns.DeadLetter, 100)
	return patterns.WithDeadLetters(func(d patterns.DeadLetter) { dead <- d }), dead
}

var assured = patterns.WithAtLeastOnce()

// silent is for tests in which handlers fail on purpose.
var silent = patterns.WithOnError(func(context.Context, error) {})

// The pause that a handler asks for is kept, in memory and with a spool, however the sender's own would be.
func TestRetryAfterAsLongAsTheHandlerSays(t *testing.T) {
	t.Parallel()
	for name, keeping := range map[string]patterns.Option{"in memory": assured, "in a spool": patterns.WithSpool(t.TempDir(), small)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				at := make(chan time.Time, 10)
				p, w := bubble(t, []patterns.Option{keeping, quick()}, []patterns.Option{assured, silent})
				run(t, w, func(context.Context, Order) error {
					if at <- time.Now(); len(at) < 2 {
						return patterns.RetryAfter(errors.New("busy"), time.Hour)
					}
					return nil
				})
				require.NoError(t, p.Send(t.Context(), Order{}))
				require.NoError(t, p.WaitAcked(t.Context()))
				require.Len(t, at, 2)
				first, second := <-at, <-at
				pause := second.Sub(first)
				assert.GreaterOrEqual(t, pause, time.Hour)
				assert.Less(t, pause, time.Hour+time.Minute)
			})
		})
	}
}

// What the handler returns decides what becomes of the message, and each delivery says which it is.
func TestWhatTheHandlerReturnsDecides(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	attempts := map[string][]int{}
	note := func(next patterns.Handler) patterns.Handler {
		return func(ctx context.Context, d *patterns.Delivery) error {
			mu.Lock()
			item := d.Value.(*Order).Item
			attempts[item] = append(attempts[item], d.Attempt)
			mu.Unlock()
			return next(ctx, d)
		}
	}
	died, dead := graves()
	p, w := pair(t, []patterns.Option{assured, died, quick()}, []patterns.Option{assured, silent, patterns.WithMiddleware(note)})
	run(t, w, func(ctx context.Context, o Order) error {
		mu.Lock()
		n := len(attempts[o.Item])
		mu.Unlock()
		switch o.Item {
		case "second time":
			if n == 1 {
				return errors.New("not yet")
			}
		case "panics once":
			if n == 1 {
				panic("oh")
			}
		case "asks for later":
			if n == 1 {
				return patterns.RetryAfter(errors.New("busy"), 0)
			}
		case "permanent":
			return patterns.Permanent(errors.New("no such account"))
		case "always":
			return errors.New("sold out")
		}
		return nil
	})
	ids := map[string]codec.ID{}
	for _, item := range []string{"fine", "second time", "panics once", "asks for later", "permanent", "always"} {
		ids[item] = codec.NewID()
		require.NoError(t, p.Send(within(t), Order{Item: item}, patterns.WithID(ids[item]), patterns.WithHeader("n", item)))
	}
	reasons := map[codec.ID]patterns.DeadLetter{}
	for range 2 {
		d := <-dead
		reasons[d.Envelope.ID] = d
	}
	require.NoError(t, p.WaitAcked(within(t)))
	assert.Equal(t, map[string][]int{
		"fine": {1}, "second time": {1, 2}, "panics once": {1, 2}, "asks for later": {1, 2}, "permanent": {1}, "always": {1, 2, 3},
	}, attempts)
	permanent, always := reasons[ids["permanent"]], reasons[ids["always"]]
	assert.Equal(t, "no such account", permanent.Reason)
	assert.Equal(t, 1, permanent.Attempts)
	assert.Equal(t, "3 deliveries failed, the last one: sold out", always.Reason)
	assert.Equal(t, 3, always.Attempts)
	assert.Equal(t, "always", always.Envelope.Header("n"))
	assert.Equal(t, patterns.Counts{Handled: 4, Failed: 7}, settled(t, w, 11))
	assert.EqualValues(t, 4, p.Stats().Acks.AckedOut)
	assert.EqualValues(t, 2, p.Stats().Acks.DeadLettered)
}

// What no handler can be given is a dead letter with the reason, at the first attempt.
func TestWhatCannotBeHandledIsADeadLetter(t *testing.T) {
	t.Parallel()
	died, dead := graves()
	p, w := pair(t, []patterns.Option{assured, died}, []patterns.Option{assured, silent, patterns.WithPriorities()})
	run(t, w, func(context.Context, Order) error { return nil })
	for want, send := range map[string]func() error{
		"malformed message":                    func() error { return p.Push.Send(within(t), []byte("hello")) },
		"2 frames, want 1":                     func() error { return p.Push.Send(within(t), nil, nil) },
		`unexpected type "Bill": want "Order"`: func() error { return p.Send(within(t), Order{}, patterns.WithType("Bill")) },
		"message expired":                      func() error { return p.Send(within(t), Order{}, patterns.WithTTL(-time.Second)) },
		"header expires is":                    func() error { return p.Send(within(t), Order{}, patterns.WithHeader("expires", "soon")) },
		"header priority is":                   func() error { return p.Send(within(t), Order{}, patterns.WithHeader("priority", "top")) },
		"unknown codec":                        func() error { return p.Push.Send(within(t), sealed(t, codec.Envelope{Codec: "xml"})) },
	} {
		require.NoError(t, send())
		d := <-dead
		assert.Contains(t, d.Reason, want)
		assert.Equal(t, 1, d.Attempts, want)
		assert.NotEmpty(t, d.Frames)
	}
	assert.Equal(t, patterns.Counts{Malformed: 6, Expired: 1}, settled(t, w, 6))
	assert.NoError(t, p.WaitAcked(within(t)))
}

func sealed(t *testing.T, e codec.Envelope) []byte {
	t.Helper()
	frame, err := e.Append(nil)
	require.NoError(t, err)
	return frame
}

// Where one end does not acknowledge, everything is as without: once, and counted.
func TestPlainPeersAreServedAtMostOnce(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string][2][]patterns.Option{
		"worker":   {{assured}, {silent}},
		"producer": {nil, {assured, silent}},
		"in order": {nil, {assured, silent, patterns.WithKeyOrder(patterns.KeyOrder{Attempts: 1})}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, w := pair(t, ends[0], ends[1])
			run(t, w, func(_ context.Context, o Order) error {
				if o.Number == 1 {
					return errors.New("no")
				}
				return nil
			})
			for i := range 3 {
				require.NoError(t, p.Send(within(t), Order{Number: i}, patterns.WithKey("k")))
			}
			assert.Equal(t, patterns.Counts{Handled: 2, Failed: 1}, settled(t, w, 3))
			if ends[0] != nil {
				require.NoError(t, p.WaitAcked(within(t)))
				assert.EqualValues(t, 3, p.Stats().Acks.WrittenOut)
			}
		})
	}
}

// Shutdown finishes what is in hand, acknowledges it, and leaves the rest to others.
func TestShutdownLeavesToOthersWhatIsNotInHand(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]patterns.Option{"as they come": nil, "in order": {patterns.WithKeyOrder(patterns.KeyOrder{}), patterns.WithPriorities()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 100
			p := pushpull.NewProducer[Order](assured)
			defer p.Close()
			addr, err := p.Bind("tcp://127.0.0.1:0")
			require.NoError(t, err)
			first := pushpull.NewWorker[Order](append(opts, assured, patterns.WithConcurrency(2))...)
			defer first.Close()
			require.NoError(t, first.Connect(addr))
			for i := range n {
				require.NoError(t, p.Send(within(t), Order{Number: i}, patterns.WithKey(fmt.Sprint(i))))
			}
			begun, gate, ended := make(chan struct{}, n), make(chan struct{}), make(chan error, 1)
			var mu sync.Mutex
			seen := map[int]int{}
			handle := func(ctx context.Context, o Order) error {
				mu.Lock()
				defer mu.Unlock()
				seen[o.Number]++
				return ctx.Err()
			}
			go func() { // ended by Shutdown
				ended <- first.Run(context.Background(), func(ctx context.Context, o Order) error {
					begun <- struct{}{}
					<-gate
					return handle(ctx, o)
				})
			}()
			<-begun
			<-begun
			first.Pause() // as Shutdown does, but seen to be done
			down := make(chan error, 1)
			go func() { down <- first.Shutdown(within(t)) }() // ended by gate
			second := pushpull.NewWorker[Order](assured)
			defer second.Close()
			require.NoError(t, second.Connect(addr))
			run(t, second, handle)
			close(gate)
			require.NoError(t, <-down)
			require.NoError(t, <-ended)
			require.NoError(t, p.WaitAcked(within(t)))
			mu.Lock()
			defer mu.Unlock()
			assert.Len(t, seen, n)
			for number, times := range seen {
				assert.Equal(t, 1, times, "message %d", number)
			}
			assert.Zero(t, first.Counts().Unanswered)
			assert.EqualValues(t, 2, first.Counts().Handled)
		})
	}
}

// A worker that pauses handles nothing, and others get what comes.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	p, w := pair(t, []patterns.Option{assured}, []patterns.Option{assured, patterns.WithConcurrency(3)})
	var mu sync.Mutex
	by := map[string]int{}
	handler := func(name string) func(context.Context, Order) error {
		return func(context.Context, Order) error {
			mu.Lock()
			defer mu.Unlock()
			by[name]++
			return nil
		}
	}
	run(t, w, handler("first"))
	require.NoError(t, p.Send(within(t), Order{}))
	require.NoError(t, p.WaitAcked(within(t)))
	w.Pause()
	w.Pause()
	other := pushpull.NewWorker[Order](assured)
	defer other.Close()
	addr, err := other.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, p.Connect(addr))
	require.NoError(t, p.WaitPeers(within(t), 2))
	run(t, other, handler("other"))
	for range 600 { // more than the first one's prefetch, should it have credit left
		require.NoError(t, p.Send(within(t), Order{}))
	}
	require.Eventually(t, func() bool {
		s := w.Stats().Acks
		return int(other.Counts().Handled)+s.UnackedIn >= 600
	}, time.Minute, time.Millisecond)
	assert.EqualValues(t, 1, w.Counts().Handled)
	w.Resume()
	require.NoError(t, p.WaitAcked(within(t)))
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, 601, by["first"]+by["other"])
}

// A paused worker without acknowledgements handles later what came meanwhile.
func TestPauseWithoutAcknowledgements(t *testing.T) {
	t.Parallel()
	p, w := pair(t, nil, nil)
	got := make(chan int, 10)
	w.Pause()
	run(t, w, func(_ context.Context, o Order) error { got <- o.Number; return nil })
	for i := range 3 {
		require.NoError(t, p.Send(within(t), Order{Number: i}))
	}
	arrived(t, w, 3)
	assert.Empty(t, got)
	w.Resume()
	for i := range 3 {
		assert.Equal(t, i, <-got)
	}
	w.Pause()
	require.NoError(t, p.Send(within(t), Order{Number: 3}))
	arrived(t, w, 1)
	require.NoError(t, w.Shutdown(within(t)), "which does not wait for Resume")
	assert.Equal(t, 3, <-got)
}

// Prefetch bounds what a worker has, and the producer waits with the rest.
func TestPrefetch(t *testing.T) {
	t.Parallel()
	p, w := pair(t, []patterns.Option{assured}, []patterns.Option{assured, patterns.WithPrefetch(2)})
	gate, begun := make(chan struct{}), make(chan int, 10)
	run(t, w, func(ctx context.Context, o Order) error {
		begun <- o.Number
		<-gate
		return nil
	})
	for i := range 2 {
		require.NoError(t, p.Send(within(t), Order{Number: i}))
	}
	<-begun
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, p.Send(ended, Order{}), socket.ErrFull)
	require.Eventually(t, func() bool { return w.Stats().Acks.UnackedIn == 2 }, time.Minute, time.Millisecond)
	close(gate)
	require.NoError(t, p.Send(within(t), Order{}), "there is room again")
	require.NoError(t, p.WaitAcked(within(t)))
}
