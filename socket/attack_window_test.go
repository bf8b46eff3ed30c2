package socket_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// byFirstFrame has a window know messages by their first frame, whose body is the second.
func byFirstFrame() socket.Option {
	return socket.WithMessageID(func(m socket.Msg) (string, []byte) { return string(m.Frames[0]), m.Frames[1] })
}

// A window takes no more memory for a million ids, or as many as MESHMQ_IDS says (make faults), than for those that it is to know, nor more for one of a mebibyte than for others; its log refuses that.
func TestAttack36_Ids(t *testing.T) {
	const known, row = 1000, 10_000
	many, err := strconv.Atoi(cmp.Or(os.Getenv("MESHMQ_IDS"), strconv.Itoa(manyIDs)))
	require.NoError(t, err)
	w, err := spool.OpenWindow(t.TempDir(), spool.WindowOptions{Count: known, Policy: spool.OS}) // one in memory keeps what was not synced
	require.NoError(t, err)
	defer w.Close()
	long := strings.Repeat("x", 1<<20)
	require.ErrorIs(t, w.Mark(t.Context(), spool.Mark{ID: long}), spool.ErrName)
	last := uint64(0)
	assault(t, types{"PULL"}, func(g *siege) {
		g.each(0, 0, func(b *besieged) {
			pull := b.socket.(*socket.Pull)
			p := b.enter(sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
			expectCredit(t, p, 32768, 8<<20)
			take := func(n int) {
				ctx, stop := context.WithTimeout(t.Context(), sockettest.Timeout)
				defer stop()
				for range n {
					m, err := pull.Recv(ctx)
					require.NoError(t, err)
					require.NoError(t, m.Ack())
				}
			}
			sent := uint64(0)
			for range many / row {
				var script []byte
				for range row {
					last++
					script = zmtp.AppendFrame(script, zmtp.FlagMore, binary.BigEndian.AppendUint64(nil, last))
					script = zmtp.AppendFrame(script, 0, []byte("x"))
				}
				p.Write(script)
				take(row)
				sent += row
				awaitAck(t, p, sent)
			}
			assert.Equal(t, known, w.Len())
			before := pull.Stats().Acks.DuplicatesIn
			p.SendMessage(fmt.Sprint(long, last), "x")
			p.SendMessage(fmt.Sprint(long, last), "x")
			p.SendMessage(fmt.Sprint(long, "another", last), "x")
			take(2)
			awaitAck(t, p, sent+3)
			assert.EqualValues(t, 1, pull.Stats().Acks.DuplicatesIn-before)
		})
	}, socket.WithAck(), socket.WithManualAck(), socket.WithWindowOn(w), byFirstFrame())
}

// A message with the id of another is neither handled nor taken for that, whether the first is handled or still in hand: the first wins, the other is refused for good, counted,
// and an event that names the id.
func TestAttack36_SameIDOtherPayload(t *testing.T) {
	w := memWindow(t, spooltest.NewMem(), spool.WindowOptions{Count: 1000, Policy: spool.OS})
	play := 0
	assault(t, types{"PULL"}, func(g *siege) {
		g.each(0, 0, func(b *besieged) {
			pull := b.socket.(*socket.Pull)
			next, stop := iter.Pull(pull.Events(limit(t)))
			defer stop()
			p := b.enter(sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
			expectCredit(t, p, 32768, 8<<20)
			play++
			first, second := fmt.Sprint("first ", play), fmt.Sprint("second ", play)
			refused := func(tag uint64, id string) {
				t.Helper()
				why := fmt.Sprintf("another message with the id %q was handled", id)
				expectNack(t, p, zmtp.Nack{Tag: tag, Reject: true, Reason: why})
				e, _ := next()
				for ; e.Kind != socket.Conflicted; e, _ = next() {
					require.NotZero(t, e.Kind, "no event of the conflict")
				}
				assert.EqualError(t, e.Err, why)
				assert.Equal(t, "PUSH", e.Peer.SocketType())
			}
			before := pull.Stats()

			p.SendMessage(first, "a")
			require.NoError(t, recv(t, pull).Ack())
			awaitAck(t, p, 1)
			deliver(p, fmt.Sprint(play), 1, 1)
			p.SendMessage(first, "b")
			p.SendMessage(first, "a")
			p.SendMessage(second, "a")
			inHand := recv(t, pull)
			requireMsg(t, inHand, second, "a")
			refused(2, first)
			awaitAck(t, p, 3)

			p.SendMessage(second, "b")
			p.SendMessage(second, "a")
			p.SendMessage("end", fmt.Sprint(play))
			end := recv(t, pull)
			require.NoError(t, inHand.Ack())
			refused(5, second)
			awaitAck(t, p, 6)
			require.NoError(t, end.Nack(socket.Nack{}))

			now := pull.Stats()
			assert.EqualValues(t, 2, now.Acks.ConflictsIn-before.Acks.ConflictsIn)
			assert.EqualValues(t, 2, now.Acks.DuplicatesIn-before.Acks.DuplicatesIn)
			assert.EqualValues(t, 3, now.MessagesIn-before.MessagesIn)
			assert.Zero(t, now.Acks.UnackedIn)
		})
	}, socket.WithAck(), socket.WithManualAck(), socket.WithAckDelay(0), socket.WithWindowOn(w), byFirstFrame())
}
