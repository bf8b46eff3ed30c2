package zmtp

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 64 << 10} {
		seal, open := newTraffic(&session{}, clientNonce, clientNonce)
		frame := AppendFrame(nil, 0, make([]byte, size))
		sealed := make([]byte, 0, size+100)
		plain := make([]byte, size+100)
		b.Run(fmt.Sprint("seal ", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sealed, _, _ = seal.Append(sealed[:0], frame, 1)
			}
		})
		b.Run(fmt.Sprint("open ", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				open.last = 0
				if n, _, err := open.Open(plain, sealed); n == 0 || err != nil {
					b.Fatal(n, err)
				}
				if size >= largeSealed {
					open.Open(plain, sealed)
				}
			}
		})
	}
}

func TestTraffic_AllocatesNothing(t *testing.T) {
	seal, open := newTraffic(&session{}, clientNonce, clientNonce)
	frames := AppendFrame(AppendFrame(nil, 0, make([]byte, 100)), 0, make([]byte, 10000))
	sealed, plain := make([]byte, 0, 20000), make([]byte, 20000)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		sealed, _, _ = seal.Append(sealed[:0], frames, 1<<20)
		if n, _, err := open.Open(plain, sealed); n != len(frames) || err != nil {
			t.Error(n, err)
		}
	}))
}
