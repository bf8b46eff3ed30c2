package socket_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

func TestLastValue_GreetsNewSubscribers(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pub, early, late := socket.NewPub(socket.WithLastValue(3, 1000)), socket.NewSub(), socket.NewSub()
		endpoint := bind(t, pub, fresh(t, transport))
		require.NoError(t, early.Connect(endpoint))
		require.NoError(t, late.Connect(endpoint))
		closing(t, pub, early, late)
		require.NoError(t, early.Subscribe("b."))
		require.NoError(t, pub.WaitSubscribers(limit(t), "b.", 1))
		for i, topic := range []string{"gone", "a.x", "b.y", "b.x", "a.x", "b.y"} {
			send(t, pub, topic, fmt.Sprint(i))
		}
		assert.Equal(t, socket.LastValueStats{Topics: 3, Bytes: 12, Evicted: 1}, pub.LastValues())
		require.NoError(t, late.Subscribe("b."))
		requireMsg(t, recv(t, late), "b.x", "3")
		requireMsg(t, recv(t, late), "b.y", "5")
		require.NoError(t, late.Subscribe("b.y", "", "nothing")) // of which it has b. already
		requireMsg(t, recv(t, late), "a.x", "4")
		assert.True(t, pub.ForgetLastValue("a.x"))
		assert.False(t, pub.ForgetLastValue("a.x"))
		require.NoError(t, pub.WaitSubscribers(limit(t), "nothing", 1))
		require.NoError(t, early.Subscribe("a"))
		require.NoError(t, pub.WaitSubscribers(limit(t), "a", 2))
		send(t, pub, "b.end", "6")
		requireMsg(t, recv(t, late), "b.end", "6")
		for _, want := range []string{"2", "3", "5", "6"} { // as they came; nothing of a
			assert.Equal(t, want, recv(t, early).String())
		}
		send(t, pub, "a.large", string(make([]byte, 1001)))
		assert.Equal(t, 3, pub.LastValues().Topics, "too large to be kept")
	})
}

// What a new subscriber has no room for waits for room: with a queue of two it gets all of a thousand topics.
func TestLastValue_WaitsForRoom(t *testing.T) {
	t.Parallel()
	const n = 1000
	pub := socket.NewPub(socket.WithLastValue(n, 1<<20), socket.WithSendHWM(2))
	sub := socket.NewSub(socket.WithRecvHWM(2))
	join(t, "tcp", pub, sub)
	body := make([]byte, 500)
	for i := range n {
		require.NoError(t, pub.Send(limit(t), ordinal(i, 8), body))
	}
	require.NoError(t, sub.Subscribe(""))
	for i := range n {
		require.Equal(t, i, ordinalOf(recv(t, sub)))
	}
	assert.Empty(t, pub.Stats().Dropped)
}

// Each value that a subscriber gets of a topic is newer than the one before, and the first is as new as what was sent before it subscribed.
func TestLastValue_NeverGoesBack(t *testing.T) {
	t.Parallel()
	pub := socket.NewPub(socket.WithLastValue(10, 1000), socket.WithNoDrop())
	endpoint := bind(t, pub, "tcp://127.0.0.1:0")
	send(t, pub, "t", string(ordinal(0, 8)))
	stop, over := make(chan struct{}), make(chan struct{})
	go func() { // ends with stop
		defer close(over)
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				assert.NoError(t, pub.Send(limit(t), text("t"), ordinal(i, 8)))
			}
		}
	}()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			sub := socket.NewSub()
			defer sub.Close()
			assert.NoError(t, sub.Subscribe("t"))
			assert.NoError(t, sub.Connect(endpoint))
			next := -1
			for range 50 {
				m, err := sub.Recv(limit(t))
				if !assert.NoError(t, err) {
					return
				}
				got := ordinalOf(socket.Msg{Frames: m.Frames[1:]})
				if next >= 0 {
					assert.Equal(t, next, got, "no gap between the last value and what follows, and none twice")
				}
				next = got + 1
			}
		})
	}
	all.Wait()
	close(stop)
	<-over
	closing(t, pub)
}

func TestLastValue_OptionsThatContradict(t *testing.T) {
	t.Parallel()
	for _, options := range [][]socket.Option{
		{socket.WithLastValue(0, 1)},
		{socket.WithLastValue(1, 0)},
		{socket.WithLastValue(1, 1), socket.WithConflate()},
		{socket.WithLastValue(1, 1), socket.WithDropPolicy(socket.Conflate)},
		{socket.WithLastValue(1, 1), socket.WithInvertMatching()},
	} {
		pub := socket.NewPub(options...)
		err := pub.Send(sockettest.Try(), nil)
		assert.ErrorIs(t, err, socket.ErrOption)
		assert.ErrorContains(t, err, "WithLastValue")
	}
	assert.ErrorIs(t, socket.NewSub(socket.WithLastValue(1, 1)).Subscribe(""), socket.ErrOption)
}

// DURABLE.md, 2: on a durable link there is nothing but the log, and nothing of that before RESUME: no last value and no welcome message, whatever the peer subscribes to, and when.
func TestLastValue_NotOnDurableLinks(t *testing.T) {
	t.Parallel()
	for _, typ := range publishers {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			s := makers[typ](socket.WithSpool(filepath.Join(t.TempDir(), "log"), smallSpool), socket.WithLastValue(10, 1000), socket.WithWelcomeMessage(text("t"), text("welcome")),
				socket.WithHeartbeat(0, 0))
			closing(t, s)
			endpoint := bind(t, s, "tcp://127.0.0.1:0")
			pub := s.(interface {
				sender
				Durables() []socket.DurableStats
			})
			send(t, pub, "t", "old")
			send(t, pub, "u", "old")
			enter := func(topic string, offer ...sockettest.Property) *sockettest.RawPeer {
				raw := sockettest.DialRaw(t, endpoint)
				raw.Handshake("SUB", 1, offer...)
				raw.Write(zmtp.AppendCredit(nil, 10, 1<<20)) // of which a plain link knows nothing
				raw.Subscribe(topic)
				return raw
			}
			plain := enter("t")
			assert.Equal(t, []string{"t", "welcome"}, plain.ReadMessage())
			assert.Equal(t, []string{"t", "old"}, plain.ReadMessage())

			raw := enter("t", receives)
			raw.SendCommand("PING", []byte("\x00\x00x"))
			raw.ExpectCommand("PONG") // the first thing said
			raw.Write(resume(zmtp.FromBeginning, 0, "name"))
			raw.ExpectCommand(zmtp.CommandResumed)
			raw.ExpectCommand(zmtp.CommandStream)
			assert.Equal(t, []string{"t", "old"}, raw.ReadMessage())
			raw.Write(zmtp.AppendAck(nil, 1, nil))
			awaitLag(t, pub, "name", 0) // nobody wanted what there was of u
			raw.Subscribe("u")
			raw.SendCommand("PING", []byte("\x00\x00x"))
			raw.ExpectCommand("PONG")
			send(t, pub, "u", "new")
			raw.ExpectCommand(zmtp.CommandSkip)
			assert.Equal(t, []string{"u", "new"}, raw.ReadMessage())
		})
	}
}
