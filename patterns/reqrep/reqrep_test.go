package reqrep_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

type Question struct{ Text string }

type Answer struct{ Text string }

// serve returns a running service that ends with the test, and its address.
func serve(t *testing.T, opts ...patterns.Option) (*reqrep.Service, string) {
	t.Helper()
	s := reqrep.NewService(opts...)
	addr, err := s.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, reqrep.Handle(s, "echo", func(_ context.Context, q Question) (Answer, error) {
		return Answer(q), nil
	}))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }() // ended and awaited in the cleanup
	t.Cleanup(func() {
		s.Close()
		assert.NoError(t, <-ended)
	})
	return s, addr
}

// dial returns a client that is connected to the addresses.
func dial(t *testing.T, opts []patterns.Option, addrs ...string) *reqrep.Client {
	t.Helper()
	c := reqrep.NewClient(opts...)
	t.Cleanup(func() { c.Close() })
	for _, addr := range addrs {
		require.NoError(t, c.Connect(addr))
	}
	require.NoError(t, c.WaitPeers(within(t), len(addrs)))
	return c
}

func silent() patterns.Option { return patterns.WithOnError(func(context.Context, error) {}) }

// errorHook returns a hook, and what it was told.
func errorHook() (patterns.Option, <-chan error) {
	errs := make(chan error, 100)
	return patterns.WithOnError(func(_ context.Context, err error) { errs <- err }), errs
}

// settles waits for a service to be idle with these counts: a reply is on its way before its handler counts as done.
func settles(t *testing.T, s *reqrep.Service, want patterns.Counts) {
	t.Helper()
	assert.EventuallyWithT(t, func(c *assert.CollectT) { assert.Equal(c, want, s.Counts()) }, time.Minute, time.Millisecond)
}

func ask(t *testing.T, c *reqrep.Client, method, text string) (string, error) {
	t.Helper()
	a, err := reqrep.Call[Question, Answer](within(t), c, method, Question{text})
	return a.Text, err
}

func TestCall(t *testing.T) {
	t.Parallel()
	for _, c := range []codec.Codec{codec.Msgpack, codec.JSON} {
		t.Run(c.Name(), func(t *testing.T) {
			t.Parallel()
			s, addr := serve(t)
			client := dial(t, []patterns.Option{patterns.WithCodec(c), patterns.WithSource("desk")}, addr)
			require.NoError(t, reqrep.Handle(s, "describe", func(ctx context.Context, _ Question) (Answer, error) {
				e := patterns.FromContext(ctx)
				return Answer{strings.Join([]string{e.Source, e.Type, e.Codec, e.Header("color")}, " ")}, nil
			}))
			a, err := reqrep.Call[Question, Answer](within(t), client, "describe", Question{}, patterns.WithHeader("color", "red"))
			require.NoError(t, err)
			assert.Equal(t, "desk describe "+c.Name()+" red", a.Text)
			assert.Equal(t, patterns.Counts{Handled: 1}, client.Counts())
		})
	}
}

func TestManyCallsInFlight(t *testing.T) {
	t.Parallel()
	const n = 200
	s, addr := serve(t, patterns.WithConcurrency(n))
	var all sync.WaitGroup
	all.Add(n)
	require.NoError(t, reqrep.Handle(s, "together", func(_ context.Context, q Question) (Answer, error) {
		all.Done()
		all.Wait() // only if all are in flight at the same time does any get an answer
		return Answer(q), nil
	}))
	client := dial(t, nil, addr)
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			text := fmt.Sprint(i)
			got, err := ask(t, client, "together", text)
			assert.NoError(t, err)
			assert.Equal(t, text, got)
		})
	}
	calls.Wait()
	assert.Equal(t, patterns.Counts{Handled: n}, client.Counts())
}

