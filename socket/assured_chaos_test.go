package socket_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// ledger is what receivers saw of numbered messages.
type ledger struct {
	mu     sync.Mutex
	seen   map[int]int // how often each was returned
	done   map[int]bool
	first  map[int]bool         // came as first attempts
	again  map[*socket.Peer]int // by connection, those that had been seen before
	last   int
	sole   bool // there is one receiver
	over   bool
	t      *testing.T
	marked int // that came with an Attempt above 1
}

func newLedger(t *testing.T) *ledger {
	return &ledger{t: t, seen: map[int]int{}, done: map[int]bool{}, first: map[int]bool{}, again: map[*socket.Peer]int{}}
}

// came notes a message. A first attempt comes to one receiver, once; another may well return a later attempt before it, whose connection was cut
// while the message waited for Recv. To a sole receiver no first attempt comes after another, and all come for the first time in order.
func (l *ledger) came(m socket.Msg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := ordinalOf(m) + 1
	mark, ok := m.Mark()
	if !assert.True(l.t, ok) || !assert.EqualValues(l.t, n, mark.Number, "attempt %d", m.Attempt()) {
		return
	}
	if m.Attempt() == 1 {
		assert.False(l.t, l.first[n], "message %d twice as a first attempt", n)
		l.first[n] = true
		assert.False(l.t, l.sole && l.seen[n] > 0, "message %d came before its first attempt", n)
	} else {
		l.marked++
	}
	if l.seen[n]++; l.seen[n] > 1 {
		l.again[m.Peer()]++
		return
	}
	assert.False(l.t, l.sole && n != l.last+1, "message %d comes first after %d", n, l.last)
	l.last = n
}

// Row 18 of the fault plan: wherever either direction of a connection is cut, or what goes one way is swallowed, every message arrives, for the first time in the order of Send, and nothing comes
// twice but for what was not acknowledged when a connection ended.
func TestAssured_CutsAndOneWayCuts(t *testing.T) {
	t.Parallel()
	push := socket.NewPush(socket.WithAck(), socket.WithAttempts(0), swift(), socket.WithSendHWM(50), narrow())
	pull := socket.NewPull(socket.WithAck(), socket.WithAckDelay(time.Millisecond), socket.WithAckCredit(chaosCredit, 1<<20))
	closing(t, push, pull)
	chaos := sockettest.NewChaos(t, bind(t, pull, "tcp://127.0.0.1:0"))
	require.NoError(t, push.Connect(chaos.Endpoint))
	rounds := cuts(60)
	messages := 50 * rounds
	l := newLedger(t)
	l.sole = true
	received := make(chan struct{})
	go func() {
		defer close(received)
		for m := range pull.Messages(limit(t)) {
			l.came(m)
		}
	}()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range messages {
			size := 60
			if i%199 == 99 { // of which some are cut in the middle
				size = largeLife
			}
			if !assert.NoError(t, push.Send(limit(t), ordinal(i, size))) {
				return
			}
		}
	}()
	r := rand.New(rand.NewPCG(1, 2))
	fate := func() sockettest.Fate {
		return sockettest.Fate{Some: r.IntN(3) > 0, Cut: r.IntN(2) == 0, After: int64(r.IntN(1 << (6 + r.IntN(8))))}
	}
	for range rounds {
		chaos.Next(fate(), fate())
		chaos.Cut()
		<-time.After(time.Duration(r.IntN(20)) * time.Millisecond) // not for anything to happen: any moment will do
	}
	chaos.Next(sockettest.Fate{}, sockettest.Fate{})
	chaos.Cut()
	<-sent
	require.NoError(t, push.WaitAcked(limit(t)))
	s := push.Stats()
	require.NoError(t, pull.Close())
	<-received
	require.Len(t, l.seen, messages)
	require.EqualValues(t, messages, s.Acks.AckedOut)
	require.LessOrEqual(t, uint64(requireFewAgain(t, l.again)), s.Acks.RedeliveredOut)
	require.Zero(t, s.Acks.DeadLettered)
	require.Zero(t, s.Acks.UnackedOut)
	require.EqualValues(t, messages, s.MessagesOut)
	require.Empty(t, s.Dropped)
}

