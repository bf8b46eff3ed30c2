package codec

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the output part of testdata files")

func sampleEnvelope(body int) Envelope {
	return Envelope{
		ID: ID{15: 1}, CorrelationID: ID{15: 2}, CausationID: ID{15: 3},
		Time: time.Unix(1_700_000_000, 123_456_789).UTC(), SchemaVersion: 3,
		Type: "orders.created", Source: "desk", Codec: "msgpack",
		Headers: []Header{{HeaderTraceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, {"tenant", "blue"}},
		Body:    bytes.Repeat([]byte{0xab}, body),
	}
}

func sampleEnvelopeBytes(tb testing.TB, body int) []byte {
	e := sampleEnvelope(body)
	data, err := e.Append(nil)
	require.NoError(tb, err)
	return data
}

// TestEnvelopeGolden decodes the bytes in testdata/envelope/*.txt (comments,
// hexadecimal digits, "----") and compares what is printed with the rest of the
// file; -rewrite replaces that part.
func TestEnvelopeGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/envelope/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		input, want, found := strings.Cut(string(text), "----\n")
		require.True(t, found, "%s has no ---- line", file)
		got := describe(unhex(t, input))
		if *rewrite {
			require.NoError(t, os.WriteFile(file, []byte(input+"----\n"+got), 0o644))
			continue
		}
		assert.Equal(t, want, got, file)
	}
}

func unhex(t *testing.T, input string) []byte {
	var digits strings.Builder
	for line := range strings.Lines(input) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	data, err := hex.DecodeString(digits.String())
	require.NoError(t, err)
	return data
}

func describe(data []byte) string {
	var e Envelope
	if err := e.Decode(data); err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "id: %v\ncorrelation: %v\ncausation: %v\n", e.ID, e.CorrelationID, e.CausationID)
	fmt.Fprintf(&b, "time: %s\nschema: %d\n", e.Time.Format(time.RFC3339Nano), e.SchemaVersion)
	fmt.Fprintf(&b, "type: %q\nsource: %q\ncodec: %q\n", e.Type, e.Source, e.Codec)
	for _, h := range e.Headers {
		fmt.Fprintf(&b, "header: %q = %q\n", h.Key, h.Value)
	}
	fmt.Fprintf(&b, "body: %x\n", e.Body)
	again, err := e.Append(nil)
	fmt.Fprintf(&b, "appended again: same bytes %t, error %v\n", bytes.Equal(again, data), err)
	return b.String()
}

func TestEnvelopeRoundTrip(t *testing.T) {
	t.Parallel()
	long := sampleEnvelope(70_000)
	long.Type, long.Source, long.Codec = strings.Repeat("t", MaxName), strings.Repeat("é", 100), strings.Repeat("c", 32)
	long.Headers = nil
	for i := range MaxHeaders {
		long.SetHeader(fmt.Sprint("key", i), strings.Repeat("v", 200))
	}
	long.SetHeader("key0", strings.Repeat("w", 1000))
	cases := []Envelope{{}, sampleEnvelope(0), sampleEnvelope(1), sampleEnvelope(256), long}
	for _, n := range []uint32{0, 127, 128, 255, 256, 65535, 65536, math.MaxUint32} {
		cases = append(cases, Envelope{SchemaVersion: n})
	}
	for _, secs := range []int64{-1, 0, 1<<34 - 1, 1 << 34, -62135596800 + 1, 253402300799} {
		cases = append(cases, Envelope{Time: time.Unix(secs, 999_999_999).UTC()})
	}
	for _, in := range cases {
		data, err := in.Append([]byte{0xff})
		require.NoError(t, err)
		require.LessOrEqual(t, len(data)-1, in.maxSize())
		var out Envelope
		require.NoError(t, out.Decode(data[1:]))
		if len(out.Body) == 0 {
			out.Body = in.Body // nil or empty
		}
		require.Equal(t, in, out)
	}
}

func TestEnvelopeTimeLosesOnlyItsPlace(t *testing.T) {
	t.Parallel()
	in := Envelope{Time: time.Now().In(time.FixedZone("here", 3600))}
	data, err := in.Append(nil)
	require.NoError(t, err)
	var out Envelope
	require.NoError(t, out.Decode(data))
	assert.True(t, in.Time.Equal(out.Time))
	assert.Equal(t, time.UTC, out.Time.Location())
}

func TestEnvelopeBodyIsPartOfInput(t *testing.T) {
	t.Parallel()
	data := sampleEnvelopeBytes(t, 3)
	var e Envelope
	require.NoError(t, e.Decode(data))
	assert.Equal(t, &data[len(data)-3], &e.Body[0])
	assert.Equal(t, len(e.Body), cap(e.Body), "appending to Body must not write into the input")

	want := sampleEnvelope(3)
	clear(data)
	assert.Equal(t, want.Headers, e.Headers, "strings are copies")
	assert.Equal(t, want.Type, e.Type)
}

