package socket_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// What waits, and what was received, is right after each message of many that came together: nothing is entered late.
func TestRecv_CountsEachMessageOfMany(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push, pull := socket.NewPush(), socket.NewPull()
		join(t, transport, pull, push)
		const n = 200
		for i := range n {
			require.NoError(t, push.Send(limit(t), fmt.Appendf(nil, "%03d", i)))
		}
		for i := range n {
			m, err := pull.Recv(limit(t))
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%03d", i), m.String())
			if i%3 == 0 { // and between them is what looking brings about
				msgs, bytes := inboxOf(pull)
				require.Equal(t, 3*msgs, bytes)
				require.EqualValues(t, i+1, pull.Stats().MessagesIn)
				require.EqualValues(t, 3*(i+1), pull.Stats().BytesIn)
			}
		}
		msgs, bytes := inboxOf(pull)
		assert.Zero(t, msgs)
		assert.Zero(t, bytes)
	})
}

// What has arrived of a topic is not returned any more once that is unsubscribed, be it all topics.
func TestSub_UnsubscribeLeavesOutWhatHasArrived(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{"", "a"} {
		pub, sub := socket.NewPub(), socket.NewSub()
		closing(t, pub, sub)
		require.NoError(t, sub.Subscribe(topic, "b"))
		require.NoError(t, sub.Connect(bind(t, pub, "tcp://127.0.0.1:0")))
		require.NoError(t, pub.WaitSubscribers(limit(t), topic, 1))
		require.NoError(t, pub.WaitSubscribers(limit(t), "b", 1))
		for _, m := range []string{"a1", "a2", "a3", "b"} {
			require.NoError(t, pub.Send(limit(t), text(m)))
		}
		m, err := sub.Recv(limit(t))
		require.NoError(t, err)
		require.Equal(t, "a1", m.String())
		require.NoError(t, sub.Unsubscribe(topic))
		m, err = sub.Recv(limit(t))
		require.NoError(t, err)
		require.Equal(t, "b", m.String(), "%q was unsubscribed", topic)
	}
}

// A publisher with one subscriber counts, bounds and drops as one with many does, whatever it is that comes in rows.
func TestPub_OneSubscriberIsLikeMany(t *testing.T) {
	t.Parallel()
	for _, subscribers := range []int{1, 2} {
		pub := socket.NewPub(socket.WithSendHWM(100))
		closing(t, pub)
		addr := bind(t, pub, "inproc://"+t.Name()+fmt.Sprint(subscribers))
		for range subscribers {
			sub := socket.NewSub(socket.WithRecvHWM(1))
			closing(t, sub)
			require.NoError(t, sub.Subscribe("t"))
			require.NoError(t, sub.Connect(addr))
		}
		require.NoError(t, pub.WaitSubscribers(limit(t), "t", subscribers))
		const n = 20_000
		frames := [][][]byte{{text("topic"), make([]byte, 200)}, {append(text("topic"), make([]byte, 200)...)}}
		for i := range n {
			require.NoError(t, pub.Send(limit(t), frames[i%2]...))
			require.NoError(t, pub.Send(limit(t), text("nobody's")))
		}
		for _, p := range pub.Stats().Peers {
			assert.LessOrEqual(t, p.QueueMessages, 100)
			assert.NotZero(t, p.Dropped[socket.DropFull])
			assert.EqualValues(t, n, p.MessagesOut+p.Dropped[socket.DropFull])
		}
	}
}
