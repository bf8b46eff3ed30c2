package wire

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
)

// mark returns middleware that puts its name behind what a header has already.
func mark(name string) patterns.SendMiddleware {
	return func(next patterns.Sender) patterns.Sender {
		return func(ctx context.Context, o *patterns.Outgoing) error {
			o.Envelope.SetHeader("way", o.Envelope.Header("way")+name)
			return next(ctx, o)
		}
	}
}

func TestSealPassesThroughTheMiddleware(t *testing.T) {
	t.Parallel()
	s := NewSealer(patterns.Event, conf.Config{Codec: codec.JSON, SendMiddleware: []any{
		mark("a"), mark("b"), patterns.SendMiddleware(func(next patterns.Sender) patterns.Sender {
			return func(ctx context.Context, o *patterns.Outgoing) error {
				assert.Equal(t, patterns.Event, o.Kind)
				assert.Equal(t, "things.new", o.Name)
				assert.Equal(t, thing{1}, o.Value)
				assert.Empty(t, o.Envelope.Body)
				err := errors.Join(next(ctx, o), next(ctx, o))
				assert.JSONEq(t, `{"N":1}`, string(o.Envelope.Body))
				return err
			}
		}),
	}})
	var ids []codec.ID
	line := func(_ context.Context, _ *patterns.Outgoing, frame []byte) error {
		e, err := Open(frame)
		if err == nil {
			ids = append(ids, e.ID)
			assert.Equal(t, "ab", e.Header("way"))
		}
		return err
	}
	require.NoError(t, s.Seal(t.Context(), "things.new", &codec.Envelope{Type: "thing"}, thing{1}, nil, line))
	require.Len(t, ids, 2)
	assert.Equal(t, ids[0], ids[1], "sent again, it is the same message")
}

func TestMiddlewareMayRefuse(t *testing.T) {
	t.Parallel()
	errNo := errors.New("not today")
	s := Sealer{Codec: codec.JSON, Around: patterns.Around(func(patterns.Sender) patterns.Sender {
		return func(context.Context, *patterns.Outgoing) error { return errNo }
	})}
	assert.Equal(t, errNo, s.Seal(t.Context(), "", &codec.Envelope{}, thing{}, nil, nil))
}

// BenchmarkSealAround fails if middleware that allocates nothing makes sealing allocate.
func BenchmarkSealAround(b *testing.B) {
	pass := func(next patterns.Sender) patterns.Sender {
		return func(ctx context.Context, o *patterns.Outgoing) error { return next(ctx, o) }
	}
	s := Sealer{Codec: codec.Msgpack, Around: patterns.Around(pass, pass, pass)}
	send := func(context.Context, *patterns.Outgoing, []byte) error { return nil }
	v := &thing{1}
	one := func() {
		if err := s.Seal(b.Context(), "", &codec.Envelope{Type: "thing"}, v, nil, send); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
	if n := testing.AllocsPerRun(1000, one); n > 0 {
		b.Fatalf("%v allocations per message, want none", n)
	}
}
