package socket_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// Who sends a message that is too large for the only peer there is learns it, and the connection with all that is on its way lives on.
func TestTooLargeForThePeer(t *testing.T) {
	for name, small := range smallLimits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tooLargeForThePeer(t, name, small)
		})
	}
}

// smallLimits are the two ways to take 1000 bytes at most.
var smallLimits = map[string]socket.Option{"message": socket.WithMaxMessageSize(1000), "frame": socket.WithMaxFrameSize(1000)}

func tooLargeForThePeer(t *testing.T, name string, small socket.Option) {
	large := bytes.Repeat([]byte("x"), 2000)
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
	halves := [][]byte{large[:1000], large[:1000]} // of which the frames do, and the message does not
	for _, err := range []error{push.Send(limit(t), halves...), router.Send(limit(t), []byte("d"), halves[0], halves[1])} {
		assert.Equal(t, name == "message", errors.Is(err, socket.ErrTooLarge), "%v", err)
	}
	require.NoError(t, push.Send(limit(t), []byte("after")))
	require.NoError(t, router.Send(limit(t), []byte("d"), []byte("after")))
	for _, s := range []recver{pull, dealer} {
		m, err := s.Recv(limit(t))
		require.NoError(t, err)
		assert.Len(t, m.Bytes(), 1000)
		require.NoError(t, m.Ack())
		if name == "frame" {
			m, err = s.Recv(limit(t))
			require.NoError(t, err)
			assert.Len(t, m.Frames, 2)
			require.NoError(t, m.Ack())
		}
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

// A message of a spool that is too large for whoever there is becomes a dead letter, without ending a connection, while those behind it go their way: that of a
// PUSH, and that of a PUB for a durable subscription.
func TestTooLargeForThePeerInASpool(t *testing.T) {
	for name, small := range smallLimits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dead := make(chan socket.DeadLetter, 2)
			dying := []socket.Option{swiftRetry(), socket.WithAttempts(3), socket.WithDeadLetter(func(d socket.DeadLetter) { dead <- d })}
			push := socket.NewPush(append(dying, socket.WithSpool(filepath.Join(t.TempDir(), "spool"), spool.Options{Policy: spool.OS}))...)
			pub, at := logged(t, filepath.Join(t.TempDir(), "log"), dying...)
			pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), small)
			for _, body := range [][]byte{[]byte("before"), bytes.Repeat([]byte("x"), 2000), []byte("after")} {
				require.NoError(t, push.Send(limit(t), body))
				require.NoError(t, pub.Send(limit(t), []byte("t"), body))
			}
			require.NoError(t, pull.Connect(bind(t, push, "tcp://127.0.0.1:0")))
			sub := durable(t, at, "name", spool.Beginning(), socket.WithManualAck(), small)
			closing(t, push, pull, pub, sub)
			for _, s := range []recver{pull, sub} {
				for _, want := range []string{"before", "after"} {
					m := recv(t, s)
					assert.Equal(t, want, string(m.Frames[len(m.Frames)-1]))
					require.NoError(t, m.Ack())
				}
				letter := <-dead
				assert.EqualValues(t, 2, letter.Number)
				assert.Equal(t, 3, letter.Attempts)
				assert.Contains(t, letter.Reason, "message too large: ")
				assert.Contains(t, letter.Reason, "takes at most 1000")
			}
			require.NoError(t, push.WaitAcked(limit(t)))
			for _, sender := range []socket.Stats{push.Stats(), pub.Stats()} {
				assert.Zero(t, sender.Acks.RedeliveredOut)
			}
			for _, receiver := range []socket.Stats{pull.Stats(), sub.Stats()} {
				assert.Zero(t, receiver.Peers[0].Reconnects)
			}
		})
	}
}

