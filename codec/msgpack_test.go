package codec

import (
	"bytes"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
)

type order struct {
	ID     ID                `msgpack:"id"`
	Amount int64             `msgpack:"amount"`
	Lines  []string          `msgpack:"lines"`
	Tags   map[string]string `msgpack:"tags,omitempty"`
	At     time.Time         `msgpack:"at"`
	Due    *time.Time        `msgpack:"due"`
	Blob   []byte            `msgpack:"blob"`
}

func sampleOrder() order {
	due := time.Date(2100, 1, 2, 3, 4, 5, 6, time.UTC)
	return order{
		ID: ID{1, 2, 3}, Amount: -1 << 40, Lines: []string{"tea", strings.Repeat("x", 300)},
		Tags: map[string]string{"b": "2", "a": "1", "c": "3"}, At: time.Unix(1_700_000_000, 999).UTC(), Due: &due, Blob: []byte{0, 1},
	}
}

func TestMsgpackRoundTrip(t *testing.T) {
	t.Parallel()
	in := sampleOrder()
	data, err := Msgpack.Append([]byte("before"), in)
	require.NoError(t, err)
	require.Equal(t, "before", string(data[:6]))

	var out order
	require.NoError(t, Msgpack.Unmarshal(data[6:], &out))
	out.At, *out.Due = out.At.UTC(), out.Due.UTC() // the library decodes into local time
	assert.Equal(t, in, out)
}

func TestMsgpackIsCompactAndDeterministic(t *testing.T) {
	t.Parallel()
	data, err := Msgpack.Append(nil, int64(5))
	require.NoError(t, err)
	assert.Equal(t, []byte{0x05}, data)
	data, err = Msgpack.Append(nil, map[string]any{"c": int64(3), "b": uint64(200), "a": nil})
	require.NoError(t, err)
	assert.Equal(t, []byte{0x83, 0xa1, 'a', 0xc0, 0xa1, 'b', 0xcc, 200, 0xa1, 'c', 0x03}, data)
}

func TestMsgpackUnknownFieldsAreSkipped(t *testing.T) {
	t.Parallel()
	data, err := Msgpack.Append(nil, map[string]any{"new": []any{1, map[string]any{"x": time.Now()}}, "amount": 7})
	require.NoError(t, err)
	var out order
	require.NoError(t, Msgpack.Unmarshal(data, &out))
	assert.Equal(t, int64(7), out.Amount)
}

// No count, length or depth is believed, whatever the destination: neither running
// out of memory nor out of stack could be recovered from.
func TestMsgpackRefusesHostile(t *testing.T) {
	for _, h := range hostile {
		for _, v := range targets() {
			requireBounded(t, 64<<10, func() {
				require.ErrorIs(t, Msgpack.Unmarshal(h.data, v), h.want, "%s into %T", h.name, v)
			})
		}
	}
}

// No value is read from inside an extension, into which the scan has not looked.
func TestMsgpackExtensionIsNoMap(t *testing.T) {
	hugeMap := []byte{0xdf, 0xff, 0xff, 0xff, 0xff, 0, 0, 0}
	timestamp := append([]byte{0xd7, 0xff}, hugeMap...)
	cases := map[string]struct {
		data []byte
		v    any
	}{
		"ext8":             {append([]byte{0xc7, 8, 1}, hugeMap...), new(map[string]any)},
		"timestamp":        {timestamp, new(map[string]any)},
		"typed map":        {timestamp, new(map[string]string)},
		"reflected map":    {timestamp, new(map[int]int)},
		"in a field":       {append([]byte{0x81, 0xa1, 'm'}, timestamp...), new(tree)},
		"nil payload":      {[]byte{0xd4, 1, 0xc0}, new(map[string]any)},
		"after a good one": {append([]byte{0x92, 0xd4, 1, 0x80}, timestamp...), new([]map[string]any)},
		"after bytes":      {append([]byte{0x82, 0xa1, 'b', 0xc4, 2, 1, 2, 0xa1, 'm'}, timestamp...), new(tree)},
	}
	for name, c := range cases {
		require.NoError(t, Scan(c.data, Limits{}), name)
		requireBounded(t, 64<<10, func() { require.ErrorIs(t, Msgpack.Unmarshal(c.data, c.v), ErrType, name) })
	}
	empty := bytes.Repeat([]byte{0x81, 0xa0, 0xc7, 0, 1}, 3)
	require.ErrorIs(t, Msgpack.Unmarshal(append([]byte{0x93}, empty...), new([]mapTree)), ErrLimit)
}

