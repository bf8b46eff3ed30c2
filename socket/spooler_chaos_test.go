package socket_test

import (
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// spoolLink is a sender with a spool and a receiver of one way, with a bad network between them.
type spoolLink struct {
	way      way
	dir      string
	sender   spooledSender
	receiver letterReceiver
	chaos    *sockettest.Chaos
	done     chan struct{}

	mu     sync.Mutex // guards the fields below
	floor  uint64     // all messages up to this one are settled
	seen   map[uint64]bool
	again  map[*socket.Peer]int // by connection, those that had been seen before
	copies int                  // of messages up to floor
	last   uint64               // the highest that came
}

func newSpoolLink(t *testing.T, w way, options ...socket.Option) *spoolLink {
	l := &spoolLink{way: w, dir: filepath.Join(t.TempDir(), "spool"), seen: map[uint64]bool{}, again: map[*socket.Peer]int{}, done: make(chan struct{})}
	l.sender = w.open(t, l.dir, options...)
	l.receiver = w.receiver(socket.WithAckDelay(0), socket.WithAckCredit(chaosCredit, 1<<20))
	closing(t, l.sender, l.receiver) // of a test that fails
	l.chaos = sockettest.NewChaos(t, bind(t, l.receiver, "tcp://127.0.0.1:0"))
	require.NoError(t, l.sender.Connect(l.chaos.Endpoint))
	go func() { // ends with Close
		defer close(l.done)
		for m := range l.receiver.Messages(t.Context()) {
			l.came(t, m)
		}
	}()
	return l
}

// came notes a message. Those that come for the first time come in the order in which they were sent.
func (l *spoolLink) came(t *testing.T, m socket.Msg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, _, whole := openLetterOf(m)
	assert.True(t, whole, "message %d", n)
	if n <= l.floor || l.seen[n] {
		l.again[m.Peer()]++
		return
	}
	assert.Greater(t, n, l.last, "first deliveries out of order")
	l.last = n
	l.seen[n] = true
}

// settled checks that all messages up to a number came, and of what came again that it was in flight when the connection before was cut, and forgets them.
func (l *spoolLink) settled(t *testing.T, number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Len(t, l.seen, int(number-l.floor))
	l.floor = number
	l.copies += requireFewAgain(t, l.again)
	clear(l.seen)
	clear(l.again)
}

// narrow has the system take little of what is written before the other side reads, so that connections are cut within a large letter.
func narrow() socket.Option { return socket.WithSocketBuffers(128<<10, 0) }

// sometimesLarge is the life by which one letter in so many is large.
func sometimesLarge(number, one uint64) uint64 {
	if number%one == 0 {
		return largeLife
	}
	return 0
}

// chaosCredit is the credit of the receivers whose connections are cut: how much may be in flight when one is.
const chaosCredit = 50

// requireFewAgain: what comes again on a connection was in flight when the one before was cut. It returns how many messages that were.
func requireFewAgain(t *testing.T, again map[*socket.Peer]int) (total int) {
	t.Helper()
	for _, n := range again {
		require.LessOrEqual(t, n, chaosCredit)
		total += n
	}
	return total
}

// end waits until all is acknowledged, and checks that no message was lost, none came again that was not in flight or not sent again, and nothing stays.
func (l *spoolLink) end(t *testing.T, messages int) {
	require.NoError(t, l.sender.waitSettled(limit(t), uint64(messages)))
	s := l.sender.Stats()
	require.NoError(t, l.sender.Shutdown(limit(t)))
	require.NoError(t, l.receiver.Close())
	<-l.done
	l.settled(t, uint64(messages))
	assert.LessOrEqual(t, uint64(l.copies), s.Acks.RedeliveredOut)
	assert.Zero(t, s.Spool.DeadLettered)
	l.way.requireDrained(t, l.dir)
	t.Logf("%d messages, %d came again, %d connections", messages, l.copies, l.chaos.Made())
}

// randomFate is what may become of one direction of a connection, mostly early.
func randomFate(r *rand.Rand) sockettest.Fate {
	return sockettest.Fate{Some: r.IntN(3) > 0, Cut: r.IntN(2) == 0, After: int64(r.IntN(1 << (6 + r.IntN(10))))}
}

// cuts returns how often a test cuts connections: MESHMQ_CUTS says it, few is for those without it.
func cuts(few int) int {
	if n, err := strconv.Atoi(os.Getenv("MESHMQ_CUTS")); err == nil {
		return n
	}
	return few
}

// apart returns how long the network stays as bad as it is: some moments of up to few, since any moment will do for what comes next, or up to
// MESHMQ_PAUSE: as often 10 to 100 ms as 100 ms to a second, and so on.
func apart(t *testing.T, r *rand.Rand, few time.Duration) time.Duration {
	longest := os.Getenv("MESHMQ_PAUSE")
	if longest == "" {
		return time.Duration(r.Int64N(int64(few)))
	}
	most, err := time.ParseDuration(longest)
	require.NoError(t, err)
	const least = 10 * time.Millisecond
	return time.Duration(float64(least) * math.Pow(float64(most)/float64(least), r.Float64()))
}

// Row 18 of the fault plan, with a spool: either direction, or both, is cut or swallowed at random places while messages are sent, some of them large, so that a cut leaves one half written.
func TestSpool_CutsAndOneWayCuts(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _ string, w way) {
		l := newSpoolLink(t, w, narrow())
		rounds := cuts(30)
		messages := 33 * rounds
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for i := uint64(1); i <= uint64(messages); i++ {
				if _, err := l.sender.Enqueue(limit(t), letter(i, sometimesLarge(i, 99))); !assert.NoError(t, err) {
					return
				}
			}
		}()
		r := rand.New(rand.NewPCG(18, 0))
		fate := func() sockettest.Fate {
			return sockettest.Fate{Some: r.IntN(3) > 0, Cut: r.IntN(2) == 0, After: int64(r.IntN(1 << (6 + r.IntN(8))))}
		}
		for range rounds {
			l.chaos.Next(fate(), fate())
			l.chaos.Cut()
			<-time.After(apart(t, r, 10*time.Millisecond))
		}
		l.chaos.Next(sockettest.Fate{}, sockettest.Fate{})
		l.chaos.Cut()
		<-sent
		l.end(t, messages)
	})
}