// Where nothing is acknowledged, a PUSH that heeds limits waits for a peer that takes the message, though others have room, and says so when there is none.
func TestPeerLimits_OfWorkers(t *testing.T) {
	t.Parallel()
	push := socket.NewPush(socket.WithPeerLimits(), socket.WithSendHWM(1), socket.WithSendHWMBytes(1<<20))
	tell := []socket.Option{socket.WithPeerLimits(), socket.WithRecvHWM(1)}
	small, large := socket.NewPull(append(tell, socket.WithMaxMessageSize(1000))...), socket.NewPull(tell...)
	closing(t, push, small, large)
	at := bind(t, push, "tcp://127.0.0.1:0")
	require.NoError(t, small.Connect(at))
	require.NoError(t, push.WaitPeers(limit(t), 1))
	body := bytes.Repeat([]byte("x"), 1<<19)
	for range 3 {
		err := push.Send(limit(t), body)
		require.ErrorIs(t, err, socket.ErrTooLarge)
		require.ErrorContains(t, err, "takes at most 1000")
		require.ErrorIs(t, push.SendOwned(limit(t), bytes.Clone(body)), socket.ErrTooLarge)
	}
	require.NoError(t, large.Connect(at))
	require.NoError(t, push.WaitPeers(limit(t), 2))
	sent := fill(t, push, len(body))
	require.Positive(t, sent)
	require.ErrorIs(t, push.Send(try(), body), socket.ErrFull, "who takes it has no room")
	waiting := make(chan error, 1)
	go func() { waiting <- push.Send(limit(t), body) }()
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() { // until it is closed
		for _, err := small.Recv(t.Context()); err == nil; _, err = small.Recv(t.Context()) {
		}
	})
	defer small.Close()
	for range 100 {
		require.NoError(t, push.Send(limit(t), []byte("small")), "others use the room that there is")
	}
	for got := 0; got < sent+1; {
		if m := recv(t, large); m.Size() == len(body) {
			got++
		}
	}
	require.NoError(t, <-waiting)
	assert.Zero(t, small.Stats().Peers[0].Reconnects)
	assert.Zero(t, large.Stats().Peers[0].Reconnects)

	fill(t, push, len(body))
	go func() {
		err := push.Send(limit(t), body)
		for ; err == nil; err = push.Send(limit(t), body) { // there may be some room yet
		}
		waiting <- err
	}()
	require.NoError(t, large.Close())
	require.ErrorIs(t, <-waiting, socket.ErrTooLarge, "nobody takes it any more")
}

// A publisher that heeds limits drops what a subscriber does not take for that one alone, counts it, and goes on with the connection.
func TestPeerLimits_OfSubscribers(t *testing.T) {
	for name, policy := range map[string]socket.DropPolicy{"drop": socket.DropNewest, "block": socket.Block} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pub := socket.NewPub(socket.WithPeerLimits(), socket.WithDropPolicy(policy), socket.WithLastValue(10, 1<<20))
			small, large := socket.NewSub(socket.WithPeerLimits(), socket.WithMaxFrameSize(1000)), socket.NewSub(socket.WithPeerLimits())
			closing(t, pub, small, large)
			at := bind(t, pub, "tcp://127.0.0.1:0")
			body := bytes.Repeat([]byte("x"), 2000)
			require.NoError(t, pub.Send(limit(t), []byte("t.last"), body))
			for i, sub := range []*socket.Sub{small, large} {
				require.NoError(t, sub.Subscribe("t"))
				require.NoError(t, sub.Connect(at))
				require.NoError(t, pub.WaitSubscribers(limit(t), "t", i+1))
			}
			for _, b := range [][]byte{body[:1000], body, []byte("after")} {
				require.NoError(t, pub.Send(limit(t), []byte("t"), b))
			}
			for _, want := range []int{2000, 1000, 2000, 5} {
				require.Len(t, recv(t, large).Frames[1], want)
			}
			for _, want := range []int{1000, 5} {
				require.Len(t, recv(t, small).Frames[1], want)
			}
			for _, p := range pub.Stats().Peers {
				if n := p.Dropped[socket.DropRefused]; n > 0 {
					assert.EqualValues(t, 2, n, "the last value is one")
					require.ErrorIs(t, pub.SendTo(limit(t), p.Peer, []byte("t"), body), socket.ErrTooLarge)
				}
			}
			assert.Equal(t, map[socket.DropReason]uint64{socket.DropRefused: 2}, pub.Stats().Dropped)
			send(t, pub, "t", "end")
			requireMsg(t, recv(t, small), "t", "end")
			assert.Zero(t, small.Stats().Peers[0].Reconnects)
		})
	}
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
