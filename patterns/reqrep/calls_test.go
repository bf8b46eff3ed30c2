package reqrep_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

// fails is a method that fails with err until it was asked n times, and notes what it was told of the attempts.
type fails struct {
	n    int
	err  error
	mu   sync.Mutex
	seen []patterns.Delivery
}

func (f *fails) serve(t *testing.T, opts ...patterns.Option) (*reqrep.Service, string) {
	note := func(next patterns.Handler) patterns.Handler {
		return func(ctx context.Context, d *patterns.Delivery) error {
			f.mu.Lock()
			f.seen = append(f.seen, *d)
			f.mu.Unlock()
			return next(ctx, d)
		}
	}
	s, addr := serve(t, append(opts, silent(), patterns.WithMiddleware(note))...)
	require.NoError(t, reqrep.Handle(s, "flaky", func(context.Context, Question) (Answer, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.seen) <= f.n {
			return Answer{}, f.err
		}
		return Answer{"at last"}, nil
	}))
	return s, addr
}

func TestRetries(t *testing.T) {
	t.Parallel()
	again := []reqrep.CallOption{reqrep.WithRetries(5), reqrep.WithBackoff(time.Microsecond, time.Millisecond)}
	busy := func() error { return reqrep.Errorf("busy", "not now").Retry(time.Millisecond) }
	tests := map[string]struct {
		err   error
		fails int
		opts  []reqrep.CallOption
		asked int
	}{
		"retryable":                  {err: busy(), fails: 3, opts: again, asked: 4},
		"retryable, too often":       {err: busy(), fails: 99, opts: again, asked: 6},
		"nobody allows it":           {err: busy(), fails: 1, asked: 1},
		"the application's error":    {err: reqrep.Errorf("sold_out", ""), fails: 1, opts: append(again, reqrep.Idempotent()), asked: 1},
		"a plain error":              {err: errors.New("broken"), fails: 1, opts: append(again, reqrep.Idempotent()), asked: 1},
		"a middleware asks for more": {err: patterns.RetryAfter(errors.New("slow down"), time.Millisecond), fails: 1, opts: again, asked: 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fails{n: test.fails, err: test.err}
			_, addr := f.serve(t)
			client := dial(t, nil, addr)
			a, err := reqrep.Call[Question, Answer](within(t), client, "flaky", Question{}, test.opts...)
			if test.asked > test.fails {
				assert.NoError(t, err)
				assert.Equal(t, "at last", a.Text)
			} else {
				_, typed := errors.AsType[*reqrep.Error](err)
				assert.True(t, typed, "%v", err)
			}
			require.Len(t, f.seen, test.asked)
			for i, d := range f.seen {
				assert.Equal(t, i+1, d.Attempt)
				assert.Equal(t, patterns.Call, d.Kind)
				assert.Equal(t, "flaky", d.Name)
				assert.Equal(t, f.seen[0].Envelope.ID, d.Envelope.ID, "it is the same request")
			}
			assert.EqualValues(t, test.asked-1, client.CallStats().Retries)
		})
	}
}

// An instance that dies with a request has it asked elsewhere, if it is idempotent, and else the caller is told.
func TestRetryElsewhere(t *testing.T) {
	t.Parallel()
	for _, idempotent := range []bool{true, false} {
		client := reqrep.NewClient()
		defer client.Close()
		addr, err := client.Bind("tcp://127.0.0.1:0")
		require.NoError(t, err)
		var asked atomic.Int32
		instance := func() *reqrep.Service {
			s := reqrep.NewService(silent())
			require.NoError(t, reqrep.Handle(s, "die", func(ctx context.Context, q Question) (Answer, error) {
				if asked.Add(1) == 1 {
					s.Close()
					return Answer{}, nil
				}
				return Answer{"done"}, nil
			}))
			require.NoError(t, s.Connect(addr))
			ended := make(chan error, 1)
			go func() { ended <- s.Run(context.Background()) }() // ended and awaited in the cleanup
			t.Cleanup(func() { s.Close(); assert.NoError(t, <-ended) })
			return s
		}
		instance()
		instance()
		require.NoError(t, client.WaitPeers(within(t), 2))
		opts := []reqrep.CallOption{reqrep.WithRetries(1)}
		if idempotent {
			opts = append(opts, reqrep.Idempotent())
		}
		a, err := reqrep.Call[Question, Answer](within(t), client, "die", Question{}, opts...)
		if idempotent {
			assert.NoError(t, err)
			assert.Equal(t, "done", a.Text)
		} else {
			assert.ErrorIs(t, err, socket.ErrPeerGone)
			assert.EqualValues(t, 1, asked.Load())
		}
	}
}