// Row 19: a connection ends after each octet of what the sender says, and of what the receiver says, from the greeting to a message of any size, of which the system has taken all or a part, and its
// acknowledgement. Without MESHMQ_CUTS it is each 37th.
func TestSpool_CutAtEveryOctet(t *testing.T) {
	t.Parallel()
	step := int64(37)
	if os.Getenv("MESHMQ_CUTS") != "" {
		step = 1
	}
	eachWay(t, func(t *testing.T, _ string, w way) {
		l := newSpoolLink(t, w, narrow())
		messages := uint64(0)
		for octet := int64(1); octet < 1300; octet += step {
			for direction := range 2 {
				fates := [2]sockettest.Fate{}
				fates[direction] = sockettest.Fate{Some: true, Cut: true, After: octet}
				l.chaos.Once(fates[0], fates[1])
				l.chaos.Cut()
				for range 2 {
					messages++
					_, err := l.sender.Enqueue(limit(t), letter(messages, sometimesLarge(messages, 21)))
					require.NoError(t, err)
				}
				require.NoError(t, l.sender.waitSettled(limit(t), messages))
			}
		}
		l.end(t, int(messages))
	})
}

// Row 18, cut by cut, with a spool: exactly the messages that are in flight come again, once each, in order.
func TestSpool_ACutCostsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _ string, w way) {
		dir := filepath.Join(t.TempDir(), "spool")
		sender := w.open(t, dir)
		receiver := w.receiver(socket.WithManualAck(), socket.WithAckDelay(0), socket.WithAckCredit(chaosCredit, 1<<20))
		closing(t, receiver, sender)
		chaos := sockettest.NewChaos(t, bind(t, receiver, "tcp://127.0.0.1:0"))
		require.NoError(t, sender.Connect(chaos.Endpoint))
		take := func(again bool) (m socket.Msg, number uint64) {
			m = recv(t, receiver)
			number, _, whole := openLetterOf(m)
			require.True(t, whole && m.Redelivered() == again, "message %d", number)
			return m, number
		}
		r := rand.New(rand.NewPCG(18, 19))
		sent, held := uint64(0), map[uint64]socket.Msg{} // by their numbers
		for range cuts(30) {
			for range 1 + r.IntN(chaosCredit-len(held)) {
				sent++
				require.NoError(t, sender.Send(limit(t), letter(sent, 0)))
				m, number := take(false)
				require.Equal(t, sent, number, "none comes again that was not in flight")
				held[number] = m
			}
			for number, m := range held { // in any order
				if len(held) == chaosCredit || len(held) > 1 && r.IntN(3) > 0 {
					require.NoError(t, m.Ack())
					delete(held, number)
				}
			}
			require.Eventually(t, func() bool { return sender.pending() == len(held) }, sockettest.Timeout, time.Millisecond)
			chaos.Cut()
			for _, want := range slices.Sorted(maps.Keys(held)) {
				m, number := take(true)
				require.Equal(t, want, number)
				held[number] = m
			}
		}
		for _, m := range held {
			require.NoError(t, m.Ack())
		}
		require.NoError(t, sender.waitSettled(limit(t), sent))
		_, err := receiver.Recv(try())
		require.ErrorIs(t, err, context.Canceled, "there is none")
		require.NoError(t, receiver.Close())
		require.NoError(t, sender.Shutdown(limit(t)))
		w.requireDrained(t, dir)
	})
}

// pending is how many messages the spool's only consumer has not acknowledged.
func (s spooledSender) pending() int {
	for _, c := range s.log.Stats().Consumers {
		return int(c.Pending)
	}
	return 0
}
