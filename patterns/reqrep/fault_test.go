package reqrep_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

// Row 38: one of three instances fails, and recovers. Callers see none of it, and the instance is left alone meanwhile.
func TestFault38_NoCallIsLost(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	var refused, served atomic.Int64
	broken.Store(true)
	var addrs []string
	for i := range 3 {
		s, addr := serve(t, silent())
		require.NoError(t, reqrep.Handle(s, "work", func(_ context.Context, q Question) (Answer, error) {
			if i == 0 && broken.Load() {
				refused.Add(1)
				return Answer{}, reqrep.Errorf(reqrep.CodeInternal, "broken").Retry(0)
			}
			if i == 0 {
				served.Add(1)
			}
			return Answer(q), nil
		}))
		addrs = append(addrs, addr)
	}
	var mu sync.Mutex
	var changes []reqrep.BreakerChange
	var client *reqrep.Client
	client = dial(t, []patterns.Option{
		reqrep.WithBreaker(reqrep.Breaker{Failures: 3, Pause: 20 * time.Millisecond}),
		reqrep.WithOnBreaker(func(c reqrep.BreakerChange) {
			_ = client.CallStats() // it may be asked
			mu.Lock()
			defer mu.Unlock()
			changes = append(changes, c)
		}),
		reqrep.WithRetryBudget(1, 100),
		reqrep.WithCalls(reqrep.WithRetries(5), reqrep.WithBackoff(time.Microsecond, time.Millisecond)),
	}, addrs...)

	const callers, each = 8, 50
	var calls sync.WaitGroup
	for range callers {
		calls.Go(func() {
			for range each {
				got, err := ask(t, client, "work", "x")
				assert.NoError(t, err)
				assert.Equal(t, "x", got)
			}
		})
	}
	calls.Wait()
	assert.Positive(t, refused.Load())
	mu.Lock()
	require.NotEmpty(t, changes)
	for i, c := range changes {
		assert.Equal(t, addrs[0], c.Endpoint)
		if i > 0 {
			assert.Equal(t, changes[i-1].To, c.From, "in their order")
		}
	}
	probes := 0
	for _, c := range changes {
		if c.To == reqrep.HalfOpen {
			probes++
		}
	}
	mu.Unlock()
	assert.LessOrEqual(t, refused.Load(), int64(3+callers+probes), "three in a row, what was under way then, and probes")

	broken.Store(false)
	require.Eventually(t, func() bool { // calls find out that it is back
		_, err := ask(t, client, "work", "x")
		return assert.NoError(t, err) && served.Load() > 0
	}, time.Minute, time.Millisecond)
	require.Eventually(t, func() bool { return client.CallStats().Instances[0].Breaker == reqrep.Closed }, time.Minute, time.Millisecond)
	assert.Zero(t, client.Counts().InHand)
}

func TestAllOpen(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, silent())
	require.NoError(t, reqrep.Handle(s, "fail", func(context.Context, Question) (Answer, error) { return Answer{}, errors.New("broken") }))
	client := dial(t, []patterns.Option{reqrep.WithBreaker(reqrep.Breaker{Failures: 2, Pause: time.Hour})}, addr)
	for range 2 {
		_, err := ask(t, client, "fail", "")
		assert.ErrorContains(t, err, "internal: broken")
	}
	_, err := ask(t, client, "echo", "")
	assert.ErrorIs(t, err, reqrep.ErrOpen)
	assert.NotErrorIs(t, err, socket.ErrNoPeer)
	assert.NotErrorIs(t, err, socket.ErrTimeout)
	for reply := range reqrep.Scatter[Question, Answer](within(t), client, "echo", Question{}) {
		assert.ErrorIs(t, reply.Err, reqrep.ErrOpen)
		assert.Equal(t, addr, reply.Instance.Endpoint)
	}
	for _, err := range reqrep.Stream[Question, Answer](within(t), client, "echo", Question{}) {
		assert.ErrorIs(t, err, reqrep.ErrOpen)
	}
	stats := client.CallStats()
	require.Len(t, stats.Instances, 1)
	assert.Equal(t, reqrep.Open, stats.Instances[0].Breaker)
	assert.EqualValues(t, 2, stats.Instances[0].Failures)

	// Connecting anew does not close it.
	require.NoError(t, client.Kick(client.Peers()[0]))
	require.Eventually(t, func() bool {
		s := client.CallStats()
		return len(s.Instances) == 1 && s.Instances[0].Calls == 0
	}, time.Minute, time.Millisecond)
	_, err = ask(t, client, "echo", "")
	assert.ErrorIs(t, err, reqrep.ErrOpen)
}

// Row 38: a hundred callers at once through a client. A minute later its service has as many probes in hand as there may be, and all others
// were told.
func TestFault38_ProbesOfAHundredCallers(t *testing.T) {
	t.Parallel()
	for probes := 1; probes <= 5; probes++ {
		synctest.Test(t, func(t *testing.T) {
			const callers = 100
			broken, reached, open := true, make(chan struct{}, callers), make(chan struct{})
			service := reqrep.NewService(patterns.WithConcurrency(callers), silent())
			client := reqrep.NewClient(reqrep.WithBreaker(reqrep.Breaker{Failures: 1, Probes: probes, Pause: time.Second}))
			require.NoError(t, reqrep.Handle(service, "work", func(_ context.Context, in string) (string, error) {
				if broken {
					return "", reqrep.Errorf(reqrep.CodeInternal, "broken")
				}
				reached <- struct{}{}
				<-open
				return in, nil
			}))
			endpoint, err := service.Bind("inproc://" + t.Name())
			require.NoError(t, err)
			var served, calls sync.WaitGroup
			served.Go(func() { assert.NoError(t, service.Run(context.Background())) })
			require.NoError(t, client.Connect(endpoint))
			require.NoError(t, client.WaitPeers(t.Context(), 1))
			ends := make(chan error, callers)
			call := func() {
				_, err := reqrep.Call[string, string](t.Context(), client, "work", "x")
				ends <- err
			}
			call()
			require.ErrorContains(t, <-ends, "broken")
			broken = false
			time.Sleep(time.Second + 1) // the pause
			for range callers {
				calls.Go(call)
			}
			time.Sleep(time.Minute) // of a bubble: nobody has anything left to do
			assert.Len(t, reached, probes)
			assert.Len(t, ends, callers-probes)
			for range len(ends) {
				assert.ErrorIs(t, <-ends, reqrep.ErrOpen)
			}
			close(open)
			for range probes {
				assert.NoError(t, <-ends)
			}
			calls.Wait()
			require.NoError(t, client.Close())
			require.NoError(t, service.Close())
			served.Wait()
		})
	}
}
