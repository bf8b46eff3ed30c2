package socket_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// lies are commands by the refusal of who says them.
type lies map[socket.Refusal][][]byte

// say has a peer come for each of the lies, with an offer of acknowledgements, say what comes before it, and wait to be refused.
func (l lies) say(g *siege, offer string, before ...byte) {
	for why, all := range l {
		g.each(why, len(all), func(b *besieged) {
			for _, lie := range all {
				tell(b.enter(sockettest.Property{Name: "X-Mesh-Ack", Value: offer}), string(before)+string(lie))
			}
		})
	}
}

// uvarints is the data of a command that is made of numbers.
func uvarints(numbers ...uint64) (data []byte) {
	for _, n := range numbers {
		data = binary.AppendUvarint(data, n)
	}
	return data
}

// forgedAcks are acknowledgements of what was never sent, of numbers that are none, and of more ranges than there may be.
func forgedAcks() lies {
	many := bytes.Repeat([]byte{1, 1}, zmtp.MaxAckRanges+1)
	return lies{
		socket.RefusedAck: {
			zmtp.AppendAck(nil, 1, nil), zmtp.AppendAck(nil, 0, []zmtp.TagRange{{First: 2, Last: 9}}), zmtp.AppendAck(nil, math.MaxInt64, nil),
			zmtp.AppendNack(nil, &zmtp.Nack{Tag: 1}), zmtp.AppendNack(nil, &zmtp.Nack{Tag: math.MaxInt64, Reject: true}),
		},
		socket.RefusedProtocol: {
			octets("ACK"), octets("ACK", uvarints(math.MaxUint64)...), octets("ACK", uvarints(1<<63)...), octets("ACK", uvarints(0, 0, 5)...),
			octets("ACK", uvarints(5, 3, 0)...), octets("ACK", uvarints(1, math.MaxInt64-1, 1)...), octets("ACK", 0x80, 0), octets("ACK", append([]byte{0}, many...)...),
			octets("NACK"), octets("NACK", 0, 0, 0, 0), octets("NACK", 2, 1, 0, 0), octets("NACK", 0, 1, 0, 9, 'x'),
		},
		socket.RefusedSize: {octets("ACK", append([]byte{0}, bytes.Repeat([]byte{1, 1}, 1<<20)...)...)},
	}
}

// Who acknowledges what it was never sent, the messages of others among it, says numbers that are none or more ranges than there may be, is refused, and
// what is acknowledged stays what it was.
func TestAttack33_ForgedAcks(t *testing.T) {
	assault(t, types{"PUSH", "DEALER", "ROUTER"}, func(g *siege) {
		forgedAcks().say(g, "1 receive")
		for _, b := range g.victims {
			assert.Zero(t, b.socket.Stats().Acks, b.typ)
		}
	}, socket.WithAck())
}

// So is a subscriber of a name that has a position, which stays where it was; and one that has no name.
func TestAttack33_ForgedAcksOfALog(t *testing.T) {
	assaultLog(t, func(g *siege, resumes []byte) {
		forgedAcks().say(g, "1 receive")
		forgedAcks().say(g, "1 receive", resumes...)
	})
}

// assaultLog is assault on publishers that have a log, and a subscription of a name that has handled some of it. The position is the same in the end. The attack gets what a subscriber
// says to take up that subscription: it has no credit yet, so nothing is sent.
func assaultLog(t *testing.T, attack func(g *siege, resumes []byte)) {
	t.Helper()
	const handled, all = 2, 5
	resumes := append(zmtp.AppendSubscribe(nil, 1, []byte("t")), resume(zmtp.FromBeginning, 0, "name")...)
	for _, typ := range publishers {
		assault(t, types{typ}, func(g *siege) {
			b := g.victims[0]
			if b.socket.Stats().Spool.Next == 1 {
				publish(t, b.socket.(sender), 0, all)
				handles(t, b.socket, b.bound, "SUB", handled)
			}
			attack(g, resumes)
			d := b.socket.Stats().Spool.Durables
			assert.Equal(t, []uint64{1, handled, all - handled, handled, 0, 0}, []uint64{uint64(len(d)), d[0].Position, d[0].Lag, d[0].Acked, d[0].Failed, d[0].DeadLettered}, typ)
		}, socket.WithSpool(filepath.Join(t.TempDir(), "log"), smallSpool))
	}
}