func TestEnvelopeDecodeReplacesEverything(t *testing.T) {
	t.Parallel()
	empty, err := new(Envelope).Append(nil)
	require.NoError(t, err)
	e := sampleEnvelope(3)
	require.NoError(t, e.Decode(empty))
	e.Headers, e.Body = nil, nil
	assert.Equal(t, Envelope{}, e)

	e = sampleEnvelope(3)
	require.Error(t, e.Decode(empty[:4]))
	assert.Equal(t, Envelope{}, e)
}

func TestEnvelopeHeaders(t *testing.T) {
	t.Parallel()
	var e Envelope
	assert.Empty(t, e.Header("a"))
	e.SetHeader("a", "1")
	e.SetHeader("b", "2")
	e.SetHeader("a", "3")
	assert.Equal(t, []Header{{"a", "3"}, {"b", "2"}}, e.Headers)
	assert.Equal(t, "3", e.Header("a"))
	assert.Empty(t, e.Header("A"), "case matters")
}

func TestEnvelopeAppendErrors(t *testing.T) {
	t.Parallel()
	many := make([]Header, MaxHeaders+1)
	for i := range many {
		many[i].Key = fmt.Sprint(i)
	}
	cases := []struct {
		name string
		e    Envelope
		is   error
		text string
	}{
		{"long type", Envelope{Type: strings.Repeat("x", MaxName+1)}, ErrLimit, "envelope type: message over limit: 256 bytes, want at most 255"},
		{"long source", Envelope{Source: strings.Repeat("x", MaxName+1)}, ErrLimit, "envelope source"},
		{"long codec", Envelope{Codec: strings.Repeat("x", MaxName+1)}, ErrLimit, "envelope codec"},
		{"type not UTF-8", Envelope{Type: "\xff"}, ErrMalformed, `envelope type: malformed message: "\xff" is not UTF-8`},
		{"many headers", Envelope{Headers: many}, ErrLimit, "65 headers, want at most 64"},
		{"large headers", Envelope{Headers: []Header{{"k", strings.Repeat("v", MaxHeaderBytes)}}}, ErrLimit, "want at most 16384 bytes"},
		{"no key", Envelope{Headers: []Header{{"", "v"}}}, ErrMalformed, "envelope header 0"},
		{"key not UTF-8", Envelope{Headers: []Header{{"\xff", "v"}}}, ErrMalformed, "envelope header 0"},
		{"value not UTF-8", Envelope{Headers: []Header{{"k", "\xff"}}}, ErrMalformed, "envelope header 0"},
		{"twice", Envelope{Headers: []Header{{"k", "1"}, {"l", ""}, {"k", "2"}}}, ErrMalformed, `envelope header 2: malformed message: key "k" is there twice`},
	}
	for _, c := range cases {
		out, err := c.e.Append([]byte("kept"))
		require.ErrorIs(t, err, c.is, c.name)
		require.ErrorContains(t, err, c.text, c.name)
		assert.Equal(t, "kept", string(out), c.name)
	}
}