func TestErrorsTravel(t *testing.T) {
	t.Parallel()
	hook, errs := errorHook()
	s, addr := serve(t, hook)
	client := dial(t, nil, addr)
	fail := map[string]error{
		"typed":   reqrep.Errorf("sold_out", "no %s left", "tea"),
		"wrapped": fmt.Errorf("take order: %w", reqrep.Errorf("sold_out", "no tea left")),
		"plain":   errors.New("shelf 7 fell down"),
		"long":    errors.New(strings.Repeat("ä", 1<<20)),
		"binary":  errors.New("\xff\x00"),
		"no code": &reqrep.Error{Message: "nothing said"},
	}
	want := map[string]reqrep.Error{
		"typed":   {Code: "sold_out", Message: "no tea left"},
		"wrapped": {Code: "sold_out", Message: "no tea left"},
		"plain":   {Code: reqrep.CodeInternal, Message: "shelf 7 fell down"},
		"long":    {Code: reqrep.CodeInternal, Message: strings.Repeat("ä", 2<<10)},
		"binary":  {Code: reqrep.CodeInternal, Message: "?\x00"},
		"no code": {Code: reqrep.CodeInternal, Message: "nothing said"},
		"panic":   {Code: reqrep.CodeInternal, Message: "handler panicked"},
	}
	require.NoError(t, reqrep.Handle(s, "fail", func(_ context.Context, q Question) (Answer, error) {
		if q.Text == "panic" {
			panic("a secret")
		}
		return Answer{"ignored"}, fail[q.Text]
	}))
	reported := 0
	for name, want := range want {
		got, err := ask(t, client, "fail", name)
		assert.Empty(t, got)
		answer, ok := errors.AsType[*reqrep.Error](err)
		require.True(t, ok, "%s: %v", name, err)
		assert.Equal(t, want, *answer, name)
		if want.Code == reqrep.CodeInternal && name != "no code" {
			failed, ok := errors.AsType[*patterns.Error](<-errs)
			require.True(t, ok)
			assert.Equal(t, "handle", failed.Op)
			reported++
		}
	}
	assert.Equal(t, uint64(reported), s.Counts().Failed)
	assert.Equal(t, uint64(len(want)), client.Counts().Failed)
	got, err := ask(t, client, "echo", "still here")
	assert.NoError(t, err)
	assert.Equal(t, "still here", got)
}

func TestRequestsThatCannotBeHandled(t *testing.T) {
	t.Parallel()
	hook, errs := errorHook()
	s, addr := serve(t, hook)
	client := dial(t, nil, addr)

	_, err := ask(t, client, "ehco", "")
	answer, ok := errors.AsType[*reqrep.Error](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, reqrep.Error{Code: reqrep.CodeUnknownMethod, Message: `no method "ehco"`}, *answer)
	assert.EqualError(t, err, `call ehco: unknown_method: no method "ehco"`)
	assert.ErrorIs(t, <-errs, patterns.ErrMalformed)

	_, err = reqrep.Call[[]int, Answer](within(t), client, "echo", []int{1})
	answer, ok = errors.AsType[*reqrep.Error](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, reqrep.CodeBadRequest, answer.Code)
	assert.ErrorIs(t, <-errs, patterns.ErrMalformed)

	_, err = reqrep.Call[Question, Answer](context.Background(), client, "echo", Question{}, patterns.WithHeader("timeout", "-1"))
	answer, ok = errors.AsType[*reqrep.Error](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, reqrep.CodeBadRequest, answer.Code)
	assert.ErrorContains(t, <-errs, `timeout "-1", want milliseconds`)
	settles(t, s, patterns.Counts{Malformed: 3})

	_, err = ask(t, client, "", "")
	assert.ErrorContains(t, err, "want a name of 1 to 255 bytes")
	_, err = reqrep.Call[func(), Answer](within(t), client, "echo", nil)
	assert.ErrorContains(t, err, "call echo: msgpack encode")
}

func TestReplyThatDoesNotDecode(t *testing.T) {
	t.Parallel()
	_, addr := serve(t)
	client := dial(t, nil, addr)
	_, err := reqrep.Call[Question, []int](within(t), client, "echo", Question{})
	assert.ErrorIs(t, err, patterns.ErrMalformed)
}

func TestReplyThatCannotBeSent(t *testing.T) {
	t.Parallel()
	hook, errs := errorHook()
	s, addr := serve(t, hook, patterns.WithSocketOptions(socket.WithMaxMessageSize(1000)))
	require.NoError(t, reqrep.Handle(s, "large", func(context.Context, Question) (Answer, error) {
		return Answer{strings.Repeat("x", 2000)}, nil
	}))
	require.NoError(t, reqrep.Handle(s, "func", func(context.Context, Question) (func(), error) { return nil, nil }))
	client := dial(t, nil, addr)
	for method, code := range map[string]reqrep.Code{"large": reqrep.CodeTooLarge, "func": reqrep.CodeInternal} {
		_, err := ask(t, client, method, "")
		answer, ok := errors.AsType[*reqrep.Error](err)
		require.True(t, ok, "%v", err)
		assert.Equal(t, code, answer.Code)
		assert.Contains(t, answer.Message, "reply: ")
		failed, ok := errors.AsType[*patterns.Error](<-errs)
		require.True(t, ok)
		assert.Equal(t, "reply", failed.Op)
	}
}

