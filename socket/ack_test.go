package socket_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Senders in these tests are raw peers, so that what the receiver says is seen octet by octet.

// offering is a raw peer of the type that sends with acknowledgements, connected to s.
func offering(t *testing.T, s connector, socketType, offer string) *sockettest.RawPeer {
	t.Helper()
	raw := sockettest.DialRaw(t, bind(t, s, "tcp://127.0.0.1:0"))
	_, said := raw.Handshake(socketType, 1, sockettest.Property{Name: "x-mesh-ack", Value: offer})
	require.Equal(t, "1 receive max=67108864", said[zmtp.PropertyAck])
	return raw
}

// source is a raw PUSH peer with acknowledgements, its first CREDIT read.
func source(t *testing.T, pull connector, messages, bytes uint64) *sockettest.RawPeer {
	t.Helper()
	raw := offering(t, pull, "PUSH", "1 send")
	expectCredit(t, raw, messages, bytes)
	return raw
}

func expectCredit(t *testing.T, raw *sockettest.RawPeer, messages, bytes uint64) {
	t.Helper()
	m, b, err := zmtp.ParseCredit(raw.ExpectCommand(zmtp.CommandCredit))
	require.NoError(t, err)
	require.Equal(t, []uint64{messages, bytes}, []uint64{m, b})
}

// expectAck reads an ACK, in the notation "5 7-8 10-10".
func expectAck(t *testing.T, raw *sockettest.RawPeer, want string) {
	t.Helper()
	a, err := zmtp.ParseAck(raw.ExpectCommand(zmtp.CommandAck))
	require.NoError(t, err)
	got := fmt.Sprint(a.Floor)
	for r, ok := a.Next(); ok; r, ok = a.Next() {
		got += fmt.Sprintf(" %d-%d", r.First, r.Last)
	}
	require.Equal(t, want, got)
}

func expectNack(t *testing.T, raw *sockettest.RawPeer, want zmtp.Nack) {
	t.Helper()
	n, err := zmtp.ParseNack(raw.ExpectCommand(zmtp.CommandNack))
	require.NoError(t, err)
	require.Equal(t, want, n)
}

func streamed(number uint64, attempt uint32, id string) []byte {
	s := zmtp.Stream{Number: number, Attempt: attempt, Named: id != "", Incarnation: 3}
	copy(s.ID[:], id)
	return zmtp.AppendStream(nil, &s)
}

// sluggish has acknowledgements wait until something else has them sent.
func sluggish() socket.Option { return socket.WithAckDelay(time.Hour) }

// Asking for the next message acknowledges the last, and before Recv waits the sender is told.
func TestAck_ByTheNextRecv(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithAck(), sluggish())
	closing(t, pull)
	raw := source(t, pull, 32768, 8<<20)
	raw.SendMessage("1")
	raw.SendMessage("2", "two")
	arrive(t, pull, 2)
	m := recv(t, pull)
	assert.True(t, m.NeedsAck())
	requireMsg(t, recv(t, pull), "2", "two")
	_, err := pull.Recv(try())
	require.ErrorIs(t, err, context.Canceled)
	expectAck(t, raw, "2")
	raw.SendMessage("3")
	requireMsg(t, recv(t, pull), "3")
	raw.SendMessage("4")
	arrive(t, pull, 1)
	requireMsg(t, recv(t, pull), "4")
	assert.Equal(t, 1, pull.Stats().Acks.UnackedIn)
	require.NoError(t, pull.Close())
	expectAck(t, raw, "3")
	expectCredit(t, raw, 0, 0)
	assert.Empty(t, raw.ExpectClosed(), "4 was not handled")
	assert.EqualValues(t, 3, pull.Stats().Acks.AckedIn)
}