func TestEnvelopeDecodeErrors(t *testing.T) {
	manyPairs := func(n int) []byte {
		pairs := []byte{0xde, byte(n >> 8), byte(n)}
		for i := range n {
			pairs = append(pairs, 0xa2, byte('a'+i/26%26), byte('a'+i%26), 0xa0)
		}
		return pairs
	}
	// with is an envelope whose elements from number i are as given.
	with := func(i int, elements ...byte) []byte {
		nils := bytes.Repeat([]byte{0xc0}, i)
		nils[0] = 0x01
		return append(append([]byte{0x90 | byte(i+1)}, nils...), elements...)
	}
	cases := []struct {
		name string
		data []byte
		is   error
		text string
	}{
		{"nothing", nil, ErrMalformed, "envelope: malformed message at byte 0"},
		{"not an array", []byte{0x80}, ErrMalformed, "envelope: malformed message at byte 0: map, want array"},
		{"nil", []byte{0xc0}, ErrMalformed, "no elements, want a version"},
		{"no version", []byte{0x90}, ErrMalformed, "no elements, want a version"},
		{"nil version", []byte{0x91, 0xc0}, ErrVersion, "unknown envelope version 0: want 1"},
		{"version 2", []byte{0x91, 0x02}, ErrVersion, "unknown envelope version 2: want 1"},
		{"text version", []byte{0x91, 0xa1, '1'}, ErrMalformed, "byte 1: string, want integer"},
		{"trailing", []byte{0x91, 0x01, 0x00}, ErrMalformed, "byte 2: 1 bytes after the value"},
		{"short id", with(1, 0xc4, 2, 1, 2), ErrMalformed, "id of 2 bytes, want 16"},
		{"long id", with(1, append([]byte{0xc4, 17}, make([]byte, 17)...)...), ErrMalformed, "id of 17 bytes, want 16"},
		{"text id", with(1, 0xa0), ErrMalformed, "string, want binary"},
		{"integer time", with(4, 0x01), ErrMalformed, "integer, want extension"},
		{"other extension", with(4, 0xd6, 5, 0, 0, 0, 0), ErrMalformed, "extension of type 5, want timestamp, -1"},
		{"odd timestamp", with(4, 0xd5, 0xff, 0, 0), ErrMalformed, "timestamp of 2 bytes"},
		{"a second of nanoseconds", with(4, 0xd7, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), ErrMalformed, "want less than a second"},
		{"negative schema", with(5, 0xff), ErrMalformed, "integer out of range"},
		{"negative wide schema", with(5, 0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), ErrMalformed, "integer out of range"},
		{"huge schema", with(5, 0xcf, 0, 0, 0, 1, 0, 0, 0, 0), ErrMalformed, "integer out of range"},
		{"binary type", with(6, 0xc4, 0), ErrMalformed, "binary, want string"},
		{"long type", with(6, append([]byte{0xda, 1, 0}, make([]byte, 256)...)...), ErrLimit, "envelope type"},
		{"huge type", with(6, append([]byte{0xdb, 0, 0x10, 0, 0}, make([]byte, 1<<20)...)...), ErrLimit, "of names and headers"},
		{"nested type", with(6, 0x91, 0x91, 0xa0), ErrMalformed, "array, want string"},
		{"type not UTF-8", with(6, 0xa1, 0xff), ErrMalformed, "is not UTF-8"},
		{"headers as array", with(9, 0x90), ErrMalformed, "array, want map"},
		{"many headers", with(9, manyPairs(MaxHeaders+1)...), ErrLimit, "65 headers, want at most 64"},
		{"header twice", with(9, 0x82, 0xa1, 'k', 0xa0, 0xa1, 'k', 0xa0), ErrMalformed, "there twice"},
		{"header value of bytes", with(9, 0x81, 0xa1, 'k', 0xc4, 0), ErrMalformed, "binary, want string"},
		{"header key nil", with(9, 0x81, 0xc0, 0xa0), ErrMalformed, "want UTF-8 and a key"},
		{"text body", with(10, 0xa1, 'x'), ErrMalformed, "string, want binary"},
		{"hostile body", with(10, 0xc6, 0xff, 0xff, 0xff, 0xff), ErrMalformed, "binary of 4294967295 bytes, 0 left"},
		{"hostile later element", with(11, 0xdd, 0xff, 0xff, 0xff, 0xff), ErrMalformed, "array of 4294967295 values, 0 bytes left"},
		{"deep later element", with(11, bytes.Repeat([]byte{0x91}, 2<<20)...), ErrLimit, "nested deeper"},
	}
	for _, c := range cases {
		requireBounded(t, 64<<10, func() {
			var e Envelope
			err := e.Decode(c.data)
			require.ErrorIs(t, err, c.is, c.name)
			require.ErrorContains(t, err, c.text, c.name)
			require.Equal(t, Envelope{}, e, c.name)
		})
	}
	for _, h := range hostile {
		require.Error(t, new(Envelope).Decode(h.data), h.name)
	}
}

// Any MessagePack library can read an envelope: it is an ordinary array.
func TestEnvelopeIsOrdinaryMsgpack(t *testing.T) {
	t.Parallel()
	e := sampleEnvelope(2)
	var got []any
	require.NoError(t, msgpack.Unmarshal(sampleEnvelopeBytes(t, 2), &got))
	require.Len(t, got, elemCount)
	at, ok := got[elemTime].(time.Time)
	require.True(t, ok, "time is the standard extension")
	assert.True(t, e.Time.Equal(at))
	got[elemTime] = nil
	assert.Equal(t, []any{
		int8(1), e.ID[:], e.CorrelationID[:], e.CausationID[:], nil, int8(3), e.Type, e.Source, e.Codec,
		map[string]any{HeaderTraceparent: e.Header(HeaderTraceparent), "tenant": "blue"}, e.Body,
	}, got)
}

// And one written by another library, in whatever forms it chooses, is read.
func TestEnvelopeFromOtherLibrary(t *testing.T) {
	t.Parallel()
	e := sampleEnvelope(2)
	data, err := msgpack.Marshal([]any{
		int64(1), e.ID[:], e.CorrelationID[:], e.CausationID[:], e.Time, uint64(3), e.Type, e.Source, e.Codec,
		map[string]string{"tenant": "blue"}, e.Body, "an element of a later version", []int{1, 2},
	})
	require.NoError(t, err)
	var got Envelope
	require.NoError(t, got.Decode(data))
	e.Headers = []Header{{"tenant", "blue"}}
	assert.Equal(t, e, got)
}

func TestEnvelopeAllocations(t *testing.T) {
	e := sampleEnvelope(100)
	buf := make([]byte, 0, e.maxSize())
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = e.Append(buf) }), "encode")

	data := sampleEnvelopeBytes(t, 100)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = new(Envelope).Decode(data) }), 2.0, "decode")
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = e.Decode(data) }), 1.0, "decode into one used before")
}

func BenchmarkEnvelopeAppend(b *testing.B) {
	e := sampleEnvelope(100)
	buf := make([]byte, 0, e.maxSize())
	if n := testing.AllocsPerRun(100, func() { _, _ = e.Append(buf) }); n != 0 {
		b.Fatalf("%v allocations to encode an envelope, want 0", n)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Append(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEnvelopeDecode(b *testing.B) {
	data := sampleEnvelopeBytes(b, 100)
	var e Envelope
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
