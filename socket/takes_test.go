package socket_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// Who sends a message that is too large for the only peer there is learns it, and the connection with all that is on its way lives on.
func TestTooLargeForThePeer(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("x"), 2000)
	small := socket.WithMaxMessageSize(1000)
	push, pull := socket.NewPush(socket.WithAck(), swiftRetry(), socket.WithAttempts(0)), socket.NewPull(socket.WithAck(), socket.WithManualAck(), small)
	router, dealer := socket.NewRouter(socket.WithAck()), socket.NewDealer(socket.WithAck(), socket.WithManualAck(), small, socket.WithIdentity("d"))
	closing(t, push, pull, router, dealer)
	require.NoError(t, pull.Connect(bind(t, push, "tcp://127.0.0.1:0")))
	require.NoError(t, dealer.Connect(bind(t, router, "tcp://127.0.0.1:0")))
	require.NoError(t, push.WaitPeers(limit(t), 1))
	require.NoError(t, router.WaitPeers(limit(t), 1))
	for _, size := range []int{1000, 2000} {
		err := push.Send(limit(t), large[:size])
		assert.Equal(t, size > 1000, err != nil, "%v", err)
		answer := router.Send(limit(t), []byte("d"), large[:size])
		assert.Equal(t, size > 1000, answer != nil, "%v", answer)
		if size > 1000 {
			assert.ErrorIs(t, err, socket.ErrTooLarge)
			assert.ErrorContains(t, err, "2000 bytes, "+push.Stats().Peers[0].Peer.Address()+" takes at most 1000")
			assert.ErrorIs(t, answer, socket.ErrTooLarge)
		}
	}
	require.NoError(t, push.Send(limit(t), []byte("after")))
	require.NoError(t, router.Send(limit(t), []byte("d"), []byte("after")))
	for _, s := range []recver{pull, dealer} {
		m, err := s.Recv(limit(t))
		require.NoError(t, err)
		assert.Len(t, m.Bytes(), 1000)
		require.NoError(t, m.Ack())
		m, err = s.Recv(limit(t))
		require.NoError(t, err)
		assert.Equal(t, "after", string(m.Bytes()))
		require.NoError(t, m.Ack())
	}
	other := socket.NewPull(socket.WithAck(), socket.WithManualAck())
	closing(t, other)
	require.NoError(t, other.Connect(push.Stats().Endpoints[0]))
	require.NoError(t, push.WaitPeers(limit(t), 2))
	for range 2 {
		require.NoError(t, push.Send(limit(t), large), "one of the two takes it")
		m, err := other.Recv(limit(t))
		require.NoError(t, err)
		assert.Len(t, m.Bytes(), 2000)
		require.NoError(t, m.Ack())
	}
	require.NoError(t, push.WaitAcked(limit(t)))
	require.NoError(t, router.WaitAcked(limit(t)))
}

// A message of a spool that is too large for whoever there is becomes a dead letter, without ending a connection, while those behind it go their way.
func TestTooLargeForThePeerInASpool(t *testing.T) {
	t.Parallel()
	dead := make(chan socket.DeadLetter, 1)
	push := socket.NewPush(socket.WithSpool(filepath.Join(t.TempDir(), "spool"), spool.Options{Policy: spool.OS}), swiftRetry(), socket.WithAttempts(3),
		socket.WithDeadLetter(func(d socket.DeadLetter) { dead <- d }))
	pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithMaxMessageSize(1000))
	closing(t, push, pull)
	for _, body := range [][]byte{[]byte("before"), bytes.Repeat([]byte("x"), 2000), []byte("after")} {
		require.NoError(t, push.Send(limit(t), body))
	}
	require.NoError(t, pull.Connect(bind(t, push, "tcp://127.0.0.1:0")))
	for _, want := range []string{"before", "after"} {
		m, err := pull.Recv(limit(t))
		require.NoError(t, err)
		assert.Equal(t, want, string(m.Bytes()))
		require.NoError(t, m.Ack())
	}
	letter := <-dead
	assert.EqualValues(t, 2, letter.Number)
	assert.Equal(t, 3, letter.Attempts)
	assert.Contains(t, letter.Reason, "message too large: 2000 bytes")
	require.NoError(t, push.WaitAcked(limit(t)))
	assert.Zero(t, push.Stats().Acks.RedeliveredOut)
}

// A ROUTER that heeds limits sends a peer what it said that it takes, whatever else stands there, and one that does not heed them sends all.
func TestPeerLimits_Heeded(t *testing.T) {
	t.Parallel()
	router, other := socket.NewRouter(socket.WithPeerLimits(), socket.WithMaxMessageSize(5000), socket.WithMaxFrameSize(0)), socket.NewRouter()
	closing(t, router, other)
	at := []string{bind(t, router, "tcp://127.0.0.1:0"), bind(t, other, "tcp://127.0.0.1:0")}
	ten := strings.Repeat("x", 10)
	for i, tc := range []struct {
		said  string
		sizes []int // that go out, of messages of one frame and of two frames of ten bytes
	}{
		{"10 0", []int{1}}, {"0 10", []int{1, 2}}, {"20 10", []int{1, 2}}, {"20 9", nil}, {"9", nil}, {"10 x later", []int{1}}, {"", []int{1, 2}}, {"-1 -1", []int{1, 2}},
		{"99999999999999999999 5e3", []int{1, 2}}, {"1,5", []int{1, 2}},
	} {
		for k, s := range []*socket.Router{router, other} {
			id := fmt.Sprint("p", i)
			raw := sockettest.DialRaw(t, at[k])
			_, said := raw.Handshake("DEALER", 1, sockettest.Property{Name: "Identity", Value: id}, sockettest.Property{Name: "x-mesh-limits", Value: tc.said})
			assert.Equal(t, []string{"5000 0", ""}[k], said["X-Mesh-Limits"])
			require.NoError(t, s.WaitPeers(limit(t), i+1))
			var want []string
			for frames := 1; frames <= 2; frames++ {
				err := s.Send(limit(t), append([][]byte{text(id)}, bodies(ten, ten)[:frames]...)...)
				if k == 1 || slices.Contains(tc.sizes, frames) {
					require.NoError(t, err, tc.said)
					want = append(want, slices.Repeat([]string{ten}, frames)...)
					continue
				}
				require.ErrorIs(t, err, socket.ErrTooLarge, tc.said)
				require.ErrorContains(t, err, "takes at most")
			}
			var got []string
			for len(got) < len(want) {
				got = append(got, raw.ReadMessage()...)
			}
			require.Equal(t, want, got)
		}
	}
}
