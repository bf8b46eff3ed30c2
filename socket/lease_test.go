package socket_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

const lease = 30 * time.Second

// leased runs test in a bubble with a PULL whose leases are 30 s, and a raw PUSH peer that has its credit.
func leased(t *testing.T, test func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer), opts ...socket.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pull := socket.NewPull(append([]socket.Option{socket.WithAck(), socket.WithAckDelay(0), socket.WithLease(lease), socket.WithHeartbeat(0, 0)}, opts...)...)
		defer pull.Close()
		endpoint, err := pull.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		raw := dialInproc(t, endpoint)
		defer raw.Close()
		raw.Handshake("PUSH", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
		expectCredit(t, raw, 32768, 8<<20)
		test(t, pull, raw)
	})
}

// taken takes one message that is there already, as one who does not wait in Recv.
func taken(t *testing.T, pull *socket.Pull) socket.Msg {
	t.Helper()
	synctest.Wait()
	m, err := pull.Recv(ended())
	require.NoError(t, err)
	return m
}

// expectGivenBack reads what a sender is told when a lease runs out and nobody is in Recv.
func expectGivenBack(t *testing.T, raw *sockettest.RawPeer, tag uint64) {
	t.Helper()
	expectCredit(t, raw, 0, 8<<20)
	expectNack(t, raw, zmtp.Nack{Tag: tag, Reason: "its lease of 30s ran out"})
}

// A message that is not settled when its lease has run out is given back, once; what is said of it later is an error, is counted, and acknowledges nothing.
func TestLease_GivesBackOnce(t *testing.T) {
	t.Parallel()
	ev := &events{}
	leased(t, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer) {
		for _, s := range []string{"hangs", "acknowledged", "refused"} {
			raw.SendMessage(s)
		}
		start := time.Now()
		m := taken(t, pull)
		require.NoError(t, taken(t, pull).Ack())
		expectAck(t, raw, "0 2-2")
		require.NoError(t, taken(t, pull).Nack(socket.Reject("no")))
		expectNack(t, raw, zmtp.Nack{Tag: 3, Reject: true, Reason: "no"})
		expectGivenBack(t, raw, 1)
		assert.Equal(t, lease, time.Since(start))
		for _, late := range []error{m.Ack(), m.Clone().Ack(), m.Nack(socket.Nack{}), m.Extend()} {
			assert.ErrorIs(t, late, socket.ErrLease)
		}
		after(time.Hour)
		s := pull.Stats().Acks
		assert.Equal(t, []uint64{1, 1, 1, 1}, []uint64{s.AckedIn, s.NackedIn, s.ExpiredIn, s.LateIn})
		assert.Zero(t, s.UnackedIn)
		told := ev.of(socket.LeaseExpired)
		require.Len(t, told, 1)
		assert.EqualValues(t, 1, told[0].Count)
		assert.NotNil(t, told[0].Peer)

		raw.SendMessage("next") // which shows that nothing was said in between
		require.NoError(t, taken(t, pull).Ack())
		expectAck(t, raw, "4")
		_, err := pull.Recv(ended())
		require.ErrorIs(t, err, context.Canceled)
		expectCredit(t, raw, 32768, 8<<20) // somebody asks
	}, socket.WithManualAck(), ev.option())
}

// Extend begins the lease anew as often as it is called in time.
func TestLease_Extended(t *testing.T) {
	t.Parallel()
	leased(t, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer) {
		raw.SendMessage("slow")
		raw.SendMessage("slow, and hangs in the end")
		slow, hangs := taken(t, pull), taken(t, pull)
		for range 100 {
			after(lease - 1)
			require.NoError(t, slow.Extend())
			require.NoError(t, hangs.Clone().Extend())
		}
		after(lease - 1)
		assert.Zero(t, pull.Stats().Acks.ExpiredIn)
		require.NoError(t, slow.Ack())
		expectAck(t, raw, "1")
		require.NoError(t, slow.Extend(), "there is nothing left to extend")
		expectGivenBack(t, raw, 2)
		assert.ErrorIs(t, hangs.Extend(), socket.ErrLease)
		after(2 * lease)
		assert.EqualValues(t, 1, pull.Stats().Acks.ExpiredIn)
		raw.SendMessage("cut off")
		m := taken(t, pull)
		raw.Close()
		synctest.Wait()
		assert.ErrorIs(t, m.Extend(), socket.ErrPeerGone)
		after(2 * lease)
		assert.EqualValues(t, 1, pull.Stats().Acks.ExpiredIn, "it went with its connection")
	}, socket.WithManualAck())
}

