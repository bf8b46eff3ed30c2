package reqrep_test

import (
	"context"
	"iter"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
)

// Complaint has the fields of a Question, and is none.
type Complaint struct{ Text string }

// A request of another type than the method takes is not handled, which both ends learn; a reply of another type than the caller wants is an error of the call.
// Types without a name suit all.
func TestWrongTypes_AreErrorsOfTheCaller(t *testing.T) {
	t.Parallel()
	for _, c := range []codec.Codec{codec.Msgpack, codec.JSON} {
		t.Run(c.Name(), func(t *testing.T) {
			t.Parallel()
			hook, errs := errorHook()
			s, addr := serve(t, hook)
			require.NoError(t, reqrep.HandleStream(s, "repeat", func(_ context.Context, q Question) iter.Seq2[Answer, error] {
				return func(yield func(Answer, error) bool) { yield(Answer(q), nil) }
			}))
			client := dial(t, []patterns.Option{patterns.WithCodec(c)}, addr)
			refused := func(err error) {
				t.Helper()
				var answer *reqrep.Error
				require.ErrorAs(t, err, &answer)
				assert.Equal(t, reqrep.CodeWrongType, answer.Code)
				require.ErrorIs(t, err, patterns.ErrType)
				require.ErrorContains(t, err, `"Complaint": want "Question"`)
				require.ErrorIs(t, <-errs, patterns.ErrType)
			}
			_, err := reqrep.Call[Complaint, Answer](within(t), client, "echo", Complaint{"no"})
			refused(err)
			for _, err := range reqrep.Stream[*Complaint, Answer](within(t), client, "repeat", &Complaint{"no"}) {
				refused(err)
			}
			unwanted := func(err error) {
				t.Helper()
				require.ErrorIs(t, err, patterns.ErrType)
				require.ErrorContains(t, err, `"Answer": want "Complaint"`)
			}
			_, err = reqrep.Call[Question, Complaint](within(t), client, "echo", Question{"x"})
			unwanted(err)
			for _, err := range reqrep.Stream[Question, Complaint](within(t), client, "repeat", Question{"x"}) {
				unwanted(err)
			}
			for reply := range reqrep.Scatter[Question, Complaint](within(t), client, "echo", Question{"x"}) {
				unwanted(reply.Err)
			}
			same, err := reqrep.Call[map[string]string, struct{ Text string }](within(t), client, "echo", map[string]string{"Text": "x"})
			require.NoError(t, err)
			assert.Equal(t, "x", same.Text)
			assert.Empty(t, errs)
		})
	}
}

// That the answer to a call of a handler's own was of another type is no fault of the request that the handler works at.
func TestWrongTypes_OfAnotherService(t *testing.T) {
	t.Parallel()
	_, behind := serve(t)
	s, addr := serve(t, silent())
	client := dial(t, nil, behind)
	require.NoError(t, reqrep.Handle(s, "front", func(ctx context.Context, q Question) (Answer, error) {
		_, err := reqrep.Call[Question, Complaint](ctx, client, "echo", q)
		return Answer{}, err
	}))
	_, err := ask(t, dial(t, nil, addr), "front", "x")
	var answer *reqrep.Error
	require.ErrorAs(t, err, &answer)
	assert.Equal(t, reqrep.CodeInternal, answer.Code)
}
