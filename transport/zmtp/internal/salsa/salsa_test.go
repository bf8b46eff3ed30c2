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
				checkAsXCrypto(t, in, 0, 0, counter, key)
			})
		}
	}
}

// All lengths up to several times what the assembly takes at a time, from and to places that are aligned in no way.
func TestXORKeyStream_LengthsAndPlaces(t *testing.T) {
	in := make([]byte, 4*wide+64)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(in)
	for size := range len(in) {
		checkAsXCrypto(t, in[:size], size%33, size%31, [16]byte{7: 1, 8: byte(size)}, [32]byte{3, byte(size)})
	}
	for from := range 33 {
		for to := range 33 {
			checkAsXCrypto(t, in[:2*wide+5], from, to, [16]byte{}, [32]byte{4})
		}
	}
}

// FuzzXORKeyStream looks for octets, a place, a nonce or a key for which it is another key stream.
func FuzzXORKeyStream(f *testing.F) {
	f.Add(make([]byte, 1), uint16(wide), uint8(0), uint8(1), []byte("nonce"), []byte("key"))
	f.Add([]byte("message"), uint16(3*wide+1), uint8(5), uint8(0), []byte("\x00\x00\x00\x00\x00\x00\x00\x00\xf8\xff\xff\xff"), []byte{})
	f.Fuzz(func(t *testing.T, seed []byte, size uint16, from, to uint8, counter, key []byte) {
		in := make([]byte, size)
		for n := 0; n < len(in) && len(seed) > 0; n += copy(in[n:], seed) {
		}
		var c [16]byte
		var k [32]byte
		copy(c[:], counter)
		copy(k[:], key)
		checkAsXCrypto(t, in, int(from), int(to), c, k)
	})
}

// checkAsXCrypto enciphers in every way that this machine has, in place and not, with so many octets before what is read and what is
// written, which are not to change, nor those behind it.
func checkAsXCrypto(t *testing.T, in []byte, from, to int, counter [16]byte, key [32]byte) {
	t.Helper()
	want := make([]byte, len(in))
	before, size := counter, len(in)
	salsa.XORKeyStream(want, in, &counter, &key)
	counter = before
	around := bytes.Repeat([]byte{0xa5}, 64)
	source := append(bytes.Clone(around[:from%64]), in...)[from%64:]
	to %= 64
	for i, with := range variants() {
		for _, inPlace := range []bool{true, false} {
			buf := append(append(bytes.Clone(around[:to]), make([]byte, size)...), around...)
			out, src := buf[to:to+size], source
			if inPlace {
				src = out
				copy(out, in)
			}
			with(func() { XORKeyStream(out, src, &counter, &key) })
			if !bytes.Equal(want, out) || !bytes.Equal(around[:to], buf[:to]) || !bytes.Equal(around, buf[to+size:]) || before != counter {
				t.Fatalf("way %d, in place %t: %d octets from %d to %d, counter %x, key %x", i, inPlace, size, from, to, before, key)
			}
		}
	}
	require.True(t, bytes.Equal(in, source))
}

func BenchmarkXORKeyStream(b *testing.B) {
	var key [32]byte
	var counter [16]byte
	for _, size := range []int{64, 133, 256, 512, 545, 65536} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			buf := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				XORKeyStream(buf, buf, &counter, &key)
			}
		})
	}
}