func TestAttemptTimeout(t *testing.T) {
	t.Parallel()
	hanging, addr := serve(t, silent())
	answering, other := serve(t)
	ended := make(chan error, 1000)
	require.NoError(t, reqrep.Handle(hanging, "wait", func(ctx context.Context, _ Question) (Answer, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return Answer{}, ctx.Err()
	}))
	client := dial(t, nil, addr)
	for len(ended) == 0 { // a request that comes too late is not begun
		_, err := reqrep.Call[Question, Answer](within(t), client, "wait", Question{}, reqrep.Idempotent(), reqrep.WithAttemptTimeout(10*time.Millisecond))
		assert.ErrorIs(t, err, socket.ErrTimeout)
	}
	assert.Error(t, <-ended, "by the deadline that travels, or the cancellation")

	both := dial(t, nil, addr, other)
	require.NoError(t, reqrep.Handle(answering, "wait", func(_ context.Context, q Question) (Answer, error) { return Answer(q), nil }))
	for range 2 { // one of them begins with the instance that hangs
		a, err := reqrep.Call[Question, Answer](within(t), both, "wait", Question{"x"},
			reqrep.Idempotent(), reqrep.WithRetries(5), reqrep.WithAttemptTimeout(200*time.Millisecond))
		assert.NoError(t, err)
		assert.Equal(t, "x", a.Text)
	}
	assert.Positive(t, both.CallStats().Retries)
}

// The retries of all calls together are bounded, whatever each of them may.
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	f := &fails{n: 1 << 30, err: reqrep.Errorf("busy", "").Retry(0)}
	_, addr := f.serve(t)
	client := dial(t, []patterns.Option{
		reqrep.WithRetryBudget(0.1, 5),
		reqrep.WithCalls(reqrep.WithRetries(10), reqrep.WithBackoff(time.Nanosecond, time.Nanosecond)),
	}, addr)
	begin := time.Now()
	for range 100 {
		_, err := reqrep.Call[Question, Answer](within(t), client, "flaky", Question{})
		assert.ErrorContains(t, err, "busy")
	}
	stats := client.CallStats()
	assert.GreaterOrEqual(t, stats.Retries, uint64(14), "a tenth of the calls, and the burst, but for rounding")
	assert.LessOrEqual(t, float64(stats.Retries), 15+time.Since(begin).Seconds()/2, "and what the time brings back")
	assert.Positive(t, stats.Withheld)
	assert.EqualValues(t, 100+stats.Retries, len(f.seen))
}

func TestHedge(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	began, cancelled := make(chan bool, 2), make(chan error, 3)
	var addrs []string
	for range 3 {
		s, addr := serve(t, silent())
		require.NoError(t, reqrep.Handle(s, "first is slow", func(ctx context.Context, q Question) (Answer, error) {
			if asked.Add(1) > 1 {
				return Answer(q), nil
			}
			began <- true
			<-ctx.Done()
			cancelled <- ctx.Err()
			return Answer{}, ctx.Err()
		}))
		addrs = append(addrs, addr)
	}
	client := dial(t, nil, addrs...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a, err := reqrep.Call[Question, Answer](ctx, client, "first is slow", Question{"x"}, reqrep.Idempotent(), reqrep.WithHedge(10*time.Millisecond, 1))
	require.NoError(t, err)
	assert.Equal(t, "x", a.Text)
	assert.ErrorIs(t, <-cancelled, context.Canceled, "the one that lost")
	assert.EqualValues(t, 2, asked.Load())
	assert.EqualValues(t, 1, client.CallStats().Hedges)

	// With one instance there is nobody else to ask.
	asked.Store(0)
	<-began
	alone := dial(t, nil, addrs[0])
	brief, stop := context.WithCancel(t.Context())
	go func() { // ends with the request, whose turn it is to be slow
		defer stop()
		<-began
		<-time.After(20 * time.Millisecond) // that of several hedges
	}()
	_, err = reqrep.Call[Question, Answer](brief, alone, "first is slow", Question{"x"}, reqrep.Idempotent(), reqrep.WithHedge(time.Millisecond, 3))
	assert.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, alone.CallStats().Hedges)
	assert.EqualValues(t, 1, asked.Load())
}

