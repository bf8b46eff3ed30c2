package spool

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzLost has the file of what is lost say anything: it is understood, and says the same when it is written again, or of no use.
func FuzzLost(f *testing.F) {
	l := lost{id: ID{1, 2, 3}, next: 100, numbers: spans{floor: 3, ranges: []span{{5, 5}, {90, 99}}}}
	f.Add(l.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if end := len(b) - 4; end >= 0 {
			b = binary.LittleEndian.AppendUint32(b[:end:end], crc32.Checksum(b[:end], castagnoli))
		}
		l, ok := decodeLost(b)
		if !ok {
			return
		}
		again, ok := decodeLost(l.encode())
		require.True(t, ok)
		require.Equal(t, l, again)
		for _, n := range l.numbers.all() {
			require.LessOrEqual(t, n.lo, n.hi)
			require.Equal(t, n.hi-n.lo+1, l.numbers.count(n.lo, n.hi))
		}
	})
}
