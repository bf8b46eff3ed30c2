package socket_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// together sends messages that arrive as one.
func together(raw *sockettest.RawPeer, bodies ...string) {
	var all []byte
	for _, body := range bodies {
		all = zmtp.AppendFrame(all, 0, text(body))
	}
	raw.Write(all)
}

// tenths returns n messages of ten bytes.
func tenths(n int) (bodies []string) {
	for i := range n {
		bodies = append(bodies, fmt.Sprintf("%010d", i+1))
	}
	return bodies
}

// looping returns what takes the messages of a loop over Messages, one at a time.
func looping(t *testing.T, pull interface {
	Messages(context.Context) iter.Seq2[socket.Msg, error]
}) func() socket.Msg {
	next, stop := iter.Pull2(pull.Messages(limit(t)))
	t.Cleanup(stop)
	return func() socket.Msg {
		t.Helper()
		m, err, ok := next()
		require.NoError(t, err)
		require.True(t, ok)
		return m
	}
}

// Each message is acknowledged when the next is asked for, and not before, also where many have come together, and counted as it is.
func TestAck_CountsEachMessageOfMany(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{"PULL", "ROUTER"} {
		for _, loop := range []bool{false, true} {
			var s interface {
				connector
				recver
				Messages(context.Context) iter.Seq2[socket.Msg, error]
				Stats() socket.Stats
				Close() error
			} = socket.NewPull(socket.WithAck(), sluggish())
			peer := "PUSH"
			if typ == "ROUTER" {
				s, peer = socket.NewRouter(socket.WithAck(), sluggish()), "DEALER"
			}
			closing(t, s)
			raw := sockettest.DialRaw(t, bind(t, s, "tcp://127.0.0.1:0"))
			raw.Handshake(peer, 1, sockettest.Property{Name: zmtp.PropertyAck, Value: "1 send"})
			expectCredit(t, raw, 32768, 8<<20)
			const n = 200
			together(raw, tenths(n)...)
			arrive(t, s, n)
			take := func() socket.Msg { return recv(t, s) }
			if loop {
				take = looping(t, s)
			}
			for i := range n {
				m := take()
				require.Equal(t, fmt.Sprintf("%010d", i+1), m.String())
				require.Len(t, m.Frames, map[string]int{"PULL": 1, "ROUTER": 2}[typ])
				if i%7 > 0 { // looking ends what the next would be part of
					continue
				}
				all := s.Stats()
				require.EqualValues(t, i, all.Acks.AckedIn)
				require.Equal(t, n-i, all.Acks.UnackedIn)
				require.EqualValues(t, i+1, all.MessagesIn)
				require.EqualValues(t, 10*(i+1), all.BytesIn)
			}
			_, err := s.Recv(try())
			require.ErrorIs(t, err, context.Canceled)
			expectAck(t, raw, map[bool]string{false: "200", true: "199"}[loop])
		}
	}
}

// The peer is told when half of the credit is acknowledged, be it in the middle of what has come together.
func TestAck_DueInTheMiddleOfMany(t *testing.T) {
	t.Parallel()
	for _, credit := range [][2]int{{20, 1 << 20}, {1000, 200}} {
		pull := socket.NewPull(socket.WithAck(), sluggish(), socket.WithAckCredit(credit[0], credit[1]))
		closing(t, pull)
		raw := source(t, pull, uint64(credit[0]), uint64(credit[1]))
		together(raw, tenths(20)...)
		arrive(t, pull, 20)
		for range 11 {
			recv(t, pull)
		}
		expectAck(t, raw, "10")
		together(raw, tenths(10)...)
		arrive(t, pull, 19)
		for range 10 {
			recv(t, pull)
		}
		expectAck(t, raw, "20")
	}
}