// Each loop over Messages acknowledges what it has done, and what a loop was left with stays.
func TestAck_ByLoops(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithAck(), sluggish())
	closing(t, pull)
	raw := source(t, pull, 32768, 8<<20)
	for i := range 4 {
		raw.SendMessage(fmt.Sprint(i + 1))
	}
	arrive(t, pull, 4)
	for m, err := range pull.Messages(limit(t)) { // takes 1, and works on it
		require.NoError(t, err)
		requireMsg(t, m, "1")
		for m, err := range pull.Messages(limit(t)) { // another worker
			require.NoError(t, err)
			if m.String() == "4" {
				break
			}
		}
		_, err = pull.Recv(try())
		require.ErrorIs(t, err, context.Canceled)
		expectAck(t, raw, "0 2-3")
		break
	}
	require.NoError(t, pull.Close())
	expectCredit(t, raw, 0, 0)
	assert.Empty(t, raw.ExpectClosed(), "1 and 4 are nobody's")
}

// Where it cannot be told which caller is done with what, there is one caller.
func TestAck_OneRecvAtATime(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithAck())
	closing(t, pull)
	source(t, pull, 32768, 8<<20)
	first := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		err := socket.ErrState
		for errors.Is(err, socket.ErrState) { // the one below was quicker
			_, err = pull.Recv(ctx)
		}
		first <- err
	}()
	require.Eventually(t, func() bool {
		_, err := pull.Recv(try())
		return errors.Is(err, socket.ErrState)
	}, sockettest.Timeout, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	_, err := pull.Recv(try())
	require.ErrorIs(t, err, context.Canceled)
}

func TestAck_Manual(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), sluggish())
	closing(t, pull)
	raw := source(t, pull, 32768, 8<<20)
	var got []socket.Msg
	for i := range 8 {
		raw.SendMessage(fmt.Sprint(i + 1))
		got = append(got, recv(t, pull))
	}
	require.NoError(t, got[2].Ack())
	copied := got[4].Clone()
	require.NoError(t, copied.Ack())
	require.NoError(t, got[4].Ack(), "again")
	require.NoError(t, got[4].Nack(socket.Nack{}), "too late")
	_, err := pull.Recv(try())
	require.ErrorIs(t, err, context.Canceled)
	expectAck(t, raw, "0 3-3 5-5")

	require.NoError(t, got[0].Nack(socket.RetryAfter(time.Second)))
	expectNack(t, raw, zmtp.Nack{Tag: 1, After: time.Second})
	require.NoError(t, got[1].Nack(socket.Reject("no such customer")))
	expectNack(t, raw, zmtp.Nack{Tag: 2, Reject: true, Reason: "no such customer"})
	require.NoError(t, got[1].Ack(), "it is refused")
	require.NoError(t, got[5].Ack())
	_, err = pull.Recv(try())
	require.ErrorIs(t, err, context.Canceled)
	expectAck(t, raw, "3 6-6")

	require.NoError(t, got[6].Ack())
	require.NoError(t, pull.Close())
	expectAck(t, raw, "3 7-7")
	raw.ExpectClosed()
	require.ErrorIs(t, got[3].Ack(), socket.ErrPeerGone)
	require.ErrorIs(t, got[7].Nack(socket.Nack{}), socket.ErrPeerGone)
	require.NoError(t, got[6].Ack(), "it went out")
	assert.Equal(t, socket.AckStats{AckedIn: 4, NackedIn: 2}, pull.Stats().Acks)
}

// Half of the credit acknowledged is said without waiting, in messages as well as in bytes, and so is what has waited for long enough.
func TestAck_Batches(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		option socket.Option
		size   int
		acks   []string // after the messages
	}{
		"by count": {socket.WithAckCredit(10, 8<<20), 8, []string{"", "", "", "", "5", "", "", "", "", "10"}},
		"by bytes": {socket.WithAckCredit(1000, 1000), 250, []string{"", "2", "", "4"}},
		"one":      {socket.WithAckCredit(1, 8<<20), 8, []string{"1", "2", "3"}},
		"no delay": {socket.WithAckDelay(0), 8, []string{"1", "2", "3"}},
		"a moment": {socket.WithAckDelay(time.Millisecond), 8, []string{"1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), sluggish(), test.option)
			closing(t, pull)
			raw := offering(t, pull, "PUSH", "1 send")
			raw.ExpectCommand(zmtp.CommandCredit)
			for i, want := range test.acks {
				raw.SendMessage(string(make([]byte, test.size)))
				require.NoError(t, recvAny(t, pull).Ack())
				if want != "" {
					expectAck(t, raw, want)
				}
				assert.EqualValues(t, i+1, pull.Stats().Acks.AckedIn)
			}
		})
	}
}