// Row 18, cut by cut: exactly the messages that are in flight come again, once each.
func TestAssured_ACutCostsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, keep socket.Option) {
		push := socket.NewPush(keep, socket.WithAttempts(0), swift(), swiftRetry())
		pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithAckDelay(0), socket.WithAckCredit(chaosCredit, 1<<20))
		closing(t, pull, push)
		chaos := sockettest.NewChaos(t, bind(t, pull, "tcp://127.0.0.1:0"))
		require.NoError(t, push.Connect(chaos.Endpoint))
		r := rand.New(rand.NewPCG(18, 18))
		sent, held := 0, []socket.Msg(nil)
		for range cuts(30) {
			for range 1 + r.IntN(chaosCredit-len(held)) {
				require.NoError(t, push.Send(limit(t), ordinal(sent, 8)))
				m := recv(t, pull)
				require.Equal(t, [2]int{sent, 1}, [2]int{ordinalOf(m), m.Attempt()}, "none comes again that was not in flight")
				held = append(held, m)
				sent++
			}
			r.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
			for keep := 1 + r.IntN(min(len(held), chaosCredit-1)); len(held) > keep; held = held[1:] {
				require.NoError(t, held[0].Ack())
			}
			require.Eventually(t, func() bool { return heldBy(push) == len(held) }, sockettest.Timeout, time.Millisecond)
			inFlight := map[int]bool{}
			for _, m := range held {
				inFlight[ordinalOf(m)] = true
			}
			chaos.Cut()
			for i := range held {
				held[i] = recv(t, pull)
				require.True(t, held[i].Redelivered() && inFlight[ordinalOf(held[i])], "message %d", ordinalOf(held[i]))
				delete(inFlight, ordinalOf(held[i]))
			}
		}
		for _, m := range held {
			require.NoError(t, m.Ack())
		}
		require.NoError(t, push.WaitAcked(limit(t)))
		_, err := pull.Recv(try())
		require.ErrorIs(t, err, context.Canceled, "there is none")
	})
}

// Several receivers acknowledge, refuse and lose their connections at random: each message is handled by one of them, and none that was acknowledged comes again.
func TestAssured_ManyPeersModel(t *testing.T) {
	t.Parallel()
	push := socket.NewPush(socket.WithAck(), socket.WithAttempts(0), swiftRetry())
	at := bind(t, push, "tcp://127.0.0.1:0")
	closing(t, push)
	const messages, peers = 1500, 3
	l := newLedger(t)
	t.Cleanup(l.stop)
	var wg sync.WaitGroup
	for i := range peers {
		pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithAckDelay(time.Millisecond), socket.WithAckCredit(20+100*i, 1<<20), swift())
		closing(t, pull)
		require.NoError(t, pull.Connect(at))
		wg.Go(func() { l.worker(pull, rand.New(rand.NewPCG(uint64(i), 5))) })
	}
	numbered(t, push, 0, messages, 40)
	for range 10 {
		for _, p := range push.Peers() {
			_ = push.Kick(p) // it may be gone already
		}
		<-time.After(5 * time.Millisecond) // any moment will do
	}
	require.NoError(t, push.WaitAcked(limit(t)))
	s := push.Stats()
	require.NoError(t, push.Close())
	require.Len(t, l.done, messages)
	require.EqualValues(t, messages, s.Acks.AckedOut)
	require.Zero(t, s.Acks.DeadLettered)
	require.LessOrEqual(t, uint64(l.marked), 2*s.Acks.RedeliveredOut, "what was received after its connection had ended, and what was sent again for that")
	require.Empty(t, s.Dropped)
	l.stop()
	wg.Wait()
}

// worker handles messages out of order, until the sender is closed.
func (l *ledger) worker(pull *socket.Pull, r *rand.Rand) {
	var held []socket.Msg
	for {
		m, err := pull.Recv(sockettest.Soon(l.t))
		if err == nil {
			l.came(m)
			held = append(held, m)
		} else if l.ended() {
			return
		}
		for len(held) > 0 && (err != nil || r.IntN(3) > 0) {
			i := r.IntN(len(held))
			m := held[i]
			held = append(held[:i], held[i+1:]...)
			if r.IntN(10) == 0 {
				_ = m.Nack(socket.Nack{}) // ErrPeerGone: it comes again anyway
			} else if m.Ack() == nil {
				l.mu.Lock()
				l.done[ordinalOf(m)] = true
				l.mu.Unlock()
			}
		}
	}
}

func (l *ledger) stop() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
}

func (l *ledger) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}
