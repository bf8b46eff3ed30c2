package socket_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// TestSpool_HostileReceivers: an acknowledgement that is malformed, or of what was not sent, costs its connection, is counted, and moves no position; nothing of it is applied. Whoever
// comes next gets everything, as does one that had no credit left to misuse.
func TestSpool_HostileReceivers(t *testing.T) {
	t.Parallel()
	const sent = 3
	huge := bytes.Repeat([]byte{0xff}, 9)
	many := []byte{0}
	for range zmtp.MaxAckRanges + 1 {
		many = append(many, 1, 1)
	}
	for name, test := range map[string]struct {
		said    []byte
		refusal socket.Refusal
	}{
		"ACK of what was not sent":            {zmtp.AppendAck(nil, sent+1, nil), socket.RefusedAck},
		"ACK of everything there will be":     {zmtp.AppendAck(nil, zmtp.MaxNumber, nil), socket.RefusedAck},
		"ACK of a range beyond what was sent": {zmtp.AppendAck(nil, 1, []zmtp.TagRange{{First: 3, Last: sent + 1}}), socket.RefusedAck},
		"ACK of a range without a length":     {octets("ACK", 0, 1, 0), socket.RefusedProtocol},
		"ACK of a range without a gap":        {octets("ACK", 0, 0, 1), socket.RefusedProtocol},
		"ACK of half a range":                 {octets("ACK", 0, 1), socket.RefusedProtocol},
		"ACK up to 2^63":                      {octets("ACK", huge...), socket.RefusedProtocol},
		"ACK of ranges that overflow":         {octets("ACK", slices.Concat(zmtp.AppendAck(nil, zmtp.MaxNumber-1, nil)[6:], []byte{2, 2})...), socket.RefusedProtocol},
		"ACK of nothing":                      {octets("ACK"), socket.RefusedProtocol},
		"ACK of too many ranges":              {octets("ACK", many...), socket.RefusedProtocol},
		"NACK of what was not sent":           {zmtp.AppendNack(nil, &zmtp.Nack{Tag: sent + 1, Reject: true}), socket.RefusedAck},
		"NACK of tag 0":                       {octets("NACK", 1, 0, 0, 0), socket.RefusedProtocol},
		"NACK with unknown flags":             {octets("NACK", 2, 1, 0, 0), socket.RefusedProtocol},
		"NACK whose reason is cut short":      {octets("NACK", 1, 1, 0, 5, 'a'), socket.RefusedProtocol},
		"CREDIT without bytes":                {octets("CREDIT", 1), socket.RefusedProtocol},
		"CREDIT of 2^63":                      {octets("CREDIT", append(huge, 1)...), socket.RefusedProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			push := spooled(t, filepath.Join(t.TempDir(), "spool"), socket.WithAck())
			endpoint := bind(t, push, "tcp://127.0.0.1:0")
			for i := range sent {
				require.NoError(t, push.Send(limit(t), ordinal(i, 8)))
			}
			await := watch(t, push)
			raw := sockettest.DialRaw(t, endpoint)
			raw.Handshake("PULL", 1, receives)
			raw.Write(zmtp.AppendCredit(nil, 10, 1<<20))
			raw.ExpectCommand(zmtp.CommandStream)
			for range sent {
				raw.ReadMessage()
			}
			raw.Write(test.said)
			raw.ExpectClosed()
			e := await(socket.Disconnected)
			assert.Equal(t, test.refusal, e.Refusal, "%v", e.Err)
			assert.Equal(t, map[socket.Refusal]uint64{test.refusal: 1}, push.Stats().Refused)
			s := push.Stats()
			assert.Equal(t, [3]uint64{sent, 0, 0}, [3]uint64{s.Spool.Messages, s.Spool.Settled, s.Spool.DeadLettered})
			assert.Zero(t, s.Acks.AckedOut)

			pull := socket.NewPull(socket.WithAck())
			closing(t, pull)
			require.NoError(t, pull.Connect(endpoint))
			for i := range sent {
				require.Equal(t, i, ordinalOf(recv(t, pull)))
			}
			go func() { _, _ = pull.Recv(t.Context()) }() // which acknowledges the last; it ends with the socket
			require.NoError(t, push.Shutdown(limit(t)))
		})
	}
}
