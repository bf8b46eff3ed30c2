package zmtp

import (
	"fmt"
	"testing"
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
