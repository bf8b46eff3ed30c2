package reqrep_test

import (
	"context"
	"errors"
	"fmt"
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

// What another service said to a handler is not the handler's answer: above all not that nothing was done, for which callers would ask again.
func TestErrorsOfOtherServices(t *testing.T) {
	t.Parallel()
	back, backAddr := serve(t, silent())
	hook, errs := errorHook()
	front, frontAddr := serve(t, hook)
	toBack := dial(t, nil, backAddr)
	said := map[string]*reqrep.Error{
		"overloaded": reqrep.Errorf(reqrep.CodeOverloaded, "busy").Retry(time.Millisecond),
		"own":        reqrep.Errorf("sold_out", "no tea left").Retry(0),
		"late":       reqrep.Errorf(reqrep.CodeDeadline, "too late"),
	}
	require.NoError(t, reqrep.Handle(back, "say", func(_ context.Context, q Question) (Answer, error) { return Answer{}, said[q.Text] }))
	var done atomic.Int32
	require.NoError(t, reqrep.Handle(front, "pass", func(ctx context.Context, q Question) (Answer, error) {
		done.Add(1)
		a, err := reqrep.Call[Question, Answer](ctx, toBack, "say", q)
		return a, fmt.Errorf("after work was done: %w", err)
	}))
	require.NoError(t, reqrep.Handle(front, "answer", func(ctx context.Context, q Question) (Answer, error) {
		_, err := reqrep.Call[Question, Answer](ctx, toBack, "say", q)
		theirs, _ := errors.AsType[*reqrep.Error](err)
		return Answer{}, theirs // on purpose: nothing was done here
	}))
	client := dial(t, []patterns.Option{reqrep.WithCalls(reqrep.WithRetries(3), reqrep.WithBackoff(time.Millisecond, time.Millisecond))}, frontAddr)
	for _, test := range []struct {
		method, text string
		want         reqrep.Error
	}{
		{"pass", "overloaded", reqrep.Error{Code: reqrep.CodeInternal, Message: "after work was done: call say: overloaded: busy"}},
		{"pass", "own", reqrep.Error{Code: "sold_out", Message: "no tea left"}},
		{"pass", "late", reqrep.Error{Code: reqrep.CodeDeadline, Message: "too late"}},
		{"answer", "overloaded", reqrep.Error{Code: reqrep.CodeOverloaded, Message: "busy", Retryable: true, RetryAfter: time.Millisecond}},
	} {
		done.Store(0)
		_, err := ask(t, client, test.method, test.text)
		answer, ok := errors.AsType[*reqrep.Error](err)
		require.True(t, ok, "%v", err)
		assert.Equal(t, test.want, *answer, "%s %s", test.method, test.text)
		assert.LessOrEqual(t, done.Load(), int32(1), "%s %s: handled again", test.method, test.text)
	}
	assert.ErrorContains(t, <-errs, "after work was done: call say: overloaded: busy")
	assert.Empty(t, errs, "the others are answers")
}

// A request that nobody wants any more by its own word is answered, counted and reported, and reaches no handler.
func TestExpiredRequests(t *testing.T) {
	t.Parallel()
	hook, errs := errorHook()
	s, addr := serve(t, hook)
	client := dial(t, nil, addr)
	call := func(option patterns.SendOption) error {
		_, err := reqrep.Call[Question, Answer](within(t), client, "echo", Question{}, option)
		return err
	}
	assert.NoError(t, call(patterns.WithTTL(time.Hour)))
	err := call(patterns.WithTTL(0))
	assert.ErrorIs(t, err, socket.ErrTimeout)
	answer, ok := errors.AsType[*reqrep.Error](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, reqrep.CodeDeadline, answer.Code)
	assert.ErrorIs(t, <-errs, patterns.ErrExpired)
	answer, ok = errors.AsType[*reqrep.Error](call(patterns.WithHeader(patterns.HeaderExpires, "soon")))
	require.True(t, ok)
	assert.Equal(t, reqrep.CodeBadRequest, answer.Code)
	assert.ErrorIs(t, <-errs, patterns.ErrMalformed)
	settles(t, s, patterns.Counts{Handled: 1, Expired: 1, Malformed: 1})
}

// What a handler returns after its caller has left is counted and reported as ever, but for the end of its context, which is no fault of its own.
func TestErrorsAfterTheCallerHasLeft(t *testing.T) {
	t.Parallel()
	hook, errs := errorHook()
	s, addr := serve(t, hook)
	begun, broken := make(chan struct{}), errors.New("disk on fire")
	results := []struct {
		err    error // nil for a panic
		failed bool
	}{
		{context.Canceled, false}, {fmt.Errorf("query: %w", context.DeadlineExceeded), false}, {reqrep.Errorf("sold_out", "no tea"), false},
		{broken, true}, {nil, true},
	}
	require.NoError(t, reqrep.Handle(s, "hang", func(ctx context.Context, n int) (Answer, error) {
		begun <- struct{}{}
		<-ctx.Done()
		if results[n].err == nil {
			panic("at the disco")
		}
		return Answer{}, results[n].err
	}))
	client := dial(t, nil, addr)
	var want patterns.Counts
	for n, result := range results {
		ctx, cancel := context.WithCancel(within(t))
		go func() { <-begun; cancel() }() // ends when the handler begins
		_, err := reqrep.Call[int, Answer](ctx, client, "hang", n)
		require.ErrorIs(t, err, context.Canceled)
		require.Eventually(t, func() bool { return s.ServiceStats().Cancelled == uint64(n+1) }, time.Minute, time.Millisecond)
		if result.failed {
			want.Failed++
			failure := <-errs
			assert.ErrorContains(t, failure, "handle hang ")
			assert.Equal(t, result.err == broken, errors.Is(failure, broken))
		} else {
			want.Handled++
		}
		assert.Empty(t, errs)
		settles(t, s, want)
	}
}

// A reply refers to the id of its request, so a call that is given the zero ID, which stands for none, has a new one.
func TestCallsWithTheZeroID(t *testing.T) {
	t.Parallel()
	_, addr := serve(t)
	unnamed := func(next patterns.Sender) patterns.Sender {
		return func(ctx context.Context, o *patterns.Outgoing) error {
			o.Envelope.ID = codec.ID{}
			return next(ctx, o)
		}
	}
	for _, opts := range [][]patterns.Option{nil, {patterns.WithSendMiddleware(unnamed)}} {
		client, none := dial(t, opts, addr), patterns.WithID(codec.ID{})
		answer, err := reqrep.Call[Question, Answer](within(t), client, "echo", Question{"x"}, none)
		require.NoError(t, err)
		assert.Equal(t, "x", answer.Text)
		for answer, err := range reqrep.Stream[Question, Answer](within(t), client, "echo", Question{"x"}, none) {
			require.NoError(t, err)
			assert.Equal(t, "x", answer.Text)
		}
		replies, err := reqrep.Gather[Question, Answer](within(t), client, 1, "echo", Question{"x"}, none)
		require.NoError(t, err)
		assert.Len(t, replies, 1)
	}
}

// A middleware that sends a request again makes another attempt of it: else the service would take the cancellation of the first for one of the second.
func TestMiddlewareSendsAgain(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, silent())
	type seen struct {
		id            codec.ID
		call, attempt string
		left          time.Duration
	}
	requests, begun := make(chan seen, 2), make(chan struct{})
	const limit = 10 * time.Second
	require.NoError(t, reqrep.Handle(s, "late", func(ctx context.Context, _ Question) (Answer, error) {
		e := patterns.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		requests <- seen{e.ID, e.Header("call"), e.Header("attempt"), time.Until(deadline)}
		if e.Header("attempt") == "" {
			close(begun)
			<-ctx.Done()
			return Answer{}, ctx.Err()
		}
		return Answer{"at last"}, nil
	}))
	again := func(next patterns.Sender) patterns.Sender {
		return func(ctx context.Context, o *patterns.Outgoing) error {
			short, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			go func() { <-begun; cancel() }() // ended by the handler
			if err := next(short, o); !errors.Is(err, context.Canceled) {
				return err
			}
			return next(ctx, o)
		}
	}
	client := dial(t, []patterns.Option{patterns.WithSendMiddleware(again)}, addr)
	got, err := ask(t, client, "late", "")
	require.NoError(t, err)
	assert.Equal(t, "at last", got)
	first, second := <-requests, <-requests
	assert.Equal(t, first.id, second.id)
	assert.NotEqual(t, first.call, second.call)
	assert.Equal(t, "2", second.attempt)
	assert.LessOrEqual(t, first.left, limit+time.Millisecond, "of the middleware's context, rounded up")
	assert.Greater(t, second.left, limit+time.Second)
}

