package wire

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
)

type thing struct{ N int }

type page[T any] struct{ Items []T }

func TestTypeName(t *testing.T) {
	t.Parallel()
	for want, v := range map[string]any{
		"thing": thing{},
		"ID":    new(codec.ID),
	} {
		assert.Equal(t, want, TypeName(reflect.TypeOf(v)))
	}
	for _, v := range []any{nil, 1, "s", []thing{}, map[string]thing{}, struct{}{}, func() {}} {
		assert.Empty(t, TypeName(reflect.TypeOf(v)), "%T", v)
	}
	assert.True(t, strings.HasPrefix(TypeName(reflect.TypeFor[page[int]]()), "page["))
	assert.Empty(t, TypeName(reflect.TypeFor[any]()))
}

// seal returns what a Sealer makes of an envelope, decoded.
func seal(ctx context.Context, t *testing.T, e codec.Envelope, v any, opts ...patterns.SendOption) *codec.Envelope {
	t.Helper()
	s := Sealer{Codec: codec.JSON, Source: "here"}
	var out *codec.Envelope
	require.NoError(t, s.Seal(ctx, "", &e, v, opts, func(_ context.Context, _ *patterns.Outgoing, frame []byte) (err error) {
		out, err = Open([]byte(string(frame)))
		return err
	}))
	return out
}

func TestSeal(t *testing.T) {
	t.Parallel()
	e := seal(t.Context(), t, codec.Envelope{Type: "thing"}, thing{1})
	assert.False(t, e.ID.IsZero())
	assert.Equal(t, e.ID, e.Conversation())
	assert.Zero(t, e.CorrelationID)
	assert.Zero(t, e.CausationID)
	assert.Equal(t, "here", e.Source)
	assert.Equal(t, "json", e.Codec)
	assert.JSONEq(t, `{"N":1}`, string(e.Body))
	var v thing
	require.NoError(t, Decode(e, codec.Msgpack, nil, &v), "the envelope names the codec")
	assert.Equal(t, thing{1}, v)

	e = seal(t.Context(), t, codec.Envelope{}, nil)
	assert.Equal(t, "null", string(e.Body), "nil is a value")
	e = seal(t.Context(), t, codec.Envelope{}, NoBody)
	assert.Empty(t, e.Body)
	assert.Empty(t, e.Codec)
}

func TestSealContinuesAConversation(t *testing.T) {
	t.Parallel()
	parent := &codec.Envelope{ID: codec.NewID(), CorrelationID: codec.NewID(), Headers: []codec.Header{
		{Key: codec.HeaderTraceparent, Value: "tp"}, {Key: codec.HeaderTracestate, Value: "ts"}, {Key: "x", Value: "y"},
	}}
	ctx := patterns.NewContext(t.Context(), parent)
	e := seal(ctx, t, codec.Envelope{}, thing{})
	assert.Equal(t, parent.CorrelationID, e.CorrelationID)
	assert.Equal(t, parent.ID, e.CausationID)
	assert.Equal(t, parent.Headers[:2], e.Headers)

	e = seal(ctx, t, codec.Envelope{}, thing{}, patterns.WithHeader(codec.HeaderTraceparent, "a span of its own"))
	assert.Equal(t, "a span of its own", e.Header(codec.HeaderTraceparent))

	parent.CorrelationID = codec.ID{}
	e = seal(ctx, t, codec.Envelope{}, thing{})
	assert.Equal(t, parent.ID, e.CorrelationID, "it began the conversation")
}

func TestSealReturnsTheErrorOfSend(t *testing.T) {
	t.Parallel()
	s := Sealer{Codec: codec.Msgpack}
	errLine := errors.New("line is cut")
	err := s.Seal(t.Context(), "", &codec.Envelope{}, thing{}, nil, func(context.Context, *patterns.Outgoing, []byte) error { return errLine })
	assert.Equal(t, errLine, err)
}

type ownCodec struct{ codec.Codec }

func (ownCodec) Name() string { return "own" }

