package socket_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// ACK.md, 2: a command of a direction that is not acknowledged is an unknown one, whatever it says, also where the other direction is; and so is one of a durable link that this is not (DURABLE.md, 7).
// Nothing is said in that direction, its messages are plain, and the other one is none the worse.
func TestAck_OneDirectionOnly(t *testing.T) {
	t.Parallel()
	ofReceivers := slices.Concat(zmtp.AppendAck(nil, 99, nil), zmtp.AppendNack(nil, &zmtp.Nack{Tag: 1 << 40}), zmtp.AppendCredit(nil, 0, 0),
		octets("ACK"), octets("NACK", 9), octets("CREDIT", 1))
	ofSenders := slices.Concat(streamed(7, 3, "s"), zmtp.AppendSkip(nil, 1), octets("STREAM", 9), octets("SKIP", 0))
	ofDurables := slices.Concat(octets("RESUME", 9), octets("RESUMED", 9), octets("LOST", 9))
	for offer, unknown := range map[string][]byte{
		"1 send": slices.Concat(ofReceivers, ofDurables), "1 receive": slices.Concat(ofSenders, ofDurables), "1 send receive": ofDurables,
	} {
		for _, typ := range []string{"DEALER", "ROUTER"} {
			t.Run(typ+"/"+offer, func(t *testing.T) {
				t.Parallel()
				s := makers[typ](socket.WithAck(), socket.WithManualAck(), socket.WithHeartbeat(0, 0))
				closing(t, s)
				raw := sockettest.DialRaw(t, bind(t, s, "tcp://127.0.0.1:0"))
				raw.Handshake("DEALER", 1, sockettest.Property{Name: "Identity", Value: "d"}, sockettest.Property{Name: zmtp.PropertyAck, Value: offer})
				in, out := strings.Contains(offer, "send"), strings.Contains(offer, "receive")
				if out {
					raw.Write(zmtp.AppendCredit(nil, 5, 1<<20))
				}
				raw.Write(unknown)
				raw.SendMessage("in")
				m := recv(t, s.(recver))
				assert.Equal(t, "in", m.String())
				assert.Equal(t, [2]any{in, 1}, [2]any{m.NeedsAck(), m.Attempt()})
				send(t, s.(sender), append(map[string][]string{"ROUTER": {"d"}}[typ], "out")...)
				if in {
					raw.ExpectCommand(zmtp.CommandCredit)
				}
				if out {
					raw.ExpectCommand(zmtp.CommandStream)
				}
				assert.Equal(t, []string{"out"}, raw.ReadMessage())
				require.NoError(t, m.Ack())
				raw.Write(zmtp.AppendAck(nil, 1, nil))
				raw.SendMessage("in")
				recv(t, s.(recver))
				stats := s.Stats()
				assert.Empty(t, stats.Refused)
				count := map[bool]uint64{true: 1}
				assert.Equal(t, [3]uint64{count[in], count[out], 0}, [3]uint64{stats.Acks.AckedIn, stats.Acks.AckedOut, stats.Acks.NackedOut})
			})
		}
	}
}
