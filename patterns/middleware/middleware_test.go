package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/middleware"
	"github.com/meshmq/meshmq/patterns/reqrep"
)

func TestTimeoutEndsTheContextAndNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limit := middleware.Timeout(time.Second)
		begin := time.Now()
		err := limit(func(ctx context.Context, _ *patterns.Delivery) error {
			<-ctx.Done()
			return ctx.Err()
		})(t.Context(), delivery())
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(begin))

		deaf := limit(func(context.Context, *patterns.Delivery) error {
			time.Sleep(time.Hour)
			return nil
		})
		assert.NoError(t, deaf(t.Context(), delivery()), "it was handled after all")
		assert.Equal(t, time.Hour+time.Second, time.Since(begin), "nobody went on without it")
	})
	unlimited := middleware.Timeout(0)(func(ctx context.Context, _ *patterns.Delivery) error {
		_, limited := ctx.Deadline()
		assert.False(t, limited)
		return nil
	})
	assert.NoError(t, unlimited(context.Background(), delivery()))
}

func TestRetry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ends         []any
		limit        time.Duration // of the context; 0 for none
		calls        int
		err          error
		least, longe time.Duration
	}{
		"at first":            {calls: 1},
		"at last":             {ends: []any{errBroken, "at sea"}, calls: 3, longe: 300 * time.Millisecond},
		"never":               {ends: []any{errBroken, errBroken, errBroken}, calls: 3, err: errBroken, longe: 300 * time.Millisecond},
		"panics":              {ends: []any{"1", "2", "3"}, calls: 3, err: patterns.ErrPanic, longe: 300 * time.Millisecond},
		"permanent":           {ends: []any{errBroken, patterns.Permanent(errBroken)}, calls: 2, err: patterns.ErrPermanent, longe: 100 * time.Millisecond},
		"asked to wait":       {ends: []any{patterns.RetryAfter(errBroken, time.Hour)}, calls: 2, least: time.Hour, longe: time.Hour + 100*time.Millisecond},
		"no time for a pause": {ends: []any{patterns.RetryAfter(errBroken, time.Hour)}, limit: time.Minute, calls: 1, err: errBroken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if c.limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.limit)
					defer cancel()
				}
				s, d, begin := &script{ends: c.ends}, delivery(), time.Now()
				err := middleware.Retry(middleware.RetryPolicy{})(s.handle)(ctx, d)
				took := time.Since(begin)
				assert.ErrorIs(t, err, c.err)
				assert.Equal(t, c.calls, s.calls)
				assert.Equal(t, c.calls, d.Attempt)
				assert.GreaterOrEqual(t, took, c.least)
				assert.LessOrEqual(t, took, c.longe)
			})
		})
	}
}

// Answers to callers are no failures: they are not tried again, and open no breaker.
func TestAnswersAreNoFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for code, calls := range map[reqrep.Code]int{"sold_out": 4, reqrep.CodeInternal: 3} {
			answer := reqrep.Errorf(code, "no tea")
			s := &script{ends: []any{answer, answer, answer, answer, answer, answer}}
			retried := &script{ends: s.ends}
			breaker := middleware.Breaker(middleware.BreakerPolicy{Failures: 3})(s.handle)
			d := delivery()
			d.Kind = patterns.Call
			for range 4 {
				_ = breaker(t.Context(), d)
			}
			assert.Equal(t, calls, s.calls, code)
			err := middleware.Retry(middleware.RetryPolicy{})(retried.handle)(t.Context(), d)
			assert.Equal(t, error(answer), err)
			assert.Equal(t, code == "sold_out", retried.calls == 1)
		}
	})
}

func TestRetryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &script{ends: []any{patterns.RetryAfter(errBroken, time.Hour)}}
		time.AfterFunc(time.Minute, cancel)
		begin := time.Now()
		assert.ErrorIs(t, middleware.Retry(middleware.RetryPolicy{})(s.handle)(ctx, delivery()), errBroken)
		assert.Equal(t, time.Minute, time.Since(begin))
	})
}

// Full jitter: pauses differ, and the longest of them double up to the most.
func TestRetryPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const tries = 40
		var longest [tries]time.Duration
		for range 50 {
			last, n := time.Now(), 0
			policy := middleware.RetryPolicy{Attempts: tries, First: time.Second, Max: time.Minute}
			_ = middleware.Retry(policy)(func(context.Context, *patterns.Delivery) error {
				longest[n] = max(longest[n], time.Since(last))
				last = time.Now()
				n++
				return errBroken
			})(t.Context(), delivery())
		}
		for i, pause := range longest[1:] {
			most := min(time.Second<<min(i, 6), time.Minute)
			assert.LessOrEqual(t, pause, most)
			assert.Greater(t, pause, most/2, "of fifty at random one is longer, but for a chance of 1e-15")
		}
	})
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var states []string
		handle := middleware.Breaker(middleware.BreakerPolicy{Failures: 2, Pause: time.Minute, OnChange: func(from, to string) {
			states = append(states, from+" "+to)
		}})
		s := &script{ends: []any{errBroken, patterns.Permanent(errBroken), context.Canceled, "panics", errBroken}}
		h := handle(s.handle)
		for range 4 {
			assert.NotErrorIs(t, h(t.Context(), delivery()), middleware.ErrOpen)
		}
		time.Sleep(10 * time.Second)
		err := h(t.Context(), delivery())
		assert.ErrorIs(t, err, middleware.ErrOpen)
		pause, _ := patterns.Pause(err)
		assert.Equal(t, 50*time.Second, pause)
		assert.Equal(t, 4, s.calls)
		assert.NoError(t, handle((&script{}).handle)(t.Context(), delivery()), "each handler has its own")

		time.Sleep(pause + 1)
		assert.ErrorIs(t, h(t.Context(), delivery()), errBroken, "a trial")
		assert.ErrorIs(t, h(t.Context(), delivery()), middleware.ErrOpen)
		time.Sleep(time.Minute + 1)
		assert.NoError(t, h(t.Context(), delivery()))
		assert.NoError(t, h(t.Context(), delivery()))
		assert.Equal(t, []string{"closed open", "open half-open", "half-open open", "open half-open", "half-open closed"}, states)
	})
}

func TestBreakerLetsFewTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fail, free := true, make(chan struct{})
		h := middleware.Breaker(middleware.BreakerPolicy{Failures: 1})(func(context.Context, *patterns.Delivery) error {
			if fail {
				return errBroken
			}
			<-free
			return nil
		})
		assert.ErrorIs(t, h(t.Context(), delivery()), errBroken)
		fail = false
		time.Sleep(30*time.Second + 1)
		go func() { assert.NoError(t, h(context.Background(), delivery())) }()
		synctest.Wait()
		err := h(t.Context(), delivery())
		assert.ErrorIs(t, err, middleware.ErrOpen)
		pause, asked := patterns.Pause(err)
		assert.True(t, asked)
		assert.Positive(t, pause)
		close(free)
	})
}

type order struct{ Item string }

func (o order) Validate() error {
	if o.Item == "" {
		return errors.New("no item")
	}
	return nil
}

func TestValidate(t *testing.T) {
	t.Parallel()
	long := middleware.ValidateFunc(func(_ context.Context, o *order) error {
		if len(o.Item) > 3 {
			return errors.New("too long")
		}
		return nil
	})
	none := (*order)(nil)
	for _, c := range []struct {
		value any
		want  string
	}{
		{&order{"tea"}, ""},
		{order{"tea"}, ""},
		{&order{}, "invalid value: no item"},
		{order{}, "invalid value: no item"},
		{&order{"coffee"}, "invalid value: too long"},
		{new(&order{}), "invalid value: no item"},
		{&none, ""}, // the handler's own business
		{none, ""},
		{new(int), ""},
		{nil, ""},
	} {
		s, d := &script{}, delivery()
		d.Value = c.value
		guard := long
		if c.value == none {
			guard = middleware.Validate()
		}
		err := middleware.Validate()(guard(s.handle))(t.Context(), d)
		o := patterns.NewOutgoing(func(context.Context) error { return nil })
		o.Value = c.value
		sent := patterns.Around(middleware.ValidateSends())(t.Context(), o)
		if c.want == "" {
			assert.NoError(t, err)
			assert.NoError(t, sent)
			assert.Equal(t, 1, s.calls)
			continue
		}
		assert.EqualError(t, err, c.want)
		assert.ErrorIs(t, err, patterns.ErrInvalid)
		assert.ErrorIs(t, err, patterns.ErrPermanent)
		assert.Zero(t, s.calls)
		if c.want == "invalid value: no item" {
			assert.EqualError(t, sent, c.want)
		}
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "id" || a.Key == "duration" {
			return slog.Attr{}
		}
		return a
	}}))
	s := &script{ends: []any{nil, errBroken, patterns.Permanent(errBroken), "at sea"}}
	handle := middleware.Log(logger)(s.handle)
	d := delivery()
	d.Value = &order{"secret"}
	for range 4 {
		_ = handle(t.Context(), d)
	}
	d.Duplicate, d.Envelope.CorrelationID = true, codec.ID{1}
	require.NoError(t, handle(t.Context(), d))
	o := patterns.NewOutgoing(func(context.Context) error { return errBroken })
	o.Kind, o.Name, o.Envelope = patterns.Event, "orders.new", d.Envelope
	assert.Equal(t, errBroken, patterns.Around(middleware.LogSends(logger))(t.Context(), o))
	assert.Equal(t, `level=DEBUG msg=handled kind=work name=Order correlation=ID source=shop attempt=1
level=WARN msg=handled kind=work name=Order correlation=ID source=shop attempt=1 error=broken
level=ERROR msg=handled kind=work name=Order correlation=ID source=shop attempt=1 error=broken
level=ERROR msg=handled kind=work name=Order correlation=ID source=shop attempt=1 error="handler panicked: at sea"
level=DEBUG msg=handled kind=work name=Order correlation=01000000-0000-0000-0000-000000000000 source=shop attempt=1 duplicate=true
level=WARN msg=sent kind=event name=orders.new correlation=01000000-0000-0000-0000-000000000000 source=shop error=broken
`, string(bytes.ReplaceAll(out.Bytes(), []byte(d.Envelope.ID.String()), []byte("ID"))))
}