// Asking for the next message acknowledges the last one in time only, by Recv and in a loop.
func TestLease_AutomaticAcks(t *testing.T) {
	t.Parallel()
	takes := map[string]func(pull *socket.Pull, handle func(socket.Msg)){
		"Recv": func(pull *socket.Pull, handle func(socket.Msg)) {
			for {
				m, err := pull.Recv(ended())
				if err != nil {
					return
				}
				handle(m)
			}
		},
		"Messages": func(pull *socket.Pull, handle func(socket.Msg)) {
			for m := range pull.Messages(ended()) {
				handle(m)
			}
		},
	}
	for name, take := range takes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leased(t, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer) {
				for i := range 3 {
					raw.SendMessage(fmt.Sprint(i + 1))
				}
				synctest.Wait()
				take(pull, func(m socket.Msg) {
					switch m.String() {
					case "1":
						after(lease - 1)
					case "2":
						after(lease + 1)
					}
				})
				expectAck(t, raw, "1")
				expectGivenBack(t, raw, 2)
				expectAck(t, raw, "3")
				expectCredit(t, raw, 32768, 8<<20)
				s := pull.Stats().Acks
				assert.Equal(t, []uint64{2, 1, 1}, []uint64{s.AckedIn, s.ExpiredIn, s.LateIn})
			})
		})
	}
}

// A lease that runs out while somebody is in Recv leaves the credit as it is.
func TestLease_OthersReceive(t *testing.T) {
	t.Parallel()
	leased(t, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer) {
		addr := pull.Stats().Endpoints[0]
		second := dialInproc(t, addr) // see bubble in package pushpull_test
		defer second.Close()
		second.Handshake("PUSH", 1)
		raw.SendMessage("hangs")
		taken(t, pull)
		got := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { // ended by cancel
			_, err := pull.Recv(ctx)
			got <- err
		}()
		expectNack(t, raw, zmtp.Nack{Tag: 1, Reason: "its lease of 30s ran out"})
		cancel()
		require.ErrorIs(t, <-got, context.Canceled)
	}, socket.WithManualAck())
}

// A sender gets each expiry as a failed delivery, has one attempt under way at a time, and gives the message up in the end, saying why.
func TestLease_EndsInADeadLetter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		letters := make(chan socket.DeadLetter, 1)
		pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithLease(lease), socket.WithAckCredit(1, 1))
		defer pull.Close()
		addr, err := pull.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		push := socket.NewPush(socket.WithAck(), socket.WithAttempts(3), socket.WithDeadLetter(func(d socket.DeadLetter) { letters <- d }))
		defer push.Close()
		require.NoError(t, push.Connect(addr))
		require.NoError(t, push.WaitPeers(t.Context(), 1))
		send(t, push, "hangs")
		for attempt := 1; attempt <= 3; attempt++ {
			m := taken(t, pull)
			assert.Equal(t, "hangs", m.String())
			assert.Equal(t, attempt, m.Attempt())
			after(lease - 1)
			assert.Zero(t, pull.Stats().Peers[0].InboxMessages, "no other attempt")
			after(time.Minute) // and the pause before the next
			assert.Zero(t, pull.Stats().Peers[0].InboxMessages, "nor now, to wait behind the handler that hangs")
			_, err := pull.Recv(ended())
			require.ErrorIs(t, err, context.Canceled)
			after(time.Second) // now that somebody asks
		}
		d := <-letters
		assert.Equal(t, "3 deliveries failed, the last one: its lease of 30s ran out", d.Reason)
		assert.Equal(t, 3, d.Attempts)
		send(t, push, "is fine")
		m := taken(t, pull)
		assert.Equal(t, "is fine", m.String())
		require.NoError(t, m.Ack())
		require.NoError(t, push.WaitAcked(t.Context()))
	})
}
