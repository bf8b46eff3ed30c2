package socket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Row 24 of the fault plan: to peers without acknowledged links a socket with WithAck is as any other. That it sends them no command is in
// TestAck_OnlyWhereBothOffer.
func TestInterop_PlainPeersOfWithAck(t *testing.T) {
	t.Parallel()
	pairings := []pairing{
		{"PUSH", "PULL", oneWay}, {"PULL", "PUSH", swapped(oneWay)}, {"DEALER", "ROUTER", echo}, {"ROUTER", "DEALER", swapped(echo)},
	}
	for name, start := range map[string]func(*testing.T) *peerProcess{"libzmq": startLibzmq, "zmq4": startZMQ4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			process := start(t)
			for _, p := range pairings {
				t.Run(p.ours, func(t *testing.T) {
					opts := []socket.Option{socket.WithAck()}
					if p.ours != "PUSH" {
						opts = append(opts, socket.WithAckDelay(0), socket.WithAckCredit(1, 1))
					}
					ours, theirs := openWith(t, process, p, options{}, opts...)
					theirs.connect(ours.bind(freshEndpoint(t, "tcp")))
					p.hold(t, ours, theirs, sizes())
					require.Eventually(t, func() bool { // a message is settled when it is written
						acks := ours.Stats().Acks
						written := acks.WrittenOut
						acks.WrittenOut = 0
						return acks == socket.AckStats{} && written == ours.Stats().MessagesOut
					}, sockettest.Timeout, time.Millisecond, "%+v", ours.Stats().Acks)
				})
			}
		})
	}
}