// recvAny receives without ever waiting in Recv, which would have acknowledgements sent.
func recvAny(t *testing.T, pull *socket.Pull) socket.Msg {
	t.Helper()
	arrive(t, pull, 1)
	return recv(t, pull)
}

// arrive waits until n messages of the only peer lie in the inbox.
func arrive(t *testing.T, s interface{ Stats() socket.Stats }, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		peers := s.Stats().Peers
		return len(peers) > 0 && peers[0].InboxMessages == n
	}, sockettest.Timeout, time.Millisecond)
}

// Credit is what WithAckCredit says, at most what the high-water marks do, and follows what changes them.
func TestAck_Credit(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithAck(), socket.WithAckCredit(0, 0), socket.WithRecvHWM(20))
	closing(t, pull)
	raw := source(t, pull, 0, 0)
	require.NoError(t, pull.SetAckCredit(5, 500))
	expectCredit(t, raw, 5, 500)
	require.NoError(t, pull.SetAckCredit(5, 500))
	require.NoError(t, pull.SetAckCredit(50, 100<<20))
	expectCredit(t, raw, 20, 64<<20)
	require.NoError(t, pull.SetRecvHWM(10))
	expectCredit(t, raw, 10, 64<<20)
	require.ErrorIs(t, pull.SetAckCredit(-1, 0), socket.ErrOption)
	plain := socket.NewPull()
	closing(t, plain)
	require.ErrorIs(t, plain.SetAckCredit(1, 1), socket.ErrState)
	for range 20 { // the most that was granted
		raw.SendMessage("x")
	}
	arrive(t, pull, 20)
}

// The place of a message in its sender's stream, and its attempt, come with STREAM and SKIP, also where these share a read with messages. A message says so as long as it is
// kept, and so does its clone.
func TestAck_Places(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithAck())
	closing(t, pull)
	raw := source(t, pull, 32768, 8<<20)
	const a, b = "0123456789abcdef", "fedcba9876543210"
	message := func(body string) []byte { return zmtp.AppendFrame(nil, 0, []byte(body)) }
	var all []byte
	for _, part := range [][]byte{
		message("nowhere"),
		streamed(7, 1, a), message("7"), message("8"),
		zmtp.AppendSkip(nil, 2), message("11"),
		streamed(3, 2, ""), message("3 again"), message("4 again"),
		zmtp.AppendSkip(nil, 1), zmtp.AppendSkip(nil, 1), message("7 again"),
		streamed(1, 1, a), streamed(12, 1, ""), message("12"),
		streamed(99, 1, b), zmtp.AppendFrame(nil, zmtp.FlagMore, make([]byte, 100_000)), message("99"), message("100"),
	} {
		all = append(all, part...)
	}
	raw.Write(all)
	type place struct {
		body, stream string
		number       uint64
		attempt      int
	}
	of := func(m socket.Msg) place {
		p := place{body: m.String(), attempt: m.Attempt()}
		if mark, ok := m.Mark(); ok {
			assert.EqualValues(t, 3, mark.Incarnation)
			p.stream, p.number = string(mark.Stream[:]), mark.Number
		}
		assert.Equal(t, p.attempt > 1, m.Redelivered(), p.body)
		return p
	}
	var wants []place
	var kept []socket.Msg
	for _, want := range []place{
		{"nowhere", "", 0, 1}, {"7", a, 7, 1}, {"8", a, 8, 1}, {"11", a, 11, 1}, {"3 again", a, 3, 2}, {"4 again", a, 4, 2}, {"7 again", a, 7, 2},
		{"12", a, 12, 1}, {"99", b, 99, 1}, {"100", b, 100, 1}, {"101", b, 101, 1}, {"102", b, 102, 1},
	} {
		if want.number > 100 { // each in a read of its own
			raw.SendMessage(want.body)
		}
		m := recv(t, pull)
		require.Equal(t, want, of(m))
		wants, kept = append(wants, want, want), append(kept, m, m.Clone())
	}
	for i, m := range kept {
		assert.Equal(t, wants[i], of(m))
	}
	assert.EqualValues(t, 3, pull.Stats().Acks.RedeliveredIn)
}
