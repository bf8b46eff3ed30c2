package reqrep_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

// three are instances of which one hangs until it is cancelled, one answers when that has begun, and one fails.
func three(t *testing.T) (addrs []string, cancelled <-chan error) {
	ends, begun := make(chan error, 9), make(chan struct{}, 9)
	for _, behave := range []func(context.Context) (Answer, error){
		func(context.Context) (Answer, error) { <-begun; return Answer{"here"}, nil },
		func(context.Context) (Answer, error) { return Answer{}, reqrep.Errorf("away", "at lunch") },
		func(ctx context.Context) (Answer, error) {
			begun <- struct{}{}
			<-ctx.Done()
			ends <- ctx.Err()
			return Answer{}, ctx.Err()
		},
	} {
		s, addr := serve(t, silent())
		require.NoError(t, reqrep.Handle(s, "who", func(ctx context.Context, _ Question) (Answer, error) { return behave(ctx) }))
		addrs = append(addrs, addr)
	}
	return addrs, ends
}

func TestScatter(t *testing.T) {
	t.Parallel()
	addrs, cancelled := three(t)
	client := dial(t, nil, addrs...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := map[string]reqrep.Reply[Answer]{}
	for reply := range reqrep.Scatter[Question, Answer](ctx, client, "who", Question{}) {
		seen[reply.Instance.Endpoint] = reply
		if len(seen) == 2 {
			cancel() // then the third is what has not answered
		}
	}
	require.Len(t, seen, 3)
	assert.Equal(t, Answer{"here"}, seen[addrs[0]].Value)
	assert.NoError(t, seen[addrs[0]].Err)
	assert.EqualError(t, seen[addrs[1]].Err, "call who: away: at lunch")
	assert.ErrorIs(t, seen[addrs[2]].Err, context.Canceled)
	assert.ErrorIs(t, <-cancelled, context.Canceled)

	for reply := range reqrep.Scatter[Question, Answer](within(t), client, "who", Question{}) {
		if reply.Err == nil {
			break
		}
	}
	assert.ErrorIs(t, <-cancelled, context.Canceled, "the loop was left")
	assert.Zero(t, client.Counts().InHand)

	n := 0
	for reply := range reqrep.Scatter[struct{}, reqrep.Info](within(t), client, reqrep.InfoMethod, struct{}{}) {
		assert.NoError(t, reply.Err)
		assert.Positive(t, reply.Took)
		n++
	}
	assert.Equal(t, 3, n)
}

func TestGather(t *testing.T) {
	t.Parallel()
	addrs, cancelled := three(t)
	client := dial(t, nil, addrs...)
	replies, err := reqrep.Gather[Question, Answer](within(t), client, 1, "who", Question{})
	assert.NoError(t, err)
	assert.Equal(t, "here", replies[len(replies)-1].Value.Text)
	assert.ErrorIs(t, <-cancelled, context.Canceled)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	replies, err = reqrep.Gather[Question, Answer](ctx, client, 2, "who", Question{})
	assert.Len(t, replies, 3)
	assert.ErrorIs(t, err, socket.ErrTimeout)
	assert.ErrorContains(t, err, " of 2 answers")

	replies, err = reqrep.Gather[Question, Answer](within(t), client, 0, "echo", Question{"all"})
	assert.NoError(t, err)
	assert.Len(t, replies, 3)

	for _, n := range []int{0, 1} {
		replies, err = reqrep.Gather[Question, Answer](within(t), dial(t, nil), n, "who", Question{})
		assert.Empty(t, replies)
		assert.ErrorIs(t, err, socket.ErrNoPeer)
	}
}

func TestBuiltInMethods(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, patterns.WithSource("shop"), reqrep.WithVersion("1.2.3"), silent())
	require.NoError(t, reqrep.Handle(s, "fail", func(context.Context, Question) (Answer, error) { panic("no") }))
	require.Error(t, reqrep.Handle(s, "$mine", func(context.Context, Question) (Answer, error) { return Answer{}, nil }))
	client := dial(t, nil, addr)
	took, err := reqrep.Ping(within(t), client)
	assert.NoError(t, err)
	assert.Positive(t, took)
	info, err := reqrep.GetInfo(within(t), client)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), info.Started, time.Hour)
	info.Started = time.Time{}
	assert.Equal(t, reqrep.Info{Name: "shop", Version: "1.2.3", Methods: []reqrep.MethodInfo{
		{Name: "echo", In: "Question", Out: "Answer"}, {Name: "fail", In: "Question", Out: "Answer"},
	}}, info)

	for range 9 {
		_, err := ask(t, client, "echo", "")
		require.NoError(t, err)
	}
	_, err = ask(t, client, "fail", "")
	require.Error(t, err)
	require.Eventually(t, func() bool { return s.Counts().InHand == 0 }, time.Minute, time.Millisecond)
	stats, err := reqrep.GetStats(within(t), client)
	require.NoError(t, err)
	require.Len(t, stats.Methods, 2)
	echo, fail := stats.Methods[0], stats.Methods[1]
	assert.EqualValues(t, 9, echo.Calls)
	assert.Zero(t, echo.Errors)
	assert.Zero(t, echo.InHand)
	assert.Positive(t, echo.Max)
	assert.LessOrEqual(t, echo.P50, echo.P99)
	assert.LessOrEqual(t, echo.P99, echo.Max)
	assert.EqualValues(t, 1, fail.Errors)
}

// Names of the package's own are not asked for, of controls least of all; a service that a peer asks for one all the same says that there is no such method.
func TestReservedNames(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, silent())
	client := dial(t, nil, addr)
	raw := socket.NewDealer()
	defer raw.Close()
	require.NoError(t, raw.Connect(addr))
	for _, name := range []string{"$nothing", "$cancel", "$taken"} {
		_, err := reqrep.Call[Question, Answer](within(t), client, name, Question{})
		require.ErrorIs(t, err, patterns.ErrMalformed)
		assert.ErrorContains(t, err, "call "+name)
		for _, err := range reqrep.Stream[Question, Answer](within(t), client, name, Question{}) {
			require.ErrorIs(t, err, patterns.ErrMalformed)
		}
		_, err = reqrep.Gather[Question, Answer](within(t), client, 1, name, Question{})
		require.ErrorIs(t, err, patterns.ErrMalformed)

		frame, err := (&codec.Envelope{ID: codec.NewID(), Type: name, Headers: []codec.Header{{Key: "call", Value: "7"}}}).Append(nil)
		require.NoError(t, err)
		require.NoError(t, raw.Send(within(t), frame))
		m, err := raw.Recv(within(t))
		require.NoError(t, err)
		var answer codec.Envelope
		require.NoError(t, answer.Decode(m.Bytes()))
		assert.Equal(t, string(reqrep.CodeUnknownMethod), answer.Header("error-code"), name)
	}
	settles(t, s, patterns.Counts{Malformed: 3})
}
