package route

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHash(t *testing.T) {
	t.Parallel()
	var s seed
	s.draw()
	seen := map[uint32]bool{}
	count := 0
	add := func(topic []byte) {
		count++
		seen[s.hash(topic)] = true
	}
	for i := range 500 {
		add(make([]byte, i))
		add(append(bytes.Repeat([]byte("x"), i), "y"...))
		add(fmt.Appendf(nil, "orders.%d.", i))
		add(fmt.Appendf(nil, "%032d", i))
		one := make([]byte, 100)
		one[i%100] = byte(1 + i/100)
		add(one)
	}
	assert.Greater(t, len(seen), count-10, "topics that look alike have hashes that do not")
	assert.NotContains(t, seen, uint32(0))

	topic := bytes.Repeat([]byte("0123456789"), 20)
	for step := 1; step < 20; step++ {
		h := s.prefixes(topic)
		for n := 0; n <= len(topic); n += step {
			require.Equal(t, s.hash(topic[:n]), h.next(n), "%d bytes", n)
		}
	}
	var other seed
	other.draw()
	assert.NotEqual(t, s.hash(topic), other.hash(topic))
}
