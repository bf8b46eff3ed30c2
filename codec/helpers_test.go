package codec

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// allocated returns how many bytes the process allocates while f runs. Tests
// that use it must not be parallel.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// hostile are small messages that cost an unguarded decoder gigabytes or the
// process. Each is refused for the reason given.
var hostile = []struct {
	name string
	data []byte
	want error
}{
	{"array32 of 2^32-1", []byte{0xdd, 0xff, 0xff, 0xff, 0xff}, ErrMalformed},
	{"array32 of 1e8", []byte{0xdd, 0x05, 0xf5, 0xe1, 0x00}, ErrMalformed},
	{"map32 of 2^32-1", []byte{0xdf, 0xff, 0xff, 0xff, 0xff}, ErrMalformed},
	{"bin32 of 1e9", []byte{0xc6, 0x3b, 0x9a, 0xca, 0x00}, ErrMalformed},
	{"str32 of 2^32-1", []byte{0xdb, 0xff, 0xff, 0xff, 0xff}, ErrMalformed},
	{"ext32 of 2^32-1", []byte{0xc9, 0xff, 0xff, 0xff, 0xff, 0x01}, ErrMalformed},
	{"arrays nested 2 MB deep", bytes.Repeat([]byte{0x91}, 2<<20), ErrLimit},
	{"maps nested 2 MB deep", bytes.Repeat([]byte{0x81, 0xa0}, 1<<20), ErrLimit},
	{"unknown field nested 2 MB deep", append([]byte{0x81, 0xa1, 'x'}, bytes.Repeat([]byte{0x91}, 2<<20)...), ErrLimit},
	{"inner array32 of 2^32-1", []byte{0x92, 0x01, 0xdd, 0xff, 0xff, 0xff, 0xff}, ErrMalformed},
	{"2 million nils", append([]byte{0xdd, 0x00, 0x20, 0x00, 0x00}, bytes.Repeat([]byte{0xc0}, 2<<20)...), ErrLimit},
}

// tree is a destination that recurses through structs, slices and maps.
type tree struct {
	Name  string           `msgpack:"n"`
	Kids  []tree           `msgpack:"k"`
	Named map[string]*tree `msgpack:"m"`
	Any   any              `msgpack:"a"`
	Blob  []byte           `msgpack:"b"`
}

// mapTree recurses through maps alone.
type mapTree map[string]mapTree

// targets are fresh destinations of the shapes that differ in the library.
func targets() []any {
	return []any{new(any), new(map[string]any), new(map[string]string), new([]int64), new([]string),
		new([]any), new([]byte), new(string), new(tree), new(mapTree), new([]map[string]any)}
}

// requireBounded fails unless f allocates at most limit bytes.
func requireBounded(t *testing.T, limit uint64, f func()) {
	t.Helper()
	require.LessOrEqual(t, allocated(f), limit, "bytes allocated")
}
