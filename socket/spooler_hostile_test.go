package socket_test

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// receiverLies are those about acknowledgements and credit, of who was sent so many messages, at least three.
func receiverLies(sent uint64) map[string]lie {
	huge := bytes.Repeat([]byte{0xff}, 9)
	many := []byte{0}
	for range zmtp.MaxAckRanges + 1 {
		many = append(many, 1, 1)
	}
	return map[string]lie{
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
	}
}

// enlist returns a raw peer that acknowledges, of a sender whose next message is the one of this number; it has credit for so many, and has been sent them. A SUB resumes "name".
func enlist(t *testing.T, endpoint, typ string, first, count uint64) *sockettest.RawPeer {
	t.Helper()
	raw := sockettest.DialRaw(t, endpoint)
	raw.Handshake(typ, 1, receives)
	if typ == "SUB" {
		raw.Subscribe("t")
		raw.Write(resume(zmtp.FromBeginning, 0, "name"))
		raw.ExpectCommand("RESUMED")
	}
	raw.Write(zmtp.AppendCredit(nil, count, 1<<20))
	s, err := zmtp.ParseStream(raw.ExpectCommand(zmtp.CommandStream))
	require.NoError(t, err)
	require.Equal(t, first, s.Number)
	for range count {
		raw.ReadMessage()
	}
	return raw
}

// handles has a raw peer handle the first messages there are, and leave.
func handles(t *testing.T, s anySocket, endpoint, typ string, count uint64) {
	t.Helper()
	raw := enlist(t, endpoint, typ, 1, count)
	raw.Write(slices.Concat(zmtp.AppendCredit(nil, 0, 0), zmtp.AppendAck(nil, count, nil)))
	require.Eventually(t, func() bool { return s.Stats().Spool.Settled == count }, sockettest.Timeout, time.Millisecond)
	raw.Close()
	require.Eventually(t, func() bool { return len(s.Stats().Peers) == 0 }, sockettest.Timeout, time.Millisecond)
}

// expectRefused tells a lie, which ends the connection and is counted as what it is.
func expectRefused(t *testing.T, s anySocket, raw *sockettest.RawPeer, told lie) {
	t.Helper()
	await := watch(t, s)
	raw.Write(told.said)
	raw.ExpectClosed()
	e := await(socket.Disconnected)
	assert.Equal(t, told.refusal, e.Refusal, "%v", e.Err)
	assert.Equal(t, map[socket.Refusal]uint64{told.refusal: 1}, s.Stats().Refused)
}

// TestSpool_HostileReceivers: an acknowledgement that is malformed, or of what was not sent, costs its connection, is counted, and moves no position; nothing of it is applied. Whoever
// comes next gets everything, as does one that had no credit left to misuse.
func TestSpool_HostileReceivers(t *testing.T) {
	t.Parallel()
	const handled, sent = 2, 3
	for typ, peer := range map[string]string{"PUSH": "PULL", "DEALER": "DEALER"} {
		for name, told := range receiverLies(sent) {
			t.Run(typ+"/"+name, func(t *testing.T) {
				t.Parallel()
				log, err := spool.Open(filepath.Join(t.TempDir(), "spool"), spool.Options{Policy: spool.OS})
				require.NoError(t, err)
				s := makers[typ](socket.WithSpoolOn(socket.SpoolOf(log)), socket.WithAck())
				endpoint := bind(t, s, "tcp://127.0.0.1:0")
				for i := range handled + sent {
					require.NoError(t, s.(sender).Send(limit(t), ordinal(i, 8)))
				}
				handles(t, s, endpoint, peer, handled)
				expectRefused(t, s, enlist(t, endpoint, peer, handled+1, sent), told)
				stats := s.Stats()
				assert.Equal(t, [3]uint64{sent, handled, 0}, [3]uint64{stats.Spool.Messages, stats.Spool.Settled, stats.Spool.DeadLettered})
				assert.EqualValues(t, handled, stats.Acks.AckedOut)
				assert.EqualValues(t, handled, log.Queue().Floor())

				next := makers[peer](socket.WithAck())
				closing(t, next)
				require.NoError(t, next.Connect(endpoint))
				for i := range sent {
					require.Equal(t, handled+i, ordinalOf(recv(t, next.(recver))))
				}
				go func() { _, _ = next.(recver).Recv(t.Context()) }() // which acknowledges the last; it ends with the socket
				require.NoError(t, s.Shutdown(limit(t)))
			})
		}
	}
}
