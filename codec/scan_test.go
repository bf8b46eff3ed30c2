package codec

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestScanAcceptsEachForm(t *testing.T) {
	t.Parallel()
	fill := func(n int) []byte { return bytes.Repeat([]byte{0x01}, n) }
	cases := map[string][]byte{
		"positive fixint": {0x7f}, "negative fixint": {0xe0}, "nil": {0xc0}, "false": {0xc2}, "true": {0xc3},
		"fixmap": {0x81, 0x01, 0x02}, "empty fixmap": {0x80}, "fixarray": {0x92, 0x01, 0x02}, "empty fixarray": {0x90},
		"fixstr": {0xa2, 'h', 'i'}, "empty fixstr": {0xa0}, "bin8": {0xc4, 1, 0}, "empty bin8": {0xc4, 0},
		"bin16": append([]byte{0xc5, 0, 3}, fill(3)...), "bin32": append([]byte{0xc6, 0, 0, 0, 3}, fill(3)...),
		"ext8": append([]byte{0xc7, 3, 1}, fill(3)...), "ext16": append([]byte{0xc8, 0, 3, 1}, fill(3)...),
		"ext32":   append([]byte{0xc9, 0, 0, 0, 3, 1}, fill(3)...),
		"float32": append([]byte{0xca}, fill(4)...), "float64": append([]byte{0xcb}, fill(8)...),
		"uint8": append([]byte{0xcc}, fill(1)...), "uint16": append([]byte{0xcd}, fill(2)...),
		"uint32": append([]byte{0xce}, fill(4)...), "uint64": append([]byte{0xcf}, fill(8)...),
		"int8": append([]byte{0xd0}, fill(1)...), "int16": append([]byte{0xd1}, fill(2)...),
		"int32": append([]byte{0xd2}, fill(4)...), "int64": append([]byte{0xd3}, fill(8)...),
		"fixext1": append([]byte{0xd4, 1}, fill(1)...), "fixext2": append([]byte{0xd5, 1}, fill(2)...),
		"fixext4": append([]byte{0xd6, 1}, fill(4)...), "fixext8": append([]byte{0xd7, 1}, fill(8)...),
		"fixext16": append([]byte{0xd8, 1}, fill(16)...),
		"str8":     append([]byte{0xd9, 3}, fill(3)...), "str16": append([]byte{0xda, 0, 3}, fill(3)...),
		"str32":   append([]byte{0xdb, 0, 0, 0, 3}, fill(3)...),
		"array16": append([]byte{0xdc, 0, 3}, fill(3)...), "array32": append([]byte{0xdd, 0, 0, 0, 3}, fill(3)...),
		"map16": append([]byte{0xde, 0, 2}, fill(4)...), "map32": append([]byte{0xdf, 0, 0, 0, 2}, fill(4)...),
	}
	for name, data := range cases {
		require.NoError(t, Scan(data, Limits{}), name)
		for cut := range data {
			require.ErrorIs(t, Scan(data[:cut], Limits{}), ErrMalformed, "%s cut to %d bytes", name, cut)
		}
		longer := append(bytes.Clone(data), 0xc0)
		require.ErrorIs(t, Scan(longer, Limits{}), ErrMalformed, "%s and a byte", name)
	}
}

func TestScanSaysWhatAndWhere(t *testing.T) {
	t.Parallel()
	cases := []struct {
		data []byte
		want string
	}{
		{nil, "malformed message at byte 0: 1 more values expected, 0 bytes left"},
		{[]byte{0xc1}, "malformed message at byte 0: code 0xc1, which MessagePack never uses"},
		{[]byte{0x92, 0x01, 0xa5, 'a', 'b'}, "malformed message at byte 2: string of 5 bytes, 2 left"},
		{[]byte{0x91, 0xdd, 0, 0}, "malformed message at byte 1: array cut off in its header"},
		{[]byte{0x83, 0x01}, "malformed message at byte 0: map of 6 values, 1 bytes left"},
		{[]byte{0x92, 0x91, 0x01}, "malformed message at byte 3: 1 more values expected, 0 bytes left"},
		{[]byte{0x01, 0x02, 0x03}, "malformed message at byte 1: 2 bytes after the value"},
		{[]byte{0xc7, 0x00, 0x01}, "message over limit at byte 0: extension of 0 bytes, want 1 to 65536"},
	}
	for _, c := range cases {
		assert.EqualError(t, Scan(c.data, Limits{}), c.want)
	}
}

func TestScanLimits(t *testing.T) {
	t.Parallel()
	nested := func(depth int) []byte { return append(bytes.Repeat([]byte{0x91}, depth), 0xc0) }
	ext := func(n int) []byte { return append([]byte{0xc8, byte(n >> 8), byte(n), 1}, make([]byte, n)...) }
	cases := []struct {
		name   string
		data   []byte
		limits Limits
		ok     bool
	}{
		{"default depth", nested(DefaultDepth), Limits{}, true},
		{"beyond default depth", nested(DefaultDepth + 1), Limits{}, false},
		{"negative is default", nested(DefaultDepth), Limits{Depth: -1, Elements: -1, Ext: -1}, true},
		{"depth 1", nested(1), Limits{Depth: 1}, true},
		{"beyond depth 1", nested(2), Limits{Depth: 1}, false},
		{"raised depth", nested(1000), Limits{Depth: 1000}, true},
		{"beyond raised depth", nested(1001), Limits{Depth: 1000}, false},
		{"depth is capped", nested(MaxDepth + 1), Limits{Depth: 1 << 30}, false},
		{"up to the cap", nested(MaxDepth), Limits{Depth: 1 << 30}, true},
		{"elements", []byte{0x92, 0x91, 0x01, 0x02}, Limits{Elements: 3}, true},
		{"too many elements", []byte{0x92, 0x91, 0x01, 0x02}, Limits{Elements: 2}, false},
		{"a pair is two", []byte{0x81, 0x01, 0x02}, Limits{Elements: 1}, false},
		{"siblings add up", []byte{0x92, 0x92, 0x01, 0x01, 0x92, 0x01, 0x01}, Limits{Elements: 5}, false},
		{"ext", ext(300), Limits{Ext: 300}, true},
		{"ext too long", ext(301), Limits{Ext: 300}, false},
	}
	for _, c := range cases {
		err := Scan(c.data, c.limits)
		if c.ok {
			assert.NoError(t, err, c.name)
		} else {
			assert.ErrorIs(t, err, ErrLimit, c.name)
		}
	}
}

func TestScanRefusesHostile(t *testing.T) {
	for _, h := range hostile {
		requireBounded(t, 8<<10, func() { require.ErrorIs(t, Scan(h.data, Limits{}), h.want, h.name) })
	}
}

func TestScanDoesNotAllocate(t *testing.T) {
	data, err := Msgpack.Append(nil, map[string]any{"a": []int{1, 2, 3}, "b": map[string]string{"c": "d"}})
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = Scan(data, Limits{}) }))
}

func BenchmarkScan(b *testing.B) {
	data := sampleEnvelopeBytes(b, 256)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Scan(data, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleScan() {
	fiveBytes := []byte{0xdd, 0xff, 0xff, 0xff, 0xff}
	fmt.Println(Scan(fiveBytes, Limits{}))
	// Output: malformed message at byte 0: array of 4294967295 values, 0 bytes left
}