func TestDeadlineTravels(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, silent())
	limits, ended := make(chan time.Duration, 1), make(chan error, 1)
	require.NoError(t, reqrep.Handle(s, "ask", func(ctx context.Context, _ Question) (Answer, error) {
		deadline, ok := ctx.Deadline()
		if !ok {
			limits <- 0
			return Answer{}, nil
		}
		limits <- time.Until(deadline)
		return Answer{}, nil
	}))
	require.NoError(t, reqrep.Handle(s, "wait", func(ctx context.Context, _ Question) (Answer, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return Answer{}, ctx.Err()
	}))
	client := dial(t, nil, addr)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := reqrep.Call[Question, Answer](ctx, client, "ask", Question{})
	require.NoError(t, err)
	left := <-limits
	assert.Greater(t, left, time.Duration(0))
	assert.LessOrEqual(t, left, time.Minute+time.Millisecond, "and what rounding up may add")

	_, err = reqrep.Call[Question, Answer](t.Context(), client, "ask", Question{})
	assert.NoError(t, err, "no deadline, none travels")
	assert.Zero(t, <-limits)

	untilReached(t, ended, func(ctx context.Context) {
		_, err := reqrep.Call[Question, Answer](ctx, client, "wait", Question{})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorIs(t, err, socket.ErrTimeout)
	})
}

// untilReached calls with ever more time, until that was enough for a handler to be reached, which tells that its own time was up.
func untilReached(t *testing.T, ended <-chan error, call func(context.Context)) {
	t.Helper()
	for limit := 50 * time.Millisecond; limit < time.Minute; limit *= 5 {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		call(ctx)
		cancel()
		select {
		case err := <-ended:
			assert.Error(t, err)
			return
		case <-time.After(limit):
		}
	}
	t.Fatal("no handler was reached")
}

func TestServiceDeadlineIsATimeout(t *testing.T) {
	t.Parallel()
	err := error(&reqrep.Error{Code: reqrep.CodeDeadline})
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorIs(t, err, socket.ErrTimeout)
	assert.NotErrorIs(t, &reqrep.Error{Code: reqrep.CodeInternal}, context.DeadlineExceeded)
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, silent())
	begun, ended := make(chan struct{}), make(chan error)
	require.NoError(t, reqrep.Handle(s, "gate", func(ctx context.Context, _ Question) (Answer, error) {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return Answer{}, ctx.Err()
	}))
	client := dial(t, nil, addr)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }() // ends when the handler begins
	_, err := reqrep.Call[Question, Answer](ctx, client, "gate", Question{})
	assert.ErrorIs(t, err, context.Canceled)
	_, err = reqrep.Call[Question, Answer](ctx, client, "gate", Question{})
	assert.ErrorIs(t, err, context.Canceled, "not even sent")
	assert.ErrorIs(t, <-ended, context.Canceled, "the handler hears of it")
	got, err := ask(t, client, "echo", "next")
	assert.NoError(t, err)
	assert.Equal(t, "next", got)
	assert.Equal(t, patterns.Counts{Handled: 1}, client.Counts())
	require.Eventually(t, func() bool { return s.ServiceStats().Cancelled == 1 }, time.Minute, time.Millisecond)
}

func TestConversationGoesOnThroughCalls(t *testing.T) {
	t.Parallel()
	back, backAddr := serve(t)
	front, frontAddr := serve(t)
	toBack := dial(t, nil, backAddr)
	seen := make(chan *codec.Envelope, 2)
	require.NoError(t, reqrep.Handle(back, "seen", func(ctx context.Context, q Question) (Answer, error) {
		seen <- patterns.FromContext(ctx)
		return Answer(q), nil
	}))
	require.NoError(t, reqrep.Handle(front, "seen", func(ctx context.Context, q Question) (Answer, error) {
		seen <- patterns.FromContext(ctx)
		return reqrep.Call[Question, Answer](ctx, toBack, "seen", q)
	}))
	_, err := ask(t, dial(t, nil, frontAddr), "seen", "x")
	require.NoError(t, err)
	one, two := <-seen, <-seen
	assert.Equal(t, one.Conversation(), two.Conversation())
	assert.Equal(t, one.ID, two.CausationID)
}

func TestHandleChecksNames(t *testing.T) {
	t.Parallel()
	s := reqrep.NewService()
	defer s.Close()
	echo := func(_ context.Context, q Question) (Answer, error) { return Answer(q), nil }
	assert.NoError(t, reqrep.Handle(s, "echo", echo))
	assert.EqualError(t, reqrep.Handle(s, "echo", echo), `handle method "echo": it has a handler already`)
	assert.ErrorContains(t, reqrep.Handle(s, "", echo), "want a name of 1 to 255 bytes")
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	s := reqrep.NewService(patterns.WithAnyType())
	defer s.Close()
	assert.ErrorIs(t, s.Run(t.Context()), socket.ErrOption)
	c := reqrep.NewClient(patterns.WithConcurrency(3))
	defer c.Close()
	_, err := ask(t, c, "echo", "")
	assert.ErrorIs(t, err, socket.ErrOption)
}
