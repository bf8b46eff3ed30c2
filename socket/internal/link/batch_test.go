package link

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Last finds the last message that is wanted, whole, with commands among its frames or none.
func TestBatch_Last(t *testing.T) {
	t.Parallel()
	ping := zmtp.AppendPing(nil, 0, []byte("x"))
	data := []byte("\x00\x01a" + "\x01\x01b")
	data = append(data, ping...)
	data = append(data, "\x01\x00\x00\x02zz\x01\x00\x00\x01c"...)
	for wanted, want := range map[string]struct {
		count  int
		frames [][]byte
	}{
		"all": {3, [][]byte{{}, []byte("c")}}, "a": {1, [][]byte{[]byte("a")}}, "b": {1, [][]byte{[]byte("b"), {}, []byte("zz")}}, "none": {},
	} {
		b := Batch{Msgs: 3, Bytes: 5, data: data}
		filter := func(first []byte) bool { return string(first) == wanted }
		if wanted == "all" {
			filter = nil
		}
		count := b.Last(filter)
		assert.Equal(t, want.count, count, wanted)
		if count > 0 {
			assert.Equal(t, 1, b.Msgs)
			assert.Equal(t, size(want.frames), b.Bytes)
			frames, n := b.Next(&Slab{}, 0)
			assert.Equal(t, want.frames, frames, wanted)
			assert.Equal(t, size(want.frames), n)
		}
	}
	one := One([]byte("a"), []byte("x"))
	assert.Equal(t, 1, one.Last(nil))
	assert.Zero(t, one.Last(func([]byte) bool { return false }))
}
