package conformance

import (
	"fmt"
	"testing"

	"github.com/meshmq/meshmq/socket"
)

// RFC 30, PUSH: SHALL route messages to the available peers in turn.
// Behaviour 5: PUSH over N peers gives each of them exactly one of every N messages, in order.
func TestRFC30_PUSH_RoundRobin(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const peers, rounds = 5, 20
		push := socket.NewPush()
		closing(t, push)
		pulls := make([]*socket.Pull, peers)
		for i := range pulls {
			pulls[i] = socket.NewPull()
			connect(t, push, bound(t, transport, pulls[i]))
		}
		awaitPeers(t, push, peers)
		for i := range rounds * peers {
			send(t, push, fmt.Sprint(i))
		}
		first := map[string]bool{}
		for _, pull := range pulls {
			m := recv(t, pull)
			var at int
			fmt.Sscan(m.String(), &at)
			first[m.String()] = at < peers
			for round := 1; round < rounds; round++ {
				requireRecv(t, pull, fmt.Sprint(at+round*peers))
			}
			requireNothing(t, pull)
		}
		for i := range peers {
			if !first[fmt.Sprint(i)] {
				t.Errorf("message %d of the first round went to nobody, or to a peer that had one", i)
			}
		}
	})
}
