package codec

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
)

type celsius float64

// flat has all that a shape may consist of.
type flat struct {
	Yes    bool
	Int    int
	Small  int8          `msgpack:"small"`
	Large  uint64        `msgpack:"large"`
	Port   uint16        `msgpack:"port"`
	Single float32       `msgpack:"single"`
	Warm   celsius       `msgpack:"warm"`
	Name   string        `msgpack:"name"`
	Blob   []byte        `msgpack:"blob"`
	At     time.Time     `msgpack:"at"`
	Took   time.Duration `msgpack:"took"`
	Inner  struct {
		Kind string
		Blob []byte
	}
	Left  chan int `msgpack:"-"`
	local func()
}

func sampleFlat(i int) (v flat) {
	v.local = nil
	if i == 0 {
		return v
	}
	ints := []int64{0, 1, -1, -32, -33, math.MinInt8, math.MinInt8 - 1, math.MaxInt8, math.MaxUint8, math.MinInt16, math.MinInt16 - 1, math.MaxUint16,
		math.MinInt32, math.MinInt32 - 1, math.MaxUint32, math.MaxUint32 + 1, math.MinInt64, math.MaxInt64}
	n := ints[i%len(ints)]
	long := strings.Repeat("x", []int{0, 1, 31, 32, 255, 256, 65535, 65536}[i%8])
	v = flat{Yes: i%2 == 0, Int: int(n), Small: int8(n), Large: uint64(n), Port: uint16(n), Single: float32(n) / 3, Warm: celsius(n) / 3, Name: long,
		Blob: []byte(long), At: time.Unix(n>>20, int64(i%2)), Took: time.Duration(n)}
	v.Inner.Kind, v.Inner.Blob = "kind", []byte(long)
	return v
}

// Shapes write what the library writes, and read what it reads.
func TestShapeIsTheLibrarys(t *testing.T) {
	t.Parallel()
	s := shapeOf(reflect.TypeFor[flat]())
	require.NotNil(t, s)
	for i := range 40 {
		in := sampleFlat(i)
		want, err := appendMsgpack(nil, &in)
		require.NoError(t, err)
		for _, v := range []any{in, &in} {
			got, err := Msgpack.Append([]byte("before"), v)
			require.NoError(t, err)
			require.Equal(t, want, got[6:], "%d: %T", i, v)
		}
		var lib, own flat
		require.NoError(t, decodeMsgpack(want, 0, &lib))
		require.Equal(t, len(want), s.read(want, 0, reflect.ValueOf(&own).Elem(), nil))
		require.Equal(t, lib, own)
		for cut := range min(len(want), 300) {
			require.NotEqual(t, cut, s.read(want[:cut:cut], 0, reflect.ValueOf(&own).Elem(), nil), "cut to %d bytes", cut)
			require.Error(t, Msgpack.Unmarshal(want[:cut], &own))
		}
	}
}

func TestShapeReadsIntoWhatIsThere(t *testing.T) {
	t.Parallel()
	data, err := Msgpack.Append(nil, map[string]any{"name": "new", "blob": []byte("b")})
	require.NoError(t, err)
	room := make([]byte, 8)
	v := flat{Name: "old", Int: 7, Blob: room}
	require.NoError(t, Msgpack.Unmarshal(data, &v))
	assert.Equal(t, flat{Name: "new", Int: 7, Blob: []byte("b")}, v)
	assert.Same(t, &room[0], &v.Blob[0])
	clear(data)
	assert.Equal(t, "new", v.Name, "it shares no memory")
}

