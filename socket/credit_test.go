package socket_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Row 37 of the fault plan: a receiver settles one message where another settles hundreds. At no time does it have more than its credit, nor the sender more than its
// high-water mark, and all that it has not taken goes to the other: no Send waits for it.
func TestCredit_SlowOnesTakeNothingFromOthers(t *testing.T) {
	t.Parallel()
	for _, credit := range []int{0, 1, 20} {
		t.Run(fmt.Sprint(credit), func(t *testing.T) {
			t.Parallel()
			eachKeeper(t, func(t *testing.T, keep socket.Option) { slowBesideQuick(t, keep, credit) })
		})
	}
}

func slowBesideQuick(t *testing.T, keep socket.Option, credit int) {
	const messages, quickCredit, mark = 2000, 50, 100
	push := socket.NewPush(keep, socket.WithSendHWM(mark))
	quick := socket.NewPull(socket.WithAck(), socket.WithAckCredit(quickCredit, 1<<20))
	closing(t, push)
	at := bind(t, push, "tcp://127.0.0.1:0")
	slow := taker(t, at, uint64(credit), "1 receive")
	require.NoError(t, push.WaitPeers(limit(t), 1))
	slowly := push.Peers()[0]
	require.NoError(t, quick.Connect(at))
	require.NoError(t, push.WaitPeers(limit(t), 2))
	seen, over := make([]int, messages), make(chan struct{})
	go func() { // ends with Close
		defer close(over)
		for m := range quick.Messages(t.Context()) {
			seen[ordinalOf(m)]++
		}
	}()
	has := func() (unsettled, given int) {
		for _, p := range push.Stats().Peers {
			if p.Peer == slowly {
				unsettled, given = p.Unacked, int(p.MessagesOut)
				assert.LessOrEqual(t, unsettled, credit)
			} else {
				assert.LessOrEqual(t, p.Unacked, quickCredit)
			}
		}
		return unsettled, given
	}
	settled := 0
	settle := func() {
		takeBody(slow)
		settled++
		slow.Write(zmtp.AppendAck(nil, uint64(settled), nil))
	}
	for i := range messages {
		require.NoError(t, push.Send(limit(t), ordinal(i, 8)))
		if i%100 != 0 {
			continue
		}
		assert.LessOrEqual(t, push.Stats().Acks.UnackedOut, mark+credit+quickCredit)
		if _, given := has(); given > settled && i%500 == 0 {
			settle()
		}
	}
	if credit > 0 && settled == 0 { // all was in the spool before the first of it was sent
		require.Eventually(t, func() bool { _, given := has(); return given > 0 }, sockettest.Timeout, time.Millisecond)
		settle()
	}
	require.Eventually(t, func() bool {
		n, given := has()
		return heldBy(push) == n && given-n == settled
	}, sockettest.Timeout, time.Millisecond, "all but what the slow one has is with the other")
	slow.Close()
	require.NoError(t, push.WaitAcked(limit(t)))
	require.NoError(t, quick.Close())
	<-over
	missing := 0
	for _, n := range seen {
		assert.LessOrEqual(t, n, 1)
		missing += 1 - n
	}
	assert.Equal(t, settled, missing, "what the slow one has settled")
}

// heldBy is how many messages a sender holds that are not settled, in memory or in its spool.
func heldBy(push *socket.Push) int {
	s := push.Stats()
	if s.Spool != nil {
		return int(s.Spool.Messages)
	}
	return s.Acks.UnackedOut
}
