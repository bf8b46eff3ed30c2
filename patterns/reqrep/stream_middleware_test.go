package reqrep_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/middleware"
	"github.com/meshmq/meshmq/patterns/reqrep"
)

// What fails before its first item is tried again, what fails after it is not: the caller has the items already, and gets the error behind them.
func TestStreamWithinRetry(t *testing.T) {
	t.Parallel()
	broken := errors.New("a hiccup")
	for name, c := range map[string]struct {
		failAt int
		fail   func() error
		items  []string
		code   reqrep.Code
		tries  int
	}{
		"before the first":  {0, func() error { return broken }, []string{"0", "1", "2", "3"}, "", 2},
		"panic before":      {0, func() error { panic("at sea") }, []string{"0", "1", "2", "3"}, "", 2},
		"after two":         {2, func() error { return broken }, []string{"0", "1"}, reqrep.CodeInternal, 1},
		"panic after two":   {2, func() error { panic("at sea") }, []string{"0", "1"}, reqrep.CodeInternal, 1},
		"wait, after two":   {2, func() error { return patterns.RetryAfter(broken, 1) }, []string{"0", "1"}, reqrep.CodeInternal, 1},
		"answer, after two": {2, func() error { return reqrep.Errorf(reqrep.CodeUnavailable, "at lunch") }, []string{"0", "1"}, reqrep.CodeUnavailable, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, addr := serve(t, silent(), patterns.WithMiddleware(middleware.Retry(middleware.RetryPolicy{First: 1})))
			tries := 0
			require.NoError(t, reqrep.HandleStream(s, "count", func(context.Context, int) iter.Seq2[Answer, error] {
				return func(yield func(Answer, error) bool) {
					tries++
					for i, item := range strings.Split("0123", "") {
						if i == c.failAt && tries == 1 {
							yield(Answer{}, c.fail())
							return
						}
						if !yield(Answer{item}, nil) {
							return
						}
					}
				}
			}))
			items, err := collect(within(t), dial(t, nil, addr), 4)
			assert.Equal(t, c.items, items)
			assert.Equal(t, c.tries, tries)
			answer, _ := errors.AsType[*reqrep.Error](err)
			if c.code == "" {
				require.NoError(t, err)
			} else {
				require.NotNil(t, answer, "%v", err)
				assert.Equal(t, c.code, answer.Code)
				assert.False(t, answer.Retryable)
			}
		})
	}
}

// A stream that was handled is not kept: who asks for it again under the same id is told so, and does not take nothing for the answer.
func TestStreamWithinDedup(t *testing.T) {
	t.Parallel()
	c, _, addr := counting(t, patterns.WithMiddleware(middleware.Dedup(10, time.Hour)))
	client := dial(t, nil, addr)
	id := patterns.WithID(codec.NewID())
	items, err := collect(within(t), client, 3, id)
	require.NoError(t, err)
	assert.Equal(t, numbers(3), items)
	items, err = collect(within(t), client, 3, id)
	answer, _ := errors.AsType[*reqrep.Error](err)
	require.NotNil(t, answer, "%v", err)
	assert.Equal(t, reqrep.CodeDuplicate, answer.Code)
	assert.Empty(t, items)
	assert.Len(t, c.ended, 1, "handled once")
}