// What is not in the form that shapes write is left to the library, and its answer stands.
func TestShapeLeavesTheRestToTheLibrary(t *testing.T) {
	t.Parallel()
	s := shapeOf(reflect.TypeFor[flat]())
	for name, c := range map[string]struct {
		v    any
		want flat
	}{
		"unknown field":     {map[string]any{"new": []int{1}, "name": "n"}, flat{Name: "n"}},
		"nil":               {map[string]any{"name": nil}, flat{}},
		"bytes as string":   {map[string]any{"name": []byte("n")}, flat{Name: "n"}},
		"integer as float":  {map[string]any{"warm": 3}, flat{Warm: 3}},
		"nothing at all":    {nil, flat{}},
		"array, its fields": {[]any{}, flat{}},
	} {
		data, err := Msgpack.Append(nil, c.v)
		require.NoError(t, err)
		var v flat
		require.NotEqual(t, len(data), s.read(data, 0, reflect.ValueOf(&v).Elem(), nil), name)
		require.NoError(t, Msgpack.Unmarshal(data, &v), name)
		assert.Equal(t, c.want, v, name)
	}
}

type registered int

func TestWhatHasNoShape(t *testing.T) {
	t.Parallel()
	msgpack.RegisterExtEncoder(99, registered(0), func(*msgpack.Encoder, reflect.Value) ([]byte, error) { return []byte{1}, nil })
	type embedded struct{ order }
	type array struct {
		_msgpack struct{} `msgpack:",as_array"`
		A        int
	}
	_ = array{}._msgpack
	for _, v := range []any{
		order{}, tree{}, ID{}, any(1), map[string]int{}, []string{}, [2]byte{}, embedded{}, array{}, registered(1),
		struct{ R registered }{}, struct{ P *int }{}, struct {
			A int `msgpack:",omitempty"`
		}{}, struct {
			A int `msgpack:"b"`
			B int `msgpack:"b"`
		}{}, struct{ lazyDecoder }{}, lazyDecoder{},
	} {
		if _, number := v.(int); !number {
			assert.Nil(t, shapeOf(reflect.TypeOf(v)), "%T", v)
		}
	}
	assert.Nil(t, shapeOf(reflect.TypeFor[any]()))
	assert.NotNil(t, shapeOf(reflect.TypeFor[int]()))
}

// timeless has no times.
type timeless struct {
	Yes   bool
	Small int8    `msgpack:"small"`
	Large uint64  `msgpack:"large"`
	Half  float32 `msgpack:"half"`
	Warm  celsius `msgpack:"warm"`
	Inner struct {
		None struct{}
		Name string
	}
	Blob []byte `msgpack:"blob"`
	Last struct{}
}

func sampleTimeless(i int) (v timeless) {
	f := sampleFlat(i)
	v.Yes, v.Small, v.Large, v.Half, v.Warm, v.Blob = f.Yes, f.Small, f.Large, f.Single, f.Warm, f.Blob
	v.Inner.Name = f.Name
	return v
}

// widths are numbers of all widths, each beside others that a wrong one would write to.
type widths struct {
	A int8
	B uint8
	C int16
	D uint16
	E int8
	F int32
	G uint32
	H int8
	I int64
	J uint64
	K int
	L uint
	M float32
	N float64
	O bool
	P celsius
	Q time.Time
	R []byte
	S string
	T uint8
}

func sampleWidths(i int) widths {
	n := int64(1)<<(i%64) - int64(i%3)
	return widths{int8(n), uint8(n), int16(n), uint16(n), int8(-n), int32(-n), uint32(n), 1, -n, uint64(n), int(n), uint(n), float32(n), float64(n), i%2 == 0,
		celsius(n), time.Unix(n>>30, 0), bytes.Repeat([]byte{1}, i), strings.Repeat("s", i), uint8(i)}
}

// Sequences write what the library writes, and read that.
func TestSequenceIsTheLibrarys(t *testing.T) {
	t.Parallel()
	sequenceIsTheLibrarys(t, sampleTimeless)
	sequenceIsTheLibrarys(t, sampleFlat)
	sequenceIsTheLibrarys(t, sampleWidths)
	sequenceIsTheLibrarys(t, func(int) string { return "text" })
	sequenceIsTheLibrarys(t, func(i int) int { return -i })
	sequenceIsTheLibrarys(t, func(int) struct{} { return struct{}{} })
	sequenceIsTheLibrarys(t, func(int) []byte { return []byte("bytes") })
	sequenceIsTheLibrarys(t, func(i int) float64 { return float64(i) / 2 })
	sequenceIsTheLibrarys(t, func(i int) bool { return i%2 == 0 })
	sequenceIsTheLibrarys(t, func(i int) time.Time { return time.Unix(int64(i), int64(i%2)) })
}

