package socket_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// octets is a whole command frame.
func octets(name string, data ...byte) []byte { return zmtp.AppendCommand(nil, name, data) }

// lie is what costs a peer its connection, and what that is refused for.
type lie struct {
	said    []byte
	refusal socket.Refusal
}

// senderLies are those about messages, of who has credit for ten.
func senderLies() map[string]lie {
	more, last := zmtp.AppendFrame(nil, zmtp.FlagMore, []byte("a")), zmtp.AppendFrame(nil, 0, []byte("b"))
	huge := bytes.Repeat([]byte{0xff}, 9)
	return map[string]lie{
		"more than its credit":             {bytes.Repeat(last, 11), socket.RefusedAck},
		"STREAM without an attempt":        {octets("STREAM", 0, 1), socket.RefusedProtocol},
		"STREAM of number 0":               {streamed(0, 1, "s"), socket.RefusedProtocol},
		"STREAM of attempt 0":              {streamed(1, 0, "s"), socket.RefusedProtocol},
		"STREAM of number 2^63":            {octets("STREAM", append(append([]byte{0}, huge...), 1, 1)...), socket.RefusedProtocol},
		"STREAM with octets left over":     {octets("STREAM", 0, 1, 1, 1), socket.RefusedProtocol},
		"STREAM with unknown flags":        {octets("STREAM", 4, 1, 1), socket.RefusedProtocol},
		"STREAM that never named a stream": {streamed(1, 1, ""), socket.RefusedProtocol},
		"STREAM within a message":          {append(append(bytes.Clone(more), streamed(1, 1, "s")...), last...), socket.RefusedProtocol},
		"SKIP within a message":            {append(append(append(streamed(1, 1, "s"), more...), octets("SKIP", 1)...), last...), socket.RefusedProtocol},
		"SKIP before any STREAM":           {octets("SKIP", 1), socket.RefusedProtocol},
		"SKIP of nothing":                  {append(streamed(1, 1, "s"), octets("SKIP", 0)...), socket.RefusedProtocol},
		"SKIP beyond 2^63":                 {append(streamed(math.MaxInt64, 1, "s"), octets("SKIP", 1)...), socket.RefusedProtocol},
		"SKIPs that add up beyond 2^63": {append(append(streamed(1, 1, "s"), zmtp.AppendSkip(nil, math.MaxInt64-1)...), zmtp.AppendSkip(nil, 1)...),
			socket.RefusedProtocol},
	}
}

// A sender that breaks the rules loses its connection, which is counted by kind; what it sent before stands, and what others send is not concerned.
func TestAck_HostileSender(t *testing.T) {
	t.Parallel()
	for typ, peer := range map[string]string{"PULL": "PUSH", "DEALER": "DEALER", "ROUTER": "DEALER", "SUB": "PUB"} {
		for name, test := range senderLies() {
			t.Run(typ+"/"+name, func(t *testing.T) {
				t.Parallel()
				with := socket.WithAck()
				if typ == "SUB" {
					with = socket.WithDurable("x", spool.Beginning())
				}
				s := makers[typ](with, socket.WithManualAck(), socket.WithAckCredit(10, 1<<20))
				closing(t, s)
				if sub, ok := s.(*socket.Sub); ok {
					require.NoError(t, sub.Subscribe(""))
				}
				await := watch(t, s)
				good, bad := sourceAs(t, s, peer), sourceAs(t, s, peer)
				good.SendMessage("good")
				r := s.(recver)
				require.NoError(t, recv(t, r).Ack())
				bad.Write(test.said)
				bad.ExpectClosed()
				e := await(socket.Disconnected)
				assert.Equal(t, test.refusal, e.Refusal, "%v", e.Err)
				assert.Equal(t, map[socket.Refusal]uint64{test.refusal: 1}, s.Stats().Refused)
				expectAck(t, good, "1")
				good.SendMessage("still here")
				require.Equal(t, "still here", recv(t, r).String())
				assert.Zero(t, s.Stats().Missed)
			})
		}
	}
}

