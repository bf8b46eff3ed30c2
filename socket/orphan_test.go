package socket_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// eachKeeper runs a test with messages kept in memory and in a spool.
func eachKeeper(t *testing.T, test func(t *testing.T, keep socket.Option)) {
	eachKeeperAlone(t, func(t *testing.T, keep socket.Option) {
		t.Parallel()
		test(t, keep)
	})
}

// eachKeeperAlone is eachKeeper with one after the other, and, in a test that is not parallel, with no other test beside.
func eachKeeperAlone(t *testing.T, test func(t *testing.T, keep socket.Option)) {
	t.Run("memory", func(t *testing.T) { test(t, socket.WithAck()) })
	t.Run("spool", func(t *testing.T) {
		test(t, socket.WithSpool(filepath.Join(t.TempDir(), "spool"), spool.Options{Policy: spool.OS}))
	})
}

// taker is a raw PULL peer that acknowledges, and has given credit.
func taker(t *testing.T, at string, credit uint64, offer string) *sockettest.RawPeer {
	t.Helper()
	return ways["PUSH"].taker(t, at, credit, offer)
}

// takeBody reads the next message, which has one frame.
func takeBody(raw *sockettest.RawPeer) string {
	for {
		if f := raw.ReadFrame(); f.Flags&zmtp.FlagCommand == 0 {
			return string(f.Body)
		}
	}
}

// A message whose receivers end while they have it is delivered so often as WithAttempts says; what was with it lives, since the last delivery is alone.
func TestOrphaned_OnlyTheCulpritIsGivenUp(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, keep socket.Option) {
		letters := make(chan socket.DeadLetter, 10)
		push := socket.NewPush(keep, swiftRetry(), socket.WithAttempts(3), socket.WithDeadLetter(func(d socket.DeadLetter) { letters <- d }))
		closing(t, push)
		at := bind(t, push, "tcp://127.0.0.1:0")
		all := []string{"poison", "2", "3", "4", "5"}
		raw := taker(t, at, 10, "1 receive")
		for _, body := range all {
			send(t, push, body)
		}
		for range 3 {
			for _, want := range all {
				require.Equal(t, want, takeBody(raw))
			}
			raw.Reset()
			raw = taker(t, at, 10, "1 receive")
		}
		require.Equal(t, "poison", takeBody(raw))
		flying := 0
		for _, p := range push.Stats().Peers {
			flying += p.Unacked
		}
		assert.Equal(t, 1, flying, "it is alone there")
		raw.Reset()
		raw = taker(t, at, 10, "1 receive")
		for i, want := range all[1:] {
			require.Equal(t, want, takeBody(raw))
			raw.Write(zmtp.AppendAck(nil, uint64(i+1), nil))
		}
		require.NoError(t, push.WaitAcked(limit(t)))
		d := <-letters
		assert.EqualValues(t, 1, d.Number)
		assert.Equal(t, 4, d.Attempts)
		assert.Equal(t, bodies("poison"), d.Frames)
		assert.Contains(t, d.Reason, "4 deliveries failed: at the last one the connection ended while the receiver had this message and no other")
		assert.EqualValues(t, 1, push.Stats().Acks.DeadLettered)
	})
}

// A message that was being written when its connection ended goes out before anything newer, though that was a failed delivery of it.
func TestOrphaned_TheOneBeingWrittenGoesFirst(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, keep socket.Option) {
		push := socket.NewPush(keep, socket.WithRetry(time.Hour, time.Hour))
		closing(t, push)
		at := bind(t, push, "tcp://127.0.0.1:0")
		old := taker(t, at, 10, "1 receive")
		large := string(make([]byte, 32<<20)) // more than systems hold for a connection
		send(t, push, large)
		old.ExpectCommand("STREAM")
		old.Read(1 << 10)
		sent := make(chan error)
		go func() { sent <- push.Send(limit(t), text("newer")) }()
		old.Close()
		require.Eventually(t, func() bool { return push.Stats().Acks.RedeliveredOut == 1 }, sockettest.Timeout, time.Millisecond)
		anew := taker(t, at, 10, "1 receive")
		require.Equal(t, len(large), len(takeBody(anew)))
		anew.Write(zmtp.AppendAck(nil, 1, nil))
		require.Equal(t, "newer", takeBody(anew))
		require.NoError(t, <-sent)
		anew.Write(zmtp.AppendAck(nil, 2, nil))
		require.NoError(t, push.WaitAcked(limit(t)))
	})
}

