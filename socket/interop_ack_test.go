package socket_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshmq/meshmq/socket"
)

// Row 24 of the fault plan: to peers without acknowledged links a socket with WithAck is as any other. That it sends them no command is in
// TestAck_OnlyWhereBothOffer.
func TestInterop_PlainPeersOfWithAck(t *testing.T) {
	t.Parallel()
	pairings := []pairing{
		{"PULL", "PUSH", swapped(oneWay)}, {"DEALER", "ROUTER", echo}, {"ROUTER", "DEALER", swapped(echo)}, {"SUB", "PUB", swapped(broadcast)},
	}
	for name, start := range map[string]func(*testing.T) *peerProcess{"libzmq": startLibzmq, "zmq4": startZMQ4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			process := start(t)
			for _, p := range pairings {
				t.Run(p.ours, func(t *testing.T) {
					ours, theirs := openWith(t, process, p, options{}, socket.WithAck(), socket.WithAckDelay(0), socket.WithAckCredit(1, 1))
					theirs.connect(ours.bind(freshEndpoint(t, "tcp")))
					p.hold(t, ours, theirs, sizes())
					assert.Zero(t, ours.Stats().Acks)
				})
			}
		})
	}
}