// sourceAs is source for a peer of any type, with credit for ten; a PUB has answered RESUME.
func sourceAs(t *testing.T, s connector, typ string) *sockettest.RawPeer {
	t.Helper()
	raw := sockettest.DialRaw(t, bind(t, s, "tcp://127.0.0.1:0"))
	raw.Handshake(typ, 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
	expectCredit(t, raw, 10, 1<<20)
	if typ == "PUB" {
		raw.ExpectCommand("SUBSCRIBE")
		raw.ExpectCommand("RESUME")
		raw.Write(zmtp.AppendResumed(nil, &zmtp.Resumed{Next: 10}))
	}
	return raw
}

// A flood of STREAM and SKIP without messages keeps one of them, and what means nothing to a receiver is ignored.
func TestAck_Floods(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithAck())
	closing(t, pull)
	raw := source(t, pull, 32768, 8<<20)
	for _, flood := range [][]byte{streamed(1, 1, "s"), zmtp.AppendSkip(nil, 1)} {
		raw.Write(bytes.Repeat(flood, 20_000))
	}
	for _, wrong := range [][]byte{zmtp.AppendAck(nil, 99, nil), zmtp.AppendNack(nil, &zmtp.Nack{Tag: 1 << 40}), zmtp.AppendCredit(nil, 1<<62, 1<<62), octets("ACK"), octets("NACK", 9)} {
		raw.Write(wrong)
	}
	raw.SendMessage("x")
	m := recv(t, pull)
	mark, ok := m.Mark()
	require.True(t, ok)
	assert.EqualValues(t, 20_001, mark.Number)
}

// A sender that never reads what settles its messages, and goes on all the same, is not kept in mind for ever: one that keeps to its credit stops.
func TestAck_ReadsNothing(t *testing.T) {
	t.Parallel()
	for name, settle := range map[string]func(socket.Msg) error{
		"ACK": socket.Msg.Ack, "NACK": func(m socket.Msg) error { return m.Nack(socket.Reject(strings.Repeat("r", 255))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithAckDelay(0), socket.WithAckCredit(4, 1<<20))
			closing(t, pull)
			await := watch(t, pull)
			near, far := net.Pipe() // it has no buffer
			require.NoError(t, pull.Attach(near))
			raw := sockettest.NewRaw(t, far)
			raw.Handshake("PUSH", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
			expectCredit(t, raw, 4, 1<<20)
			for sent := 0; ; sent++ {
				require.Less(t, sent, 1000, "nobody minds")
				if _, err := far.Write([]byte("\x00\x01x")); err != nil {
					break
				}
				m, err := pull.Recv(limit(t))
				require.NoError(t, err)
				if err := settle(m); err != nil {
					require.ErrorIs(t, err, socket.ErrPeerGone)
				}
			}
			e := await(socket.Disconnected)
			assert.ErrorContains(t, e.Err, "reads nothing of what settles its messages")
			assert.Equal(t, socket.RefusedAck, e.Refusal)
			assert.Equal(t, map[socket.Refusal]uint64{socket.RefusedAck: 1}, pull.Stats().Refused)
		})
	}
}

