package servertest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// TestSockets: a PUSH whose spool is in JetStream, and PULLs that acknowledge; the server goes and comes again meanwhile, and so do the PUSH and
// one of the PULLs. Each message that Send accepted is handled, and only what was on its way at an end more than once.
func TestSockets(t *testing.T) {
	t.Parallel()
	const count = 600
	n := startNode(t, nil)
	nc := connect(t, n)
	steady, other := socket.NewPull(socket.WithAck()), socket.NewPull(socket.WithAck())
	defer steady.Close()
	defer other.Close()
	push := socket.NewPush(socket.WithAck(), socket.WithSpoolOn(open(t, nc, "orders", quick)))
	addresses := make(map[*socket.Pull]string)
	for _, pull := range []*socket.Pull{steady, other} {
		at, err := pull.Bind("tcp://127.0.0.1:0")
		require.NoError(t, err)
		addresses[pull] = at
		require.NoError(t, push.Connect(at))
	}
	var mu sync.Mutex
	handled := make(map[string]int)
	all := make(chan struct{})
	var receivers sync.WaitGroup
	ctx := bounded(t)
	receive := func(pull *socket.Pull, most int) {
		for msg, err := range pull.Messages(ctx) {
			if err != nil {
				return // closed
			}
			mu.Lock()
			handled[string(msg.Bytes())]++
			if len(handled) == count && handled[string(msg.Bytes())] == 1 {
				close(all)
			}
			mu.Unlock()
			if most--; most == 0 {
				return
			}
		}
	}
	receivers.Go(func() { receive(steady, 0) })
	receivers.Go(func() {
		receive(other, 20)
		_ = other.Close() // and all that it has not acknowledged goes to the steady one
	})
	send := func(from, to int) {
		for i := from; i < to; i++ {
			require.NoError(t, push.Send(ctx, fmt.Appendf(nil, "message %d", i)))
		}
	}
	send(0, count/3)
	n.stop()
	n.start(t)
	send(count/3, count*2/3)
	if err := push.Close(); err != nil {
		require.ErrorIs(t, err, socket.ErrSpooled)
	}
	push = socket.NewPush(socket.WithAck(), socket.WithSpoolOn(open(t, nc, "orders", quick)))
	require.NoError(t, push.Connect(addresses[steady]))
	send(count*2/3, count)
	select {
	case <-all:
	case <-ctx.Done():
		require.Fail(t, "messages are missing")
	}
	require.NoError(t, push.Shutdown(ctx))
	require.NoError(t, steady.Close())
	receivers.Wait()
	assert.Len(t, handled, count)
}