func TestCallOptionsAreChecked(t *testing.T) {
	t.Parallel()
	client := dial(t, nil)
	for name, opt := range map[string]reqrep.CallOption{
		"WithRetries":        reqrep.WithRetries(-1),
		"WithBackoff":        reqrep.WithBackoff(time.Second, time.Millisecond),
		"WithAttemptTimeout": reqrep.WithAttemptTimeout(-1),
		"WithHedge":          reqrep.WithHedge(0, 1),
		"WithStreamWindow":   reqrep.WithStreamWindow(0, 1),
		"nil":                nil,
	} {
		_, err := reqrep.Call[Question, Answer](t.Context(), client, "echo", Question{}, opt)
		assert.ErrorIs(t, err, socket.ErrOption)
		assert.ErrorContains(t, err, name)
	}
	for name, opt := range map[string]patterns.Option{
		"WithBreaker":     reqrep.WithBreaker(reqrep.Breaker{Failures: -1}),
		"WithOnBreaker":   reqrep.WithOnBreaker(nil),
		"WithRetryBudget": reqrep.WithRetryBudget(2, 0),
		"WithRetries":     reqrep.WithCalls(reqrep.WithRetries(1000)),
		"WithVersion":     reqrep.WithVersion("1"),
	} {
		c := dial(t, []patterns.Option{opt})
		_, err := ask(t, c, "echo", "")
		assert.ErrorIs(t, err, socket.ErrOption)
		assert.ErrorContains(t, err, name)
	}
	s := reqrep.NewService(reqrep.WithCalls())
	defer s.Close()
	assert.ErrorContains(t, s.Run(t.Context()), "NewService has no use for WithCalls")
}

// Requests that cannot be handled in time are answered, not left.
func TestCrowdedService(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, patterns.WithConcurrency(1), reqrep.WithWaiting(1), silent())
	begun, gate := make(chan struct{}, 9), make(chan struct{})
	require.NoError(t, reqrep.Handle(s, "gate", func(ctx context.Context, q Question) (Answer, error) {
		begun <- struct{}{}
		<-gate
		return Answer(q), nil
	}))
	client := dial(t, nil, addr)
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() { _, err := ask(t, client, "gate", ""); assert.NoError(t, err) })
	}
	<-begun
	require.Eventually(t, func() bool { return s.ServiceStats().Waiting == 1 }, time.Minute, time.Millisecond)
	_, err := ask(t, client, "gate", "")
	answer, _ := errors.AsType[*reqrep.Error](err)
	require.NotNil(t, answer, "%v", err)
	assert.Equal(t, reqrep.CodeOverloaded, answer.Code)
	assert.True(t, answer.Retryable)
	_, err = reqrep.Ping(within(t), client)
	assert.NoError(t, err, "although all handlers are busy")
	close(gate)
	calls.Wait()
	stats, err := reqrep.GetStats(within(t), client)
	require.NoError(t, err)
	assert.EqualValues(t, 1, stats.Overloaded)

	// One that is cancelled while it waits is never begun.
	plug := make(chan struct{})
	begun2 := make(chan string, 9)
	require.NoError(t, reqrep.Handle(s, "plug", func(_ context.Context, q Question) (Answer, error) {
		begun2 <- q.Text
		<-plug
		return Answer{}, nil
	}))
	calls.Go(func() { _, err := ask(t, client, "plug", "first"); assert.NoError(t, err) })
	assert.Equal(t, "first", <-begun2)
	ctx, cancel := context.WithCancel(t.Context())
	second := make(chan error, 1)
	go func() { // ended by cancel
		_, err := reqrep.Call[Question, Answer](ctx, client, "plug", Question{"second"})
		second <- err
	}()
	require.Eventually(t, func() bool { return s.ServiceStats().Waiting == 1 }, time.Minute, time.Millisecond)
	cancel()
	assert.ErrorIs(t, <-second, context.Canceled)
	_, err = reqrep.Ping(within(t), client) // behind the cancellation, which only one goroutine could take
	require.NoError(t, err)
	close(plug)
	calls.Wait()
	require.Eventually(t, func() bool { return s.ServiceStats().Cancelled == 1 }, time.Minute, time.Millisecond)
	assert.Empty(t, begun2)
}

// A service that knows nothing of controls gets none, and one that is too old to know of the headers of calls works as ever.
func TestControlsGoToThoseWhoKnowThem(t *testing.T) {
	t.Parallel()
	client := reqrep.NewClient()
	defer client.Close()
	addr, err := client.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	old := socket.NewDealer()
	defer old.Close()
	require.NoError(t, old.Connect(addr))
	require.NoError(t, client.WaitPeers(within(t), 1))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { _, err := reqrep.Call[Question, Answer](ctx, client, "echo", Question{}); ended <- err }() // ended by cancel
	_, err = old.Recv(within(t))
	require.NoError(t, err)
	cancel()
	assert.ErrorIs(t, <-ended, context.Canceled)
	go func() { _, err := ask(t, client, "next", ""); ended <- err }() // ended by the reply
	m, err := old.Recv(within(t))
	require.NoError(t, err)
	var e codec.Envelope
	require.NoError(t, e.Decode(m.Bytes()))
	assert.Equal(t, "next", e.Type, "no control before it")
	body, err := codec.Msgpack.Append(nil, Answer{})
	require.NoError(t, err)
	frame, err := (&codec.Envelope{CausationID: e.ID, Codec: "msgpack", Body: body}).Append(nil)
	require.NoError(t, err)
	require.NoError(t, old.Send(within(t), frame))
	assert.NoError(t, <-ended)
}