// A peer that did not offer what is needed gets and means nothing of this: it is a plain peer, whatever commands it sends.
func TestAck_OnlyWhereBothOffer(t *testing.T) {
	t.Parallel()
	for name, offer := range map[string][]sockettest.Property{
		"none": nil, "another version": {{Name: "X-Mesh-Ack", Value: "2 send receive"}}, "the wrong role": {{Name: "X-Mesh-Ack", Value: "1 receive"}},
		"nothing": {{Name: "X-Mesh-Ack", Value: ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pull := socket.NewPull(socket.WithAck(), socket.WithAckDelay(0), socket.WithAckCredit(1, 1), socket.WithHeartbeat(0, 0))
			closing(t, pull)
			raw := sockettest.DialRaw(t, bind(t, pull, "tcp://127.0.0.1:0"))
			_, said := raw.Handshake("PUSH", 1, offer...)
			require.Equal(t, "1 receive max=67108864", said["X-Mesh-Ack"])
			for _, name := range []string{"STREAM", "SKIP", "ACK", "NACK", "CREDIT"} {
				raw.SendCommand(name, []byte{0xff})
			}
			for i := range 50 { // beyond any credit
				raw.SendMessage(fmt.Sprint(i))
			}
			for i := range 50 {
				m := recv(t, pull)
				requireMsg(t, m, fmt.Sprint(i))
				assert.False(t, m.NeedsAck())
				assert.Equal(t, 1, m.Attempt())
				require.NoError(t, m.Ack())
				require.NoError(t, m.Nack(socket.Reject("no")))
				_, ok := m.Mark()
				assert.False(t, ok)
				in, out := m.Peer().Acknowledged()
				assert.False(t, in || out)
			}
			raw.SendCommand("PING", []byte{0, 0, 'x'})
			assert.Equal(t, "x", string(raw.ExpectCommand("PONG")), "the first thing said")
			assert.Zero(t, pull.Stats().Acks)
		})
	}
	plain := socket.NewPull(socket.WithHeartbeat(0, 0))
	closing(t, plain)
	raw := sockettest.DialRaw(t, bind(t, plain, "tcp://127.0.0.1:0"))
	_, said := raw.Handshake("PUSH", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
	assert.NotContains(t, said, "X-Mesh-Ack")
	raw.SendCommand("STREAM", nil)
	raw.SendMessage("x")
	assert.False(t, recv(t, plain).NeedsAck())
}

// Row 19 of the fault plan: a connection that ends at any octet, in order or by a reset, leaves no part of a message, and nothing of it is said on the next.
func TestAck_CutAtEveryOctet(t *testing.T) {
	t.Parallel()
	one := append(streamed(1, 1, "s"), zmtp.AppendFrame(nil, 0, []byte("one"))...)
	all := append(slices.Clone(one), zmtp.AppendSkip(nil, 3)...)
	all = append(zmtp.AppendFrame(all, zmtp.FlagMore, []byte("two")), zmtp.AppendFrame(nil, 0, []byte("b"))...)
	for name, reset := range map[string]bool{"in order": false, "by a reset": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pull := socket.NewPull(socket.WithAck(), socket.WithManualAck())
			closing(t, pull)
			happens, bound := watch(t, pull), bind(t, pull, "tcp://127.0.0.1:0")
			for cut := range len(all) + 1 {
				raw := sockettest.DialRaw(t, bound)
				raw.Handshake("PUSH", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
				raw.ExpectCommand(zmtp.CommandCredit)
				raw.Write(all[:cut])
				arrive(t, pull, min(cut/len(one), 1)+cut/len(all)) // a reset may take it back else
				if reset {
					raw.Reset()
				} else {
					require.NoError(t, raw.Conn().(interface{ CloseWrite() error }).CloseWrite())
					raw.ExpectClosed()
				}
				require.Equal(t, reset, happens(socket.Disconnected).Err != nil)
				require.Eventually(t, func() bool { return len(pull.Stats().Peers) == 0 }, sockettest.Timeout, time.Millisecond)
			}
			first, second := 0, 0
			for m, err := pull.Recv(try()); err == nil; m, err = pull.Recv(try()) {
				mark, _ := m.Mark()
				require.ErrorIs(t, m.Ack(), socket.ErrPeerGone)
				switch mark.Number {
				case 1:
					requireMsg(t, m, "one")
					first++
				case 5:
					requireMsg(t, m, "two", "b")
					second++
				default:
					t.Fatalf("number %d: %q", mark.Number, m.Frames)
				}
			}
			assert.Equal(t, [2]int{len(all) + 1 - len(one), 1}, [2]int{first, second})
			assert.Zero(t, pull.Stats().Acks.AckedIn)
		})
	}
}