// Whoever says something about one of many messages is understood, whatever the next Recv would say.
func TestAck_AmongMany(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithAck(), sluggish())
	closing(t, pull)
	raw := source(t, pull, 32768, 8<<20)
	together(raw, tenths(9)...)
	arrive(t, pull, 9)
	open := func(want int) {
		t.Helper()
		require.Equal(t, want, pull.Stats().Acks.UnackedIn)
	}
	var m [10]socket.Msg
	for i := 1; i <= 5; i++ {
		m[i] = recv(t, pull)
	}
	require.NoError(t, m[5].Nack(socket.Reject("no")))
	expectNack(t, raw, zmtp.Nack{Tag: 5, Reject: true, Reason: "no"})
	open(4)
	m[6], m[7] = recv(t, pull), recv(t, pull)
	require.NoError(t, m[7].Ack())
	open(2)
	recv(t, pull)
	recv(t, pull)
	open(1)
	_, err := pull.Recv(try())
	require.ErrorIs(t, err, context.Canceled)
	expectAck(t, raw, "9")
	got := pull.Stats().Acks
	assert.EqualValues(t, 8, got.AckedIn)
	assert.EqualValues(t, 1, got.NackedIn)
}

// Loops over Messages and Recv beside each other acknowledge what each of them had.
func TestAck_LoopsAmongMany(t *testing.T) {
	t.Parallel()
	for look := range 6 {
		pull := socket.NewPull(socket.WithAck(), sluggish())
		closing(t, pull)
		raw := source(t, pull, 32768, 8<<20)
		together(raw, tenths(16)...)
		arrive(t, pull, 16)
		takers := map[rune]func() socket.Msg{'a': looping(t, pull), 'b': looping(t, pull), 'r': func() socket.Msg { return recv(t, pull) }}
		had, open := map[rune]bool{}, 16
		for i, who := range "aaarrraabbbaarrb" {
			require.Equal(t, fmt.Sprintf("%010d", i+1), takers[who]().String())
			if had[who] {
				open--
			}
			had[who] = true
			if look > 0 && i%look == 0 {
				require.Equal(t, open, pull.Stats().Acks.UnackedIn, "after %d", i+1)
			}
		}
		_, err := pull.Recv(try()) // is done with the 15th
		require.ErrorIs(t, err, context.Canceled)
		expectAck(t, raw, "12 14-15")
	}
}

// A loop that had a message of another peer acknowledges that, and not what others had of this one.
func TestAck_LoopsAmongManyOfTwoPeers(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithAck(), sluggish())
	closing(t, pull)
	one := source(t, pull, 32768, 8<<20)
	one.SendMessage("one")
	arrive(t, pull, 1)
	a, b := looping(t, pull), looping(t, pull)
	require.Equal(t, "one", a().String())
	two := source(t, pull, 32768, 8<<20)
	together(two, tenths(10)...)
	require.Eventually(t, func() bool { msgs, _ := inboxOf(pull); return msgs == 10 }, sockettest.Timeout, time.Millisecond)
	for range 5 {
		b()
	}
	require.Equal(t, "0000000006", a().String())
	for range 4 {
		recv(t, pull)
	}
	_, err := pull.Recv(try())
	require.ErrorIs(t, err, context.Canceled)
	expectAck(t, one, "1")
	expectAck(t, two, "4 7-10")
}

// What is taken after its connection has ended is not acknowledged, though it came with what was.
func TestAck_ManyThatOutliveTheirConnection(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithAck(), sluggish())
	closing(t, pull)
	events := watch(t, pull)
	raw := source(t, pull, 32768, 8<<20)
	raw.Write(streamed(1, 3, "stream"))
	together(raw, tenths(4)...)
	raw.Write(streamed(1, 1, "stream"))
	together(raw, tenths(6)...)
	arrive(t, pull, 10)
	var m socket.Msg
	for i := range 7 {
		m = recv(t, pull)
		assert.Equal(t, []int{3, 1}[i/4], m.Attempt())
	}
	assert.EqualValues(t, 4, pull.Stats().Acks.RedeliveredIn)
	require.NoError(t, m.Ack())
	raw.Close()
	events(socket.Disconnected)
	for range 3 {
		assert.Equal(t, 2, recv(t, pull).Attempt())
	}
	got := pull.Stats().Acks
	assert.EqualValues(t, 7, got.AckedIn)
	assert.EqualValues(t, 7, got.RedeliveredIn)
}
