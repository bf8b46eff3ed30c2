package reqrep_test

import (
	"context"
	"iter"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

// What either end does not take is an error with the limit to the caller, and the connection, with what else is on it, lives on: requests are not
// sent, replies and items say that the request was handled.
func TestTooLarge_EitherWay(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 3000)
	for _, limit := range []struct {
		name   string
		option socket.Option
		says   string
	}{
		{"message", socket.WithMaxMessageSize(2000), "takes at most 2000"},
		{"frame", socket.WithMaxFrameSize(2000), "takes at most 2000"},
	} {
		t.Run("request above the service's "+limit.name, func(t *testing.T) {
			t.Parallel()
			_, addr := serve(t, patterns.WithSocketOptions(limit.option))
			c := dial(t, nil, addr)
			peer := c.Peers()[0]
			for range 3 {
				_, err := ask(t, c, "echo", large)
				require.ErrorIs(t, err, socket.ErrTooLarge)
				require.ErrorContains(t, err, limit.says)
				require.NotErrorIs(t, err, socket.ErrPeerGone)
			}
			_, err := reqrep.Gather[Question, Answer](within(t), c, 1, "echo", Question{large})
			require.ErrorIs(t, err, socket.ErrTooLarge)
			text, err := ask(t, c, "echo", "small")
			require.NoError(t, err)
			assert.Equal(t, "small", text)
			assert.Same(t, peer, c.Peers()[0])
		})
		t.Run("reply above the caller's "+limit.name, func(t *testing.T) {
			t.Parallel()
			hook, errs := errorHook()
			s, addr := serve(t, hook)
			require.NoError(t, reqrep.Handle(s, "grow", func(context.Context, Question) (Answer, error) { return Answer{large}, nil }))
			require.NoError(t, reqrep.HandleStream(s, "pour", func(context.Context, Question) iter.Seq2[Answer, error] {
				return func(yield func(Answer, error) bool) { _ = yield(Answer{"first"}, nil) && yield(Answer{large}, nil) }
			}))
			c := dial(t, []patterns.Option{patterns.WithSocketOptions(limit.option)}, addr)
			peer := c.Peers()[0]
			for range 3 {
				_, err := ask(t, c, "grow", "")
				requireTooLarge(t, err, limit.says)
				require.ErrorIs(t, <-errs, socket.ErrTooLarge)
			}
			var last error
			items := 0
			for _, err := range reqrep.Stream[Question, Answer](within(t), c, "pour", Question{}) {
				if last = err; err == nil {
					items++
				}
			}
			assert.Equal(t, 1, items)
			requireTooLarge(t, last, limit.says)
			text, err := ask(t, c, "echo", "small")
			require.NoError(t, err)
			assert.Equal(t, "small", text)
			assert.Same(t, peer, c.Peers()[0])
		})
	}
}

func requireTooLarge(t *testing.T, err error, says string) {
	t.Helper()
	var answer *reqrep.Error
	require.ErrorAs(t, err, &answer)
	require.Equal(t, reqrep.CodeTooLarge, answer.Code)
	require.ErrorIs(t, err, socket.ErrTooLarge)
	require.ErrorContains(t, err, says)
}

// A caller that takes too little for what there is to say of an error gets its code.
func TestTooLarge_WordsAreLeftOut(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, silent())
	require.NoError(t, reqrep.Handle(s, "fail", func(context.Context, Question) (Answer, error) {
		return Answer{}, reqrep.Errorf("sold_out", "%s", strings.Repeat("no ", 200))
	}))
	c := dial(t, []patterns.Option{patterns.WithSocketOptions(socket.WithMaxMessageSize(400))}, addr)
	_, err := ask(t, c, "fail", "")
	var answer *reqrep.Error
	require.ErrorAs(t, err, &answer)
	assert.Equal(t, &reqrep.Error{Code: "sold_out"}, answer)
}
