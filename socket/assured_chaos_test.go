package socket_test

import (
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
	first  map[int]bool // came as first attempts
	last   int
	sole   bool // there is one receiver
	over   bool
	t      *testing.T
	marked int // that came with an Attempt above 1
}

func newLedger(t *testing.T) *ledger {
	return &ledger{t: t, seen: map[int]int{}, done: map[int]bool{}, first: map[int]bool{}}
}

// came notes a message. A first attempt comes to one receiver, once; another may well return a later attempt before it, whose connection was cut
// while the message waited for Recv. To a sole receiver first attempts come in order.
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
		if l.sole {
			assert.Greater(l.t, n, l.last, "first attempts out of order")
		}
		l.last = n
	} else {
		l.marked++
	}
	l.seen[n]++
}

// Wherever either direction of a connection is cut, or what goes one way is swallowed, every message arrives, first attempts in order, and nothing comes
// twice but for what was not acknowledged when a connection ended.
func TestAssured_CutsAndOneWayCuts(t *testing.T) {
	t.Parallel()
	push := socket.NewPush(socket.WithAck(), socket.WithAttempts(0), swift(), socket.WithSendHWM(50))
	pull := socket.NewPull(socket.WithAck(), socket.WithAckDelay(time.Millisecond))
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
		numbered(t, push, 0, messages, 60)
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
	again := 0
	for _, n := range l.seen {
		again += n - 1
	}
	require.EqualValues(t, messages, s.Acks.AckedOut)
	require.LessOrEqual(t, uint64(again), s.Acks.RedeliveredOut)
	require.Zero(t, s.Acks.DeadLettered)
	require.Zero(t, s.Acks.UnackedOut)
	require.EqualValues(t, messages, s.MessagesOut)
	require.Empty(t, s.Dropped)
}

// Several receivers acknowledge, refuse and lose their connections at random: each message is handled by one of them, and none that was acknowledged comes again.
func TestAssured_ManyPeersModel(t *testing.T) {
	t.Parallel()
	push := socket.NewPush(socket.WithAck(), socket.WithAttempts(0), swiftRetry())
	at := bind(t, push, "tcp://127.0.0.1:0")
	closing(t, push)
	const messages, peers = 1500, 3
	l := newLedger(t)
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
	require.LessOrEqual(t, uint64(l.marked), s.Acks.RedeliveredOut)
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