// Who leaves in order, on either side, says nothing about the messages that it had: they may fail no more often for that.
func TestOrphaned_LeavingInOrderCountsForNothing(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, keep socket.Option) {
		push := socket.NewPush(keep, swift(), socket.WithAttempts(1))
		closing(t, push)
		send := func() { require.NoError(t, push.Send(limit(t), text("work"))) }
		attempts := 0
		for _, leave := range []func(pull *socket.Pull, at string, m socket.Msg) error{
			func(pull *socket.Pull, _ string, _ socket.Msg) error { return pull.Close() },
			func(pull *socket.Pull, _ string, m socket.Msg) error {
				return errors.Join(pull.Kick(m.Peer()), pull.Close())
			},
			func(*socket.Pull, string, socket.Msg) error { return push.Kick(push.Peers()[0]) },
			func(_ *socket.Pull, at string, _ socket.Msg) error { return push.Disconnect(at) },
		} {
			pull := socket.NewPull(socket.WithAck(), socket.WithManualAck())
			closing(t, pull)
			at := bind(t, pull, "tcp://127.0.0.1:0")
			require.NoError(t, push.Connect(at))
			if attempts == 0 {
				require.NoError(t, push.WaitPeers(limit(t), 1))
				send()
			}
			m := recv(t, pull)
			require.Greater(t, m.Attempt(), attempts) // one more for each that was back before the pull was closed
			attempts = m.Attempt()
			require.NoError(t, leave(pull, at, m))
			require.NoError(t, pull.Close())
			if err := push.Disconnect(at); err != nil {
				require.ErrorIs(t, err, socket.ErrEndpoint)
			}
		}
		pull := socket.NewPull(socket.WithAck())
		closing(t, pull)
		require.NoError(t, push.Connect(bind(t, pull, "tcp://127.0.0.1:0")))
		require.Greater(t, recv(t, pull).Attempt(), attempts)
		_, err := pull.Recv(try())
		require.Error(t, err)
		require.NoError(t, push.WaitAcked(limit(t)))
		assert.Zero(t, push.Stats().Acks.DeadLettered)
	})
}

// Who has stopped its senders and ends then has failed with what it had, as a receiver does whose lease ran out (WithLease) or that pauses. Credit of zero and zero is what one leaves with.
func TestOrphaned_AStopIsNoLeave(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, keep socket.Option) {
		for _, last := range []struct {
			messages, bytes uint64
			fails           bool
		}{{0, 1 << 20, true}, {1, 0, true}, {0, 0, false}} {
			push := socket.NewPush(keep, swift(), socket.WithAttempts(1))
			closing(t, push)
			at := bind(t, push, "tcp://127.0.0.1:0")
			raw := taker(t, at, 1, "1 receive")
			send(t, push, "poison")
			require.Equal(t, "poison", takeBody(raw))
			raw.Write(zmtp.AppendCredit(nil, last.messages, last.bytes))
			raw.SendCommand("PING", []byte{0, 0, 'x'})
			require.Equal(t, "x", string(raw.ExpectCommand("PONG"))) // it has read the credit
			raw.Reset()
			if last.fails {
				require.Eventually(t, func() bool { return push.Stats().Acks.DeadLettered == 1 }, sockettest.Timeout, time.Millisecond, last)
			} else {
				anew := taker(t, at, 1, "1 receive")
				require.Equal(t, "poison", takeBody(anew))
				anew.Write(zmtp.AppendAck(nil, 1, nil))
			}
			require.NoError(t, push.WaitAcked(limit(t)))
			require.NoError(t, push.Close())
		}
	})
}

// A message waits for the peer that takes its size, though another has room that does not, and costs it no attempt; what that other takes goes on.
func TestTooLarge_WaitsForThePeerThatTakesIt(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("x"), 2000)
	eachKeeper(t, func(t *testing.T, keep socket.Option) {
		push := socket.NewPush(keep, swiftRetry(), socket.WithAttempts(1))
		closing(t, push)
		at := bind(t, push, "tcp://127.0.0.1:0")
		wide := taker(t, at, 1, "1 receive")
		require.NoError(t, push.WaitPeers(limit(t), 1))
		send(t, push, "first")
		require.Equal(t, "first", takeBody(wide))
		narrow := taker(t, at, 100, "1 receive max=1000")
		require.NoError(t, push.WaitPeers(limit(t), 2))
		sent := make(chan error, 1)
		go func() { sent <- push.Send(limit(t), large) }()
		smalls := uint64(0)
		for push.Stats().Spool == nil && smalls < 10 { // in a spool what stands before goes before
			send(t, push, "small")
			require.Equal(t, "small", takeBody(narrow))
			smalls++
		}
		if smalls > 0 {
			require.Empty(t, sent)
		}
		wide.Write(zmtp.AppendAck(nil, 1, nil))
		require.Equal(t, string(large), takeBody(wide))
		require.NoError(t, <-sent)
		wide.Write(zmtp.AppendAck(nil, 2, nil))
		narrow.Write(zmtp.AppendAck(nil, smalls, nil))
		require.NoError(t, push.WaitAcked(limit(t)))
		assert.Zero(t, push.Stats().Acks.DeadLettered)
		assert.Zero(t, push.Stats().Acks.RedeliveredOut)
	})
}
