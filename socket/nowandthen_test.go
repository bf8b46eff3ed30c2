package socket_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/transport/transporttest"
)

// One message goes round over links of all kinds, each of them one-way, and rests for a moment at each socket: now whoever sends it writes it, now the pump does, and it never stays.
func TestSend_OneMessageNowAndThen(t *testing.T) {
	t.Parallel()
	const rounds = 300
	server, client := curveOf()
	ca := transporttest.NewAuthority(t)
	links := []struct {
		endpoint string
		out, in  []socket.Option
	}{
		{"tcp://127.0.0.1:0", nil, nil},
		{"ipc://*", nil, nil},
		{"inproc://" + t.Name(), nil, nil},
		{"ws://127.0.0.1:0/", nil, nil},
		{tlsAnywhere, []socket.Option{socket.WithTLS(ca.Mutual("worker.example"))}, []socket.Option{socket.WithTLS(ca.Mutual("queue.example"))}},
		{"tcp://127.0.0.1:0", []socket.Option{client}, []socket.Option{server}},
		{"tcp://127.0.0.1:0", []socket.Option{socket.WithAck()}, []socket.Option{socket.WithAck()}},
		{"tcp://127.0.0.1:0", []socket.Option{socket.WithSendHWM(1)}, []socket.Option{socket.WithRecvHWM(1)}},
	}
	ctx, cancel := context.WithTimeout(limit(t), time.Minute)
	defer cancel()
	var pushes []*socket.Push
	var pulls []*socket.Pull
	for _, l := range links {
		push, pull := socket.NewPush(l.out...), socket.NewPull(l.in...)
		closing(t, pull, push)
		require.NoError(t, push.Connect(bind(t, pull, l.endpoint)))
		pushes, pulls = append(pushes, push), append(pulls, pull)
	}
	var all sync.WaitGroup
	for i, pull := range pulls {
		next := pushes[(i+1)%len(pushes)]
		all.Go(func() {
			for n := range rounds {
				m, err := pull.Recv(ctx)
				if !assert.NoError(t, err, "round %d, link %d: %s", n, i, links[i].endpoint) {
					return
				}
				assert.NoError(t, m.Ack())
				if i == len(links)-1 && n == rounds-1 {
					return
				}
				<-time.After(time.Duration(rand.IntN(100)) * time.Microsecond)
				if !assert.NoError(t, next.Send(ctx, m.Frames...)) {
					return
				}
			}
		})
	}
	require.NoError(t, pushes[0].Send(ctx, text("news")))
	all.Wait()
}

// The end of a burst within the process is there at once: no clock is asked for it.
func TestRecv_EndOfABurstTakesNoTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pull, push := socket.NewPull(), socket.NewPush()
		defer pull.Close()
		defer push.Close()
		_, err := pull.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		require.NoError(t, push.Connect("inproc://"+t.Name()))
		require.NoError(t, push.WaitPeers(t.Context(), 1))
		start := time.Now()
		for range 20 {
			for range 100 {
				require.NoError(t, push.Send(t.Context(), make([]byte, 1<<10)))
			}
			for range 100 {
				_, err := pull.Recv(t.Context())
				require.NoError(t, err)
			}
		}
		assert.Zero(t, time.Since(start))
	})
}
