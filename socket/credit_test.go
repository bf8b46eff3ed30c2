package socket_test

import (
	"errors"
	"fmt"
	"runtime"
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

// Nor does one that settles nothing cost others any rate: with room for a burst besides what it has, each Send of a burst finds room at once, with no wait.
func TestCredit_NoSendWaitsForASlowOne(t *testing.T) {
	t.Parallel()
	for _, credit := range []int{0, 1, 20} {
		t.Run(fmt.Sprint(credit), func(t *testing.T) {
			t.Parallel()
			const rounds, burst = 100, 10
			push := socket.NewPush(socket.WithAck(), socket.WithSendHWM(burst+credit), socket.WithLinger(0))
			quick := socket.NewPull(socket.WithAck(), socket.WithAckDelay(0))
			closing(t, quick)
			defer push.Close() // says what the slow one has
			at := bind(t, push, "tcp://127.0.0.1:0")
			require.NoError(t, quick.Connect(at))
			over := make(chan struct{})
			go func() { // ends with Close
				defer close(over)
				for range quick.Messages(t.Context()) {
				}
			}()
			send(t, push, "the credit of the quick one has come")
			quickly := push.Peers()[0]
			taker(t, at, uint64(credit), "1 receive")
			require.NoError(t, push.WaitPeers(limit(t), 2))
			for range rounds {
				require.Eventually(t, func() bool { return unackedOf(push, quickly) == 0 }, sockettest.Timeout, time.Millisecond)
				require.LessOrEqual(t, heldBy(push), credit, "what the slow one has")
				for i := range burst {
					require.NoError(t, push.Send(try(), ordinal(i, 8)))
				}
			}
			require.NoError(t, quick.Close())
			<-over
		})
	}
}

// A producer that is far quicker than its only receiver takes no more memory than its marks and the credit allow: what there is no room for waits, or is in the spool. It runs
// alone: the memory is that of the process.
func TestCredit_MemoryIsBounded(t *testing.T) {
	eachKeeperAlone(t, func(t *testing.T, keep socket.Option) {
		const messages, size, mark, credit, each = 4000, 16 << 10, 100, 20, 100 // 64 MB
		push := socket.NewPush(keep, socket.WithSendHWM(mark), socket.WithLinger(0))
		defer push.Close() // says what was not sent
		slow := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithAckCredit(credit, 1<<30))
		closing(t, slow)
		join(t, "tcp", push, slow)
		require.NoError(t, push.WaitPeers(limit(t), 1))
		before, taken := heap(), 0
		for i := range messages {
			if i%each == 0 { // waits for the credit, then for room, so that there is a message to receive
				require.NoError(t, push.Send(limit(t), ordinal(i, size)))
				taken++
			} else if err := push.Send(try(), ordinal(i, size)); err == nil || errors.Is(err, socket.ErrUnconfirmed) { // the disk may be slow
				taken++
			} else {
				require.ErrorIs(t, err, socket.ErrFull)
			}
			if i%each == each-1 {
				require.LessOrEqual(t, push.Stats().Peers[0].Unacked, credit)
				require.NoError(t, recv(t, slow).Ack())
			}
		}
		more := heap() - before
		t.Logf("%d of %d messages of %d KB were taken, in %d KB", taken, messages, size>>10, more>>10)
		assert.Less(t, more, 32<<20, "4 MB at both ends, 8 MB that a spool may hold for its disk, and 16 MB that a busy process holds back (doc.go)")
	})
}

func heap() int {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return int(s.HeapAlloc)
}

// unackedOf is how many messages a peer has that are not acknowledged.
func unackedOf(push *socket.Push, peer *socket.Peer) (n int) {
	for _, p := range push.Stats().Peers {
		if p.Peer == peer {
			n = p.Unacked
		}
	}
	return n
}

// heldBy is how many messages a sender holds that are not settled, in memory or in its spool.
func heldBy(push *socket.Push) int {
	s := push.Stats()
	if s.Spool != nil {
		return int(s.Spool.Messages)
	}
	return s.Acks.UnackedOut
}
