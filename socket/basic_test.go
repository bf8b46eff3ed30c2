package socket_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// limit is how long a test waits for what must happen soon.
func limit(t *testing.T) context.Context { return sockettest.Limit(t) }

type connector interface {
	Bind(string) (string, error)
	Connect(string) error
	Close() error
}

// join binds a on a fresh endpoint of the transport and connects b to it.
func join(t *testing.T, transport string, a, b connector) string {
	t.Helper()
	ep := map[string]string{"tcp": "tcp://127.0.0.1:0", "ipc": "ipc://*", "inproc": "inproc://" + t.Name()}[transport]
	closing(t, a, b)
	real, err := a.Bind(ep)
	require.NoError(t, err)
	require.NoError(t, b.Connect(real))
	return real
}

func eachTransport(t *testing.T, test func(t *testing.T, transport string)) {
	for _, tr := range []string{"tcp", "ipc", "inproc"} {
		t.Run(tr, func(t *testing.T) { t.Parallel(); test(t, tr) })
	}
}

func TestPushPull_DeliversInOrder(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push, pull := socket.NewPush(), socket.NewPull()
		join(t, transport, pull, push)
		const n = 20000
		go func() {
			for i := range n {
				if err := push.Send(limit(t), fmt.Appendf(nil, "%d", i)); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		for i := range n {
			m, err := pull.Recv(limit(t))
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), m.String())
		}
	})
}

func TestReqRep_Echo(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		req, rep := socket.NewReq(), socket.NewRep()
		join(t, transport, rep, req)
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			for m, err := range rep.Messages(limit(t)) {
				assert.NoError(t, err)
				assert.NoError(t, rep.Send(limit(t), m.Frames...))
			}
		})
		for i := range 2000 {
			m, err := req.Request(limit(t), fmt.Appendf(nil, "%d", i), []byte{}, []byte("x"))
			require.NoError(t, err)
			require.Len(t, m.Frames, 3)
			require.Equal(t, fmt.Sprint(i), string(m.Frames[0]))
		}
		rep.Close()
	})
}

func TestPubSub_PrefixAndSizes(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pub, sub := socket.NewPub(), socket.NewSub()
		require.NoError(t, sub.Subscribe("a", "b"))
		join(t, transport, pub, sub)
		require.NoError(t, pub.WaitSubscribers(limit(t), "a", 1))
		for _, size := range []int{0, 1, 255, 256, 40000, 1 << 20, 5 << 20} {
			require.NoError(t, pub.Send(limit(t), []byte("zzz"), make([]byte, size)))
			require.NoError(t, pub.Send(limit(t), []byte("alpha"), make([]byte, size), []byte("end")))
			m, err := sub.Recv(limit(t))
			require.NoError(t, err)
			require.Len(t, m.Frames, 3)
			require.Equal(t, "alpha", string(m.Frames[0]))
			require.Len(t, m.Frames[1], size)
		}
	})
}

func TestRouterDealer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		router, dealer := socket.NewRouter(), socket.NewDealer(socket.WithIdentity("d1"))
		join(t, transport, router, dealer)
		require.NoError(t, dealer.Send(limit(t), []byte("hello")))
		m, err := router.Recv(limit(t))
		require.NoError(t, err)
		require.Equal(t, "d1", string(m.Frames[0]))
		require.NoError(t, router.Send(limit(t), m.Frames[0], []byte("world")))
		m, err = dealer.Recv(limit(t))
		require.NoError(t, err)
		require.Equal(t, "world", m.String())
		err = router.Send(limit(t), []byte("nobody"), []byte("x"))
		require.ErrorIs(t, err, socket.ErrNoPeer)
	})
}

func TestSend_NoPeer(t *testing.T) {
	push := socket.NewPush()
	defer push.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := push.Send(ctx, []byte("x"))
	require.ErrorIs(t, err, socket.ErrNoPeer)
	require.ErrorIs(t, err, socket.ErrTimeout)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.False(t, errors.Is(err, socket.ErrFull))
}