// The error that an attempt ended with is none of the next, which may be at the same instance. An answer is one of both.
func TestErrorOfAnEarlierAttempt(t *testing.T) {
	t.Parallel()
	service := socket.NewRouter()
	t.Cleanup(func() { service.Close() })
	addr, err := service.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	client := dial(t, []patterns.Option{reqrep.WithCalls(reqrep.WithRetries(1), reqrep.WithBackoff(1, 1))}, addr)
	replied := make(chan struct{})
	go func() {
		defer close(replied)
		var failure codec.Envelope
		for n := range 2 {
			m, err := service.Recv(within(t))
			if !assert.NoError(t, err) {
				return
			}
			var e codec.Envelope
			assert.NoError(t, e.Decode(m.Frames[1]))
			replies := []codec.Envelope{failure, {CausationID: e.ID, Codec: "json", Body: []byte(`{"Text":"good"}`)}}
			if n == 0 {
				failure = codec.Envelope{CausationID: e.ID, Headers: []codec.Header{
					{Key: "error-code", Value: "overloaded"}, {Key: "error-retry", Value: "0"}, {Key: "call", Value: e.Header("call")},
				}}
				replies = []codec.Envelope{failure}
			}
			for _, reply := range replies {
				frame, err := reply.Append(nil)
				assert.NoError(t, err)
				assert.NoError(t, service.Send(within(t), m.Frames[0], frame))
			}
		}
	}()
	got, err := ask(t, client, "late", "")
	assert.NoError(t, err)
	assert.Equal(t, "good", got)
	<-replied
}