// Who sends more than its credit, or says that its messages stand where none can, is refused.
func TestAttack33_ForgedStreams(t *testing.T) {
	more := zmtp.AppendFrame(nil, zmtp.FlagMore, []byte("a"))
	forged := lies{
		socket.RefusedAck: {bytes.Repeat([]byte("\x01\x00\x00\x01x"), 11)},
		socket.RefusedProtocol: {
			streamed(0, 1, "s"), streamed(1, 0, "s"), octets("STREAM", append([]byte{0}, uvarints(1<<63, 1)...)...), streamed(1, 1, ""), octets("SKIP", 1),
			append(streamed(math.MaxInt64, 1, "s"), octets("SKIP", 1)...), append(more, streamed(1, 1, "s")...),
		},
	}
	assault(t, types{"PULL", "DEALER", "ROUTER"}, func(g *siege) { forged.say(g, "1 send") }, socket.WithAck(), socket.WithAckCredit(10, 1<<20))
}

// Credits that are no numbers are refused; the largest, however often they come, add up to nothing.
func TestAttack34_Credits(t *testing.T) {
	forged := lies{socket.RefusedProtocol: {
		octets("CREDIT", uvarints(1<<63, 1)...), octets("CREDIT", uvarints(1, math.MaxUint64)...), octets("CREDIT", 1), octets("CREDIT", 0xff, 0xff),
		octets("CREDIT", 1, 1, 1), octets("CREDIT", 0x80, 0, 1),
	}}
	flood := bytes.Repeat(append(zmtp.AppendCredit(nil, math.MaxInt64, math.MaxInt64), zmtp.AppendCredit(nil, 0, 0)...), 10_000)
	attack := func(g *siege, resumes []byte) {
		forged.say(g, "1 receive", resumes...)
		g.each(0, 0, func(b *besieged) {
			p := b.enter(sockettest.Property{Name: "X-Mesh-Ack", Value: "1 receive"})
			p.Write(flood)
			p.SendCommand("PING", []byte("\x00\x00x"))
			for name, _ := p.ReadCommand(); name != "PONG"; name, _ = p.ReadCommand() {
			}
		})
	}
	assault(t, types{"PUSH", "DEALER", "ROUTER"}, func(g *siege) { attack(g, nil) }, socket.WithAck())
	assaultLog(t, attack)
}

// A peer that gives credit for a mebibyte and reads nothing has no more than the high-water mark, and all else goes to the other at once, from memory and from a spool.
func TestAttack43_SlowConsumerWithCredit(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, keep socket.Option) {
		const most, size, count = 256 << 10, 4 << 10, 3000
		push, good := socket.NewPush(keep, socket.WithSendHWMBytes(most), socket.WithLinger(0)), socket.NewPull(socket.WithAck())
		closing(t, good)
		defer push.Close() // says what the slow one has
		at := bind(t, push, "tcp://127.0.0.1:0")
		taker(t, at, math.MaxInt32, "1 receive")
		require.NoError(t, push.WaitPeers(limit(t), 1))
		slow := push.Peers()[0]
		require.NoError(t, good.Connect(at))
		require.NoError(t, push.WaitPeers(limit(t), 2))
		go func() { // ends with Close
			for range good.Messages(t.Context()) {
			}
		}()
		for i := range count {
			require.NoError(t, push.Send(limit(t), ordinal(i, size)))
			if i%100 == 0 {
				for _, p := range push.Stats().Peers {
					require.LessOrEqual(t, p.Unacked, most/size)
					require.LessOrEqual(t, p.QueueBytes, 2*most, "what is being written may be acknowledged in part, and others queued in its place")
				}
			}
		}
		require.Eventually(t, func() bool { return heldBy(push) == unackedOf(push, slow) }, sockettest.Timeout, time.Millisecond, "all that it has not is with the other")
		assert.Positive(t, unackedOf(push, slow))
		assert.LessOrEqual(t, unackedOf(push, slow), most/size)
	})
}