// The memory that large messages are made in serves again, whichever way they are made: new memory for each costs more than all else about them.
func TestSealer_LargeMessagesUseMemoryAgain(t *testing.T) {
	type large struct{ Data []byte }
	s := Sealer{Kind: patterns.Work, Codec: codec.Msgpack}
	stencil := s.Stencil("large", nil, reflect.TypeFor[large]())
	const size, messages = 1 << 20, 40
	v := large{make([]byte, size)}
	var b Buffer
	plain := func() error {
		defer b.Close()
		_, err := s.Frame(t.Context(), &b, &stencil, "large", nil, &v)
		return err
	}
	withOptions := func() error {
		return s.Seal(t.Context(), "", &codec.Envelope{Type: "large"}, &v, nil, func(context.Context, *patterns.Outgoing, []byte) error { return nil })
	}
	for _, way := range []struct {
		make func() error
		most uint64 // of bytes for each message, which took once and twice its size; the race detector's pools forget a quarter
	}{{plain, size * 3 / 4}, {withOptions, size * 15 / 8}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range messages {
			require.NoError(t, way.make())
		}
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, messages*way.most)
	}
	require.Zero(t, cap(b.frame)+cap(b.body), "a Buffer keeps nothing large")
}

// What one large message was made in does not stay where small ones follow.
func TestBuffer_SmallMessagesLetGoOfLargeMemory(t *testing.T) {
	t.Parallel()
	type text struct{ Data []byte }
	s := Sealer{Kind: patterns.Work, Codec: codec.Msgpack}
	var b Buffer
	for _, size := range []int{10, 1 << 20, 10, 10, largeLimit + 1, 10} {
		frame, err := s.FrameWith(t.Context(), &b, "text", nil, text{bytes.Repeat([]byte{'x'}, size)})
		require.NoError(t, err)
		var out text
		e, err := Open(frame)
		require.NoError(t, err)
		require.NoError(t, Decode(e, s.Codec, nil, &out))
		require.Len(t, out.Data, size)
		b.Close()
		require.LessOrEqual(t, cap(b.frame), keepLimit)
		require.LessOrEqual(t, cap(b.body), keepLimit)
		require.Nil(t, b.large)
	}
}

func TestCodecOf(t *testing.T) {
	t.Parallel()
	own := ownCodec{codec.JSON}
	for name, want := range map[string]codec.Codec{"": own, "own": own, "raw": codec.Raw} {
		got, err := CodecOf(&codec.Envelope{Codec: name}, own)
		require.NoError(t, err)
		assert.Equal(t, want, got, name)
	}
	_, err := CodecOf(&codec.Envelope{Codec: "other"}, own)
	assert.ErrorIs(t, err, codec.ErrUnknown)
}

func TestCheckType(t *testing.T) {
	t.Parallel()
	assert.NoError(t, CheckType(&codec.Envelope{Type: "A"}, "A"))
	assert.NoError(t, CheckType(&codec.Envelope{Type: "A"}, ""))
	assert.NoError(t, CheckType(&codec.Envelope{}, "A"))
	err := CheckType(&codec.Envelope{Type: "A"}, "B")
	assert.ErrorIs(t, err, patterns.ErrType)
	assert.EqualError(t, err, `unexpected type "A": want "B"`)
}

// BenchmarkSeal fails if sealing takes more than the one allocation of a value's way into an interface.
func BenchmarkSeal(b *testing.B) {
	s := Sealer{Codec: codec.Msgpack, Source: "bench"}
	ctx := b.Context()
	var size int
	send := func(_ context.Context, _ *patterns.Outgoing, frame []byte) error { size = len(frame); return nil }
	one := func() {
		if err := s.Seal(ctx, "", &codec.Envelope{Type: "thing"}, &thing{1}, nil, send); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
	b.SetBytes(int64(size))
	if n := testing.AllocsPerRun(1000, one); n > 1 {
		b.Fatalf("%v allocations per message, want at most 1", n)
	}
}

// FuzzOpen feeds what a peer may send to all that reads it.
func FuzzOpen(f *testing.F) {
	frame, err := (&codec.Envelope{Type: "thing", Codec: "json", Body: []byte(`{"N":1}`)}).Append(nil)
	require.NoError(f, err)
	f.Add(frame)
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, frame []byte) {
		e, err := Open(frame)
		if err != nil {
			assert.Nil(t, e)
			assert.ErrorIs(t, err, patterns.ErrMalformed)
			return
		}
		for _, v := range []any{new(thing), new(any), new([]byte), new(map[string]any)} {
			if err := Decode(e, codec.Msgpack, nil, v); err != nil {
				assert.ErrorIs(t, err, patterns.ErrMalformed)
			}
		}
	})
}
