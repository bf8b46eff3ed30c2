package socket_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// Messages that are acknowledged are forgotten, those that are refused come again or become dead letters, and the counters say so.
func TestAssured_Outcomes(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		letters := make(chan socket.DeadLetter, 10)
		push := socket.NewPush(socket.WithAck(), swiftRetry(), socket.WithAttempts(3), socket.WithDeadLetter(func(d socket.DeadLetter) { letters <- d }))
		pull := socket.NewPull(socket.WithAck(), socket.WithManualAck())
		join(t, transport, pull, push)
		for _, body := range []string{"fine", "bad", "poison", "later"} {
			send(t, push, body, "tail")
		}
		require.Error(t, push.WaitAcked(soon(t)))
		tries := map[string]int{}
		for range 1 + 1 + 3 + 2 {
			m := recv(t, pull)
			body := string(m.Frames[0])
			tries[body]++
			require.Equal(t, tries[body], m.Attempt())
			switch {
			case body == "fine", body == "later" && tries[body] == 2:
				require.NoError(t, m.Ack())
			case body == "bad":
				require.NoError(t, m.Nack(socket.Reject("no such thing")))
			default:
				require.NoError(t, m.Nack(socket.Nack{Reason: "busy"}))
			}
		}
		require.NoError(t, push.WaitAcked(limit(t)))
		d := <-letters
		require.Equal(t, socket.DeadLetter{Number: 2, Reason: "no such thing", Attempts: 1, Frames: bodies("bad", "tail")}, d)
		d = <-letters
		require.Equal(t, socket.DeadLetter{Number: 3, Reason: "3 deliveries failed, the last one: busy", Attempts: 3, Frames: bodies("poison", "tail")}, d)
		require.Equal(t, map[string]int{"fine": 1, "bad": 1, "poison": 3, "later": 2}, tries)
		s := push.Stats()
		require.Equal(t, socket.AckStats{AckedOut: 2, NackedOut: 5, RedeliveredOut: 3, DeadLettered: 2}, s.Acks)
		require.EqualValues(t, 4, s.MessagesOut)
		require.Empty(t, s.Dropped)
	})
}

// A message that nobody takes is dropped at the limit where nothing is told of dead letters: that is counted, by reason, and an event.
func TestAssured_DropsAtTheLimitWithoutDeadLetters(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push := socket.NewPush(socket.WithAck(), swiftRetry(), socket.WithAttempts(3))
		pull := socket.NewPull(socket.WithAck(), socket.WithManualAck())
		await := watch(t, push)
		join(t, transport, pull, push)
		send(t, push, "poison")
		for attempt := range 3 {
			m := recv(t, pull)
			require.Equal(t, attempt+1, m.Attempt())
			require.NoError(t, m.Nack(socket.Nack{Reason: "busy"}))
		}
		e := await(socket.Dropped)
		require.Equal(t, socket.DropDead, e.Reason)
		require.EqualValues(t, 1, e.Count)
		require.NoError(t, push.WaitAcked(limit(t)))
		s := push.Stats()
		require.Equal(t, map[socket.DropReason]uint64{socket.DropDead: 1}, s.Dropped)
		require.EqualValues(t, 1, s.Acks.DeadLettered)
	})
}

// swiftRetry has refused messages tried again without keeping a test waiting.
func swiftRetry() socket.Option { return socket.WithRetry(1, 1000) }
