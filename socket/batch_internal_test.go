package socket

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
)

// Who handles many messages has the next read meanwhile, and does not read them itself.
func TestRecvBatch_ReadsAhead(t *testing.T) {
	t.Parallel()
	push, pull := NewPush(), NewPull()
	t.Cleanup(func() { assert.NoError(t, push.Close()); assert.NoError(t, pull.Close()) })
	at, err := pull.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, push.Connect(at))
	require.NoError(t, pull.WaitPeers(sockettest.Limit(t), 1))
	var b Batch
	for many := false; !many; {
		const n = 4 * readAheadFrom
		for range n {
			require.NoError(t, push.Send(sockettest.Limit(t), []byte("message")))
		}
		p := pull.receiver.sole.Load()
		for got := 0; got < n; {
			p.wish.Store(true)
			require.NoError(t, pull.RecvBatch(sockettest.Limit(t), &b))
			if b.msgs >= readAheadFrom {
				assert.False(t, p.wish.Load(), "callers are to read")
				many = true
			}
			for _, ok := b.Next(); ok; _, ok = b.Next() {
				got++
			}
		}
	}
}