func TestMsgpackExtensionsInTheirPlace(t *testing.T) {
	t.Parallel()
	type stamps struct {
		A, B time.Time
		M    map[string]string
		C    *time.Time
	}
	c := time.Unix(3, 0)
	in := stamps{A: time.Unix(1, 2), B: time.Unix(math.MaxUint32*8, 1), M: map[string]string{"k": "v"}, C: &c}
	data, err := Msgpack.Append(nil, in)
	require.NoError(t, err)
	var out stamps
	require.NoError(t, Msgpack.Unmarshal(data, &out))
	assert.Equal(t, in, out)

	var skipped struct{ M map[string]string } // A, B and C are unknown here
	require.NoError(t, Msgpack.Unmarshal(data, &skipped))
	assert.Equal(t, in.M, skipped.M)

	var raw struct{ A, M msgpack.RawMessage }
	require.NoError(t, Msgpack.Unmarshal(data, &raw))
	require.NoError(t, Msgpack.Unmarshal(raw.M, &skipped.M))
}

type lazyDecoder struct{}

func (*lazyDecoder) DecodeMsgpack(*msgpack.Decoder) error { return nil }

func TestMsgpackDecodeErrors(t *testing.T) {
	t.Parallel()
	var nilOrder *order
	cases := []struct {
		name string
		data []byte
		v    any
		is   error
		text string
	}{
		{"no destination", []byte{1}, nil, ErrType, "msgpack decode into nil: unsuitable type: want a non-nil pointer"},
		{"not a pointer", []byte{1}, order{}, ErrType, "decode into codec.order: unsuitable type: want a non-nil pointer"},
		{"nil pointer", []byte{1}, nilOrder, ErrType, "decode into nil *codec.order: unsuitable type: want a non-nil pointer"},
		{"wrong kind", []byte{0xa1, 'x'}, new(int), nil, "msgpack decode into *int: msgpack: invalid code=a1"},
		{"nothing", nil, new(int), ErrMalformed, "msgpack decode into *int: malformed message at byte 0"},
		{"two values", []byte{1, 2}, new(int), ErrMalformed, "at byte 1: 1 bytes after the value"},
		{"unhashable key", []byte{0x81, 0x91, 1, 2}, new(map[any]any), ErrType, "unhashable"},
		{"any twice", []byte("\x82\xa1a\x80\xa1a\x80"), new(tree), ErrType, "unaddressable"},
		{"unread", []byte{0x91, 2}, new(lazyDecoder), ErrMalformed, "left 2 bytes unread"},
	}
	for _, c := range cases {
		err := Msgpack.Unmarshal(c.data, c.v)
		require.ErrorContains(t, err, c.text, c.name)
		if c.is != nil {
			assert.ErrorIs(t, err, c.is, c.name)
		}
	}
}

func TestMsgpackEncodeErrors(t *testing.T) {
	t.Parallel()
	dst := []byte("kept")
	out, err := Msgpack.Append(dst, struct{ C chan int }{})
	require.ErrorContains(t, err, "msgpack encode struct { C chan int }")
	assert.Equal(t, dst, out)

	var deep any
	for range DefaultDepth + 1 {
		deep = []any{deep}
	}
	out, err = Msgpack.Append(dst, deep)
	require.ErrorIs(t, err, ErrLimit, "what no receiver would accept is not sent")
	assert.Equal(t, dst, out)

	deeper := MsgpackWithLimits(Limits{Depth: 100})
	out, err = deeper.Append(nil, deep)
	require.NoError(t, err)
	var back any
	require.NoError(t, deeper.Unmarshal(out, &back))
	assert.Equal(t, deep, back)
}

func TestMsgpackSharesNoMemory(t *testing.T) {
	t.Parallel()
	data, err := Msgpack.Append(nil, sampleOrder())
	require.NoError(t, err)
	var out order
	require.NoError(t, Msgpack.Unmarshal(data, &out))
	clear(data)
	assert.Equal(t, sampleOrder().Lines, out.Lines)
	assert.Equal(t, sampleOrder().Blob, out.Blob)
	assert.Equal(t, sampleOrder().Tags, out.Tags)
}

// Failures and large messages in between must not spoil pooled parts.
func TestMsgpackConcurrentUse(t *testing.T) {
	t.Parallel()
	want, err := Msgpack.Append(nil, sampleOrder())
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				got, err := Msgpack.Append(nil, sampleOrder())
				assert.NoError(t, err)
				assert.Equal(t, want, got)
				assert.Error(t, Msgpack.Unmarshal(got[:len(got)-1], new(order)))
				assert.Error(t, Msgpack.Unmarshal(got, new([]int)))
				var out order
				assert.NoError(t, Msgpack.Unmarshal(got, &out))
				assert.Equal(t, sampleOrder().Lines, out.Lines)
				if i%50 == 0 {
					_, err = Msgpack.Append(nil, [2 * keepLimit]byte{})
					assert.NoError(t, err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkMsgpackAppend(b *testing.B) {
	v := &tree{Name: "name", Blob: make([]byte, 100)}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Msgpack.Append(buf, v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMsgpackUnmarshal(b *testing.B) {
	data, err := Msgpack.Append(nil, &tree{Name: "name", Blob: make([]byte, 100)})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		var out tree
		if err := Msgpack.Unmarshal(data, &out); err != nil {
			b.Fatal(err)
		}
	}
}
