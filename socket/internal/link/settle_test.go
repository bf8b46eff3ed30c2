package link

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Who settles messages says so to the peer itself where nothing else is to be written, and leaves to the pump what does not go at once, in its order.
func TestOut_SettleWritesWhatItCan(t *testing.T) {
	t.Parallel()
	acks := zmtp.AppendAck(zmtp.AppendAck(nil, 300, nil), 600, nil)
	one := len(acks) / 2
	body := []byte("message")
	for _, c := range []struct {
		name    string
		sink    *sink
		queued  bool // a message, that the pump has not seen
		at      int  // octets written at once,
		waiting int  // and those that Settle says wait
	}{
		{"at once", &sink{room: -1}, false, 2 * one, 0},
		{"in part", &sink{room: -1, shy: true}, false, one / 2, one},
		{"not at all", &sink{room: -1, block: make(chan struct{})}, false, 0, one},
		{"behind a message", &sink{room: -1}, true, 0, 2 * one},
		{"to nobody", &sink{}, false, 0, one},
	} {
		q := newQueue()
		q.Attach(NewConn(c.sink))
		want := acks
		if c.queued {
			require.True(t, first(q.Append(nil, [][]byte{body}, len(body))))
			want = zmtp.AppendFrame(acks[:len(acks):len(acks)], 0, body)
		}
		q.Settle(acks[:one])
		assert.Equal(t, c.waiting, q.Settle(acks[one:]), c.name)
		assert.Len(t, c.sink.got, c.at, c.name)

		c.sink.shy, c.sink.block = false, nil
		for range 2 { // what is in flight, and the rest
			q.Flush()
		}
		if c.sink.room == 0 {
			assert.ErrorIs(t, q.err, errSink, c.name)
		} else {
			assert.Equal(t, string(want), string(c.sink.got), c.name)
		}
		q.pumping = false // none was started
		q.Detach(false)
	}
}
