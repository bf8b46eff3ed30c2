package socket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Row 24 of the fault plan: to peers without acknowledged links a socket with WithAck is as any other, and sends
// them no command of ours.
func TestInterop_PlainPeersOfWithAck(t *testing.T) {
	t.Parallel()
	pairings := []pairing{
		{"PUSH", "PULL", oneWay}, {"PULL", "PUSH", swapped(oneWay)}, {"DEALER", "ROUTER", echo}, {"ROUTER", "DEALER", swapped(echo)},
	}
	eachForeigner(t, func(t *testing.T, start func(*testing.T) *peerProcess) {
		process := start(t)
		for _, p := range pairings {
			t.Run(p.ours, func(t *testing.T) {
				opts := []socket.Option{socket.WithAck()}
				if p.ours != "PUSH" {
					opts = append(opts, socket.WithAckDelay(0), socket.WithAckCredit(1, 1))
				}
				ours, theirs := openWith(t, process, p, options{}, opts...)
				wire := overhear(t, ours.bind(freshEndpoint(t, "tcp")))
				theirs.connect(wire.endpoint)
				p.hold(t, ours, theirs, sizes())
				require.Eventually(t, func() bool { // a message is settled when it is written
					acks := ours.Stats().Acks
					written := acks.WrittenOut
					acks.WrittenOut = 0
					return acks == socket.AckStats{} && written == ours.Stats().MessagesOut
				}, sockettest.Timeout, time.Millisecond, "%+v", ours.Stats().Acks)
				wire.requirePlain(t)
			})
		}
	})
}