// A call to which no answer came is no success, whatever a middleware says. An answer that came is one, whatever came of what was sent again.
func TestSendMiddlewareKeepsAnErrorBack(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, silent())
	require.NoError(t, reqrep.Handle(s, "bad", func(context.Context, Question) (Answer, error) {
		return Answer{}, reqrep.Errorf("bad", "no answer")
	}))
	require.NoError(t, reqrep.Handle(s, "hangs", func(ctx context.Context, _ Question) (Answer, error) {
		<-ctx.Done()
		return Answer{}, ctx.Err()
	}))
	require.NoError(t, reqrep.Handle(s, "once", func(ctx context.Context, q Question) (Answer, error) {
		if patterns.FromContext(ctx).Header("attempt") != "" {
			return Answer{}, reqrep.Errorf("bad", "asked before")
		}
		return Answer(q), nil
	}))
	quiet := func(next patterns.Sender) patterns.Sender {
		return func(ctx context.Context, o *patterns.Outgoing) error {
			switch o.Name {
			case "hangs":
				short, cancel := context.WithTimeout(ctx, time.Millisecond)
				defer cancel()
				ctx = short
			case "once":
				assert.NoError(t, next(ctx, o))
			}
			assert.Error(t, next(ctx, o))
			return nil
		}
	}
	nobody, client := dial(t, []patterns.Option{patterns.WithSendMiddleware(quiet)}), dial(t, []patterns.Option{patterns.WithSendMiddleware(quiet)}, addr)
	_, err := ask(t, nobody, "nobody", "")
	assert.ErrorContains(t, err, "call nobody: a send middleware returned no error")
	for _, method := range []string{"bad", "hangs"} {
		_, err := ask(t, client, method, "")
		assert.ErrorContains(t, err, "a send middleware returned no error", method)
	}
	got, err := ask(t, client, "once", "said")
	assert.NoError(t, err)
	assert.Equal(t, "said", got)
}
