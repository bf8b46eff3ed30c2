package socket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// What a ROUTER sent and a peer did not acknowledge is kept for the routing id, for a while: the peer gets it when it is back, before anything newer.
func TestAssured_RouterKeepsForTheSameIdentity(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		letters := make(chan socket.DeadLetter, 2)
		router := socket.NewRouter(socket.WithAck(), socket.WithDeadLetter(func(d socket.DeadLetter) { letters <- d }))
		at := bind(t, router, fresh(t, transport))
		closing(t, router)
		dealer := func(id ...socket.Option) *socket.Dealer {
			d := socket.NewDealer(append(id, socket.WithAck(), socket.WithManualAck())...)
			require.NoError(t, d.Connect(at))
			send(t, d, "here")
			m := recv(t, router)
			require.NoError(t, m.Ack())
			require.NoError(t, router.Send(limit(t), m.Frames[0], []byte("to "+m.String())))
			return d
		}
		first := dealer(socket.WithIdentity("d"))
		send(t, router, "d", "two")
		requireMsg(t, recv(t, first), "to here")
		require.NoError(t, recv(t, first).Ack())
		await := watch(t, router)
		require.NoError(t, first.Close())
		require.EqualValues(t, 1, await(socket.Redelivered).Count)
		second := socket.NewDealer(socket.WithAck(), socket.WithManualAck(), socket.WithIdentity("d"))
		closing(t, second)
		require.NoError(t, second.Connect(at))
		require.Eventually(t, func() bool { return router.Send(try(), []byte("d"), []byte("new")) == nil }, sockettest.Timeout, time.Millisecond)
		m := recv(t, second)
		requireMsg(t, m, "to here")
		require.Equal(t, 2, m.Attempt())
		require.NoError(t, m.Ack())
		m = recv(t, second)
		requireMsg(t, m, "new")
		require.NoError(t, m.Ack())
		require.NoError(t, router.WaitAcked(limit(t)))

		nameless := dealer()
		recv(t, nameless)
		require.NoError(t, nameless.Close())
		require.Contains(t, (<-letters).Reason, "no identity")
	})
}

// A socket with WithAck sends to plain peers at most once, knows no more of that than that it was written, and refuses them where WithAckRequired is set.
func TestAssured_PlainPeers(t *testing.T) {
	t.Parallel()
	push, plain := socket.NewPush(socket.WithAck()), socket.NewPull()
	join(t, "tcp", plain, push)
	numbered(t, push, 0, 100, 10)
	require.NoError(t, push.WaitAcked(limit(t)))
	for i := range 100 {
		require.Equal(t, i, ordinalOf(recv(t, plain)))
	}
	s := push.Stats()
	require.Equal(t, socket.AckStats{WrittenOut: 100}, s.Acks)

	strict := socket.NewPush(socket.WithAck(), socket.WithAckRequired())
	closing(t, strict)
	await := watch(t, strict)
	require.NoError(t, strict.Connect(bind(t, plain, "tcp://127.0.0.1:0")))
	require.ErrorContains(t, await(socket.HandshakeFailed).Err, "WithAckRequired")
	require.ErrorIs(t, strict.Send(try(), []byte("x")), socket.ErrNoPeer)
}

// Nothing goes out beyond the credit that a peer gives, what another peer can take goes there, and what an earlier connection was sent cannot be settled on a later one.
func TestAssured_CreditAndStaleAcks(t *testing.T) {
	t.Parallel()
	push := socket.NewPush(socket.WithAck())
	at := bind(t, push, "tcp://127.0.0.1:0")
	closing(t, push)
	sink := func() *sockettest.RawPeer {
		raw := sockettest.DialRaw(t, at)
		_, said := raw.Handshake("PULL", 1, sockettest.Property{Name: zmtp.PropertyAck, Value: "1 receive"})
		require.Equal(t, "1 send", said[zmtp.PropertyAck])
		return raw
	}
	credit := func(raw *sockettest.RawPeer, n uint64) { raw.Write(zmtp.AppendCredit(nil, n, 1<<20)) }
	expect := func(raw *sockettest.RawPeer, number uint64, attempt uint32, body string) {
		t.Helper()
		s, err := zmtp.ParseStream(raw.ExpectCommand(zmtp.CommandStream))
		require.NoError(t, err)
		require.Equal(t, []any{number, attempt}, []any{s.Number, s.Attempt})
		require.Equal(t, []string{body}, raw.ReadMessage())
	}
	raw := sink()
	require.NoError(t, push.WaitPeers(limit(t), 1))
	require.ErrorIs(t, push.Send(soon(t), []byte("none")), socket.ErrFull)
	credit(raw, 1)
	send(t, push, "1")
	expect(raw, 1, 1, "1")
	require.ErrorIs(t, push.Send(soon(t), []byte("one")), socket.ErrFull)
	raw.Write(zmtp.AppendAck(nil, 1, nil))
	send(t, push, "2")
	require.Equal(t, []string{"2"}, raw.ReadMessage())

	other := sink()
	credit(other, 3)
	send(t, push, "3")
	expect(other, 3, 1, "3")
	other.Write(zmtp.AppendAck(nil, 0, nil)) // says nothing
	raw.Close()
	expect(other, 2, 2, "2")
	other.Write(zmtp.AppendAck(nil, 0, []zmtp.TagRange{{First: 2, Last: 2}}))
	other.Write(zmtp.AppendAck(nil, 0, []zmtp.TagRange{{First: 2, Last: 2}})) // again
	require.Eventually(t, func() bool { return push.Stats().Acks.StaleAcks == 1 }, sockettest.Timeout, time.Millisecond)

	await := watch(t, push)
	other.Write(zmtp.AppendAck(nil, 7, nil)) // which nobody was sent here
	require.ErrorContains(t, await(socket.Disconnected).Err, "never sent")
	require.EqualValues(t, 2, push.Stats().Acks.AckedOut)
	last := sink()
	credit(last, 5)
	expect(last, 3, 2, "3")
	ctx := soon(t)
	require.ErrorContains(t, push.Shutdown(ctx), "1 messages were not acknowledged")
}