// Row 20: what is said late about a message of an older connection is said to nobody, and the tags of the new one begin anew.
func TestAck_OfAnOlderConnection(t *testing.T) {
	t.Parallel()
	ln, endpoint := sockettest.Listen(t)
	pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), sluggish(), swift())
	closing(t, pull)
	require.NoError(t, pull.Connect(endpoint))
	connection := func() *sockettest.RawPeer {
		raw := sockettest.AcceptRaw(t, ln)
		raw.Handshake("PUSH", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
		expectCredit(t, raw, 32768, 8<<20)
		return raw
	}
	raw := connection()
	raw.Write(streamed(1, 1, "s"))
	raw.SendMessage("a")
	raw.SendMessage("b")
	a, b := recv(t, pull), recv(t, pull)
	require.NoError(t, a.Ack(), "said with others, so never")
	raw.Reset()
	raw = connection()
	require.ErrorIs(t, b.Ack(), socket.ErrPeerGone)
	require.ErrorIs(t, b.Nack(socket.Nack{}), socket.ErrPeerGone)
	raw.Write(streamed(1, 2, "s"))
	raw.SendMessage("a")
	raw.SendMessage("b")
	again := recv(t, pull)
	assert.Equal(t, 2, again.Attempt())
	before, _ := a.Mark()
	after, _ := again.Mark()
	assert.Equal(t, before, after, "the same message")
	require.NoError(t, recv(t, pull).Ack())
	require.NoError(t, pull.Close())
	expectAck(t, raw, "0 2-2")
}

// Acknowledgements wait for WithAckDelay from the first of them on, and no longer, by the clock.
func TestAck_Delay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithAckDelay(5*time.Millisecond))
		defer pull.Close()
		endpoint, err := pull.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		raw := dialInproc(t, endpoint)
		defer raw.Close()
		raw.Handshake("PUSH", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
		expectCredit(t, raw, 32768, 8<<20)
		for i := range 6 {
			raw.SendMessage(fmt.Sprint(i))
		}
		synctest.Wait()
		var got []socket.Msg
		for range 6 {
			m, err := pull.Recv(ended())
			require.NoError(t, err)
			got = append(got, m)
		}
		for i, want := range []string{"3", "6"} {
			start := time.Now()
			for j := range 3 {
				require.NoError(t, got[3*i+j].Ack())
				if j < 2 {
					after(2 * time.Millisecond)
				}
			}
			expectAck(t, raw, want)
			assert.Equal(t, 5*time.Millisecond, time.Since(start))
			after(time.Second)
		}
	})
}

// DEALER, ROUTER and SUB are receivers as PULL is; a SUB acknowledges what nobody wants any more.
func TestAck_OtherReceivers(t *testing.T) {
	t.Parallel()
	for typ, peer := range map[string]string{"DEALER": "DEALER", "ROUTER": "DEALER", "SUB": "PUB"} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			with := socket.WithAck()
			if typ == "SUB" {
				with = socket.WithDurable("x", spool.End())
			}
			s := makers[typ](with, sluggish())
			closing(t, s)
			if sub, ok := s.(*socket.Sub); ok {
				require.NoError(t, sub.Subscribe("a"))
			}
			raw := sockettest.DialRaw(t, bind(t, s, "tcp://127.0.0.1:0"))
			raw.Handshake(peer, 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
			expectCredit(t, raw, 32768, 8<<20)
			if typ == "SUB" {
				raw.ExpectCommand("SUBSCRIBE")
				raw.ExpectCommand("RESUME")
			}
			raw.Write(streamed(4, 3, "s"))
			raw.SendMessage("a", "1")
			raw.SendMessage("b", "2")
			raw.SendMessage("a", "3")
			arrive(t, s, 3)
			r := s.(recver)
			m := recv(t, r)
			assert.Equal(t, "1", m.String())
			assert.Equal(t, 3, m.Attempt())
			mark, ok := m.Mark()
			assert.True(t, ok)
			assert.EqualValues(t, 4, mark.Number)
			for m.String() != "3" {
				m = recv(t, r)
			}
			_, err := r.Recv(try())
			require.ErrorIs(t, err, context.Canceled)
			expectAck(t, raw, "3")
		})
	}
}
