package salsa

//lint:file-ignore SA1019 it is what this package is held against

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/salsa20/salsa"
)

// The key stream is that of x/crypto, whatever the length and the number of the first block, in place and not.
func TestXORKeyStream(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{0, 1, 255, 256, 511, 512, 513, 1023, 1024, 1536, 5000, 65536} {
		for _, block := range []uint64{0, 1, 4, 1<<32 - 8, 1<<32 - 4, 1<<32 - 1, 1 << 32, 7<<40 + 3, 1<<64 - 1} {
			t.Run(fmt.Sprint(size, " from ", block), func(t *testing.T) {
				var key [32]byte
				var counter [16]byte
				_, _ = random.Read(key[:])
				_, _ = random.Read(counter[:8])
				binary.LittleEndian.PutUint64(counter[8:], block)
				in := make([]byte, size)
				_, _ = random.Read(in)
				want := make([]byte, size)
				before := counter
				salsa.XORKeyStream(want, in, &counter, &key)
				for _, with := range variants() {
					out := append(bytes.Clone(in), 1, 2, 3)
					with(func() { XORKeyStream(out[:size], out[:size], &counter, &key) })
					require.True(t, bytes.Equal(want, out[:size]))
					require.Equal(t, []byte{1, 2, 3}, out[size:], "beyond the end")
					clear(out)
					with(func() { XORKeyStream(out, in, &counter, &key) })
					require.True(t, bytes.Equal(want, out[:size]))
					require.Equal(t, before, counter)
				}
			})
		}
	}
}

func BenchmarkXORKeyStream(b *testing.B) {
	var key [32]byte
	var counter [16]byte
	buf := make([]byte, 64<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		XORKeyStream(buf, buf, &counter, &key)
	}
}
