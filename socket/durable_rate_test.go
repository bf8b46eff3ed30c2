package socket_test

import (
	"cmp"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// Row 35 by the clock, for as long as MESHMQ_SLOW says (make slow): of 100,000 messages a second a live subscriber gets beside a replay at least 95 % of what it gets alone, and 99 of 100
// at least four times as soon as beside goroutines that only compute: those leave nobody a processor of themselves. They are measured in turns, all in one process.
func TestDurable_LiveBesideAReplay(t *testing.T) {
	length := slowly(t)
	const backlog, turn = 1_000_000, 500 * time.Millisecond
	pub := socket.NewPub(socket.WithSpool(filepath.Join(t.TempDir(), "log"), spool.Options{Policy: spool.OS}), socket.WithLinger(0))
	defer pub.Close() // says what a replay did not get
	endpoint := bind(t, pub, "tcp://127.0.0.1:0")
	for i := range backlog {
		_, err := pub.Enqueue(t.Context(), text("t"), ordinal(i, 100))
		require.NoError(t, err)
	}
	alone, computing, replaying := newLiveTopic(t, pub, endpoint, "alone"), newLiveTopic(t, pub, endpoint, "computing"), newLiveTopic(t, pub, endpoint, "replaying")
	replayed := 0
	for i, end := 0, time.Now().Add(length); time.Now().Before(end); i++ {
		alone.run(t, turn)
		stop := compute()
		computing.run(t, turn)
		stop()
		over := reread(t, endpoint, fmt.Sprint("replay-", i))
		replaying.run(t, turn)
		replayed += over()
	}
	for _, l := range []*liveTopic{alone, computing, replaying} {
		l.tell(t)
	}
	t.Logf("%.0f messages a second replayed", float64(replayed)/replaying.took.Seconds())
	assert.Positive(t, replayed)
	if usual(alone.worst) > usual(computing.worst)/8 {
		t.Skip("something else keeps the processors busy: nothing is to be told from this")
	}
	assert.GreaterOrEqual(t, usual(replaying.rates)/usual(alone.rates), 0.95)
	assert.LessOrEqual(t, usual(replaying.worst), usual(computing.worst)/4)
}

// compute keeps the processors busy until it is told to stop.
func compute() (stop func()) {
	var stopped atomic.Bool
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for !stopped.Load() {
			}
		})
	}
	return func() {
		stopped.Store(true)
		all.Wait()
	}
}

// reread has a new name read the log from its beginning until it is told to stop, when it says how many messages it got.
func reread(t *testing.T, endpoint, name string) (over func() int) {
	sub, n := durable(t, endpoint, name, spool.Beginning()), 0
	var reading sync.WaitGroup
	reading.Go(func() {
		for range sub.Messages(t.Context()) {
			n++
		}
	})
	return func() int {
		require.NoError(t, sub.Close())
		reading.Wait()
		return n
	}
}

// liveTopic is a topic with a live subscriber.
type liveTopic struct {
	pub   *socket.Pub
	topic string
	begun time.Time
	sent  int
	lost  int // dropped, because it had not kept up
	took  time.Duration

	// Of each turn.
	rates []float64       // messages a second
	worst []time.Duration // within which 99 of 100 came

	mu   sync.Mutex      // guards what follows
	late []time.Duration // from before Enqueue to Recv, of each message that came
}

func newLiveTopic(t *testing.T, pub *socket.Pub, endpoint, topic string) *liveTopic {
	l, sub := &liveTopic{pub: pub, topic: topic, begun: time.Now()}, socket.NewSub()
	closing(t, sub)
	require.NoError(t, sub.Subscribe(topic))
	require.NoError(t, sub.Connect(endpoint))
	require.NoError(t, pub.WaitSubscribers(limit(t), topic, 1))
	go func() { // ends with Close
		for m := range sub.Messages(t.Context()) {
			sent := time.Duration(ordinalOf(socket.Msg{Frames: m.Frames[1:]}))
			l.mu.Lock()
			l.late = append(l.late, time.Since(l.begun)-sent)
			l.mu.Unlock()
		}
	}()
	return l
}

func (l *liveTopic) received() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.late)
}

// run sends for some time, 100,000 messages a second, until all have come that were not dropped.
func (l *liveTopic) run(t *testing.T, length time.Duration) {
	const batch, pace = 100, 100_000
	begun, dropped, before := time.Now(), l.dropped(), l.received()
	for due := 0.0; time.Since(begun) < length; due += batch * float64(time.Second) / pace {
		<-time.After(time.Duration(due) - time.Since(begun))
		for range batch {
			_, err := l.pub.Enqueue(t.Context(), text(l.topic), ordinal(int(time.Since(l.begun)), 100))
			require.NoError(t, err)
			l.sent++
		}
	}
	l.lost += l.dropped() - dropped
	require.Eventually(t, func() bool { return l.received() == l.sent-l.lost }, sockettest.Timeout, time.Millisecond)
	took := time.Since(begun)
	l.took += took
	l.mu.Lock()
	defer l.mu.Unlock()
	turn := slices.Sorted(slices.Values(l.late[before:]))
	l.rates = append(l.rates, float64(len(turn))/took.Seconds())
	l.worst = append(l.worst, turn[len(turn)-1-len(turn)/100])
}

// usual is what all turns are, in the median.
func usual[T cmp.Ordered](turns []T) T { return slices.Sorted(slices.Values(turns))[len(turns)/2] }

func (l *liveTopic) dropped() int { return int(l.pub.Stats().Dropped[socket.DropFull]) }

func (l *liveTopic) tell(t *testing.T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.late)
	n := len(l.late)
	t.Logf("%s: %.0f messages a second, %d of %d dropped; half come within %v, 99 of 100 within %v (%v in a usual turn), all within %v",
		l.topic, usual(l.rates), l.lost, l.sent, l.late[n/2], l.late[n-1-n/100], usual(l.worst), l.late[n-1])
}