func sequenceIsTheLibrarys[T any](t *testing.T, sample func(i int) T) {
	t.Helper()
	q := shapeOf(reflect.TypeFor[T]()).sequence(reflect.TypeFor[T]())
	for i := range 70 {
		in := sample(i)
		want, err := appendMsgpack(nil, &in)
		require.NoError(t, err)
		got, ok := q.append([]byte("before"), unsafe.Pointer(&in))
		require.True(t, ok)
		require.Equal(t, want, got[6:])
		lib, own := new(T), new(T)
		require.NoError(t, decodeMsgpack(want, 0, lib))
		require.True(t, q.read(want, unsafe.Pointer(own), nil))
		require.Equal(t, lib, own)
		require.False(t, q.read(append(want, 0), unsafe.Pointer(own), nil))
		for cut := range min(len(want), 300) {
			require.False(t, q.read(want[:cut:cut], unsafe.Pointer(own), nil), "cut to %d bytes", cut)
		}
	}
}

// FuzzShape fails where a shape reads what the library does not read, or reads otherwise.
func FuzzShape(f *testing.F) {
	for i := range 20 {
		v := sampleFlat(i)
		data, err := Msgpack.Append(nil, &v)
		require.NoError(f, err)
		f.Add(data)
	}
	for i := range 20 {
		v := sampleTimeless(i)
		data, err := Msgpack.Append(nil, &v)
		require.NoError(f, err)
		f.Add(data)
	}
	s := shapeOf(reflect.TypeFor[flat]())
	f.Fuzz(func(t *testing.T, data []byte) {
		sequenceReadsWhatTheLibraryDoes[timeless](t, data)
		sequenceReadsWhatTheLibraryDoes[flat](t, data)
		var own, lib flat
		if s.read(data, 0, reflect.ValueOf(&own).Elem(), nil) != len(data) {
			return
		}
		require.NoError(t, Scan(data, Limits{}))
		require.NoError(t, decodeMsgpack(data, 0, &lib))
		want, err := appendMsgpack(nil, &lib) // bytes, for what is not a number equals nothing
		require.NoError(t, err)
		got, err := appendMsgpack(nil, &own)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func sequenceReadsWhatTheLibraryDoes[T any](t *testing.T, data []byte) {
	var own, lib T
	q := shapeOf(reflect.TypeFor[T]()).sequence(reflect.TypeFor[T]())
	if q.read(data, unsafe.Pointer(&own), nil) {
		require.NoError(t, Scan(data, Limits{}))
		require.NoError(t, decodeMsgpack(data, 0, &lib))
		require.Equal(t, fmt.Sprint(lib), fmt.Sprint(own))
	}
}

// BenchmarkFlat fails if a value with a shape allocates more than what is in it.
func BenchmarkFlat(b *testing.B) {
	in := struct {
		Name string `msgpack:"name"`
		N    int    `msgpack:"n"`
		Blob []byte `msgpack:"blob"`
	}{"name", 1000, make([]byte, 100)}
	data, err := Msgpack.Append(nil, &in)
	require.NoError(b, err)
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			_, _ = Msgpack.Append(data[:0], &in)
		}
		require.Zero(b, testing.AllocsPerRun(100, func() { _, _ = Msgpack.Append(data[:0], &in) }))
	})
	b.Run("unmarshal", func(b *testing.B) {
		for b.Loop() {
			in.Blob = nil
			_ = Msgpack.Unmarshal(data, &in)
		}
		require.LessOrEqual(b, testing.AllocsPerRun(100, func() { _ = Msgpack.Unmarshal(data, &in) }), 1.0, "the name; the bytes have room")
	})
}
