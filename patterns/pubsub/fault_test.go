package pubsub_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// changes is how many members of a group come or go in a test: a few, or as many as MESHMQ_CHANGES says.
func changes(few int) int {
	if n, err := strconv.Atoi(os.Getenv("MESHMQ_CHANGES")); err == nil {
		return n
	}
	return few
}

// Item is the nth event of its key.
type Item struct{ Key, N int }

// ledger is the oracle of a group: who has which key in hand, and what was handled.
type ledger struct {
	t     *testing.T
	limit time.Duration // that a key with events may be in nobody's hand after the loss of a member

	mu        sync.Mutex // guards the fields below
	published map[int]int
	holder    map[int]*teammate
	lost      map[int]time.Time // keys with events and without a holder, and when a member was lost last
	last      map[int]int
	handled   int
	again     int
	changed   chan struct{} // closed and replaced at each event handled
}

// teammate is a member of a group in a test.
type teammate struct {
	sub   *pubsub.Subscriber
	conn  *sockettest.FaultyConn // to the publisher
	dead  bool                   // under ledger.mu: what it does does not count any more
	ended chan error
}

// begin notes that a member has an event in hand.
func (l *ledger) begin(m *teammate, it Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m.dead {
		return
	}
	if other := l.holder[it.Key]; other != nil {
		assert.True(l.t, other.dead, "key %d is with two live members, or twice with one", it.Key)
	}
	l.holder[it.Key] = m
	if since, ok := l.lost[it.Key]; ok {
		assert.LessOrEqual(l.t, time.Since(since), l.limit, "key %d was with nobody", it.Key)
		delete(l.lost, it.Key)
	}
}

// drop notes that it is to be tried again.
func (l *ledger) drop(m *teammate, it Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder[it.Key] == m {
		delete(l.holder, it.Key)
	}
}

// end notes that it was handled: of each key in order, as far as it was not handled before.
func (l *ledger) end(m *teammate, it Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder[it.Key] == m {
		delete(l.holder, it.Key)
	}
	if it.N > l.last[it.Key] {
		assert.Equal(l.t, l.last[it.Key]+1, it.N, "order of key %d", it.Key)
		l.last[it.Key] = it.N
		l.handled++
	} else {
		l.again++
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// lose notes that a member is gone, and that its keys, and those that wait, are to be with another soon.
func (l *ledger) lose(m *teammate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.dead = true
	for key, n := range l.published {
		if h := l.holder[key]; n > l.last[key] && (h == nil || h.dead) {
			l.lost[key] = time.Now()
		}
	}
}

// await waits until so many events were handled.
func (l *ledger) await(n int) {
	for {
		l.mu.Lock()
		have, changed := l.handled, l.changed
		l.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-changed:
		case <-time.After(time.Hour):
			require.Fail(l.t, "events are not handled", "%d of %d", have, n)
		}
	}
}

// group is publishers and the members of one name, connected by pipes.
type group struct {
	*ledger
	p, other *pubsub.Publisher // other publishes nothing; it is there because of bubbles, as in package pushpull
	team     []*teammate
	silent   []*teammate // who are cut off and do not know
}

// join adds a member.
func (g *group) join() {
	m := &teammate{ended: make(chan error, 1)}
	m.sub = pubsub.NewSubscriber(pubsub.WithDurable("team", spool.Beginning()), patterns.WithConcurrency(2), patterns.WithPrefetch(16),
		patterns.WithKeyOrder(patterns.KeyOrder{Attempts: 10, Min: time.Microsecond, Max: time.Millisecond}),
		patterns.WithOnError(func(context.Context, error) {}))
	_, err := pubsub.Subscribe(m.sub, "items.>", func(ctx context.Context, _ string, it Item) error {
		g.begin(m, it)
		select { // it takes a while
		case <-time.After(rand.N(10 * time.Millisecond)):
		case <-ctx.Done():
		}
		if rand.N(20) == 0 || ctx.Err() != nil {
			g.drop(m, it)
			return fmt.Errorf("item %v: not yet", it)
		}
		g.end(m, it)
		return nil
	})
	require.NoError(g.t, err)
	for _, p := range []*pubsub.Publisher{g.p, g.other} {
		near, far := net.Pipe()
		conn := sockettest.NewFaultyConn(near)
		if p == g.p {
			m.conn = conn
		}
		require.NoError(g.t, p.Attach(far))
		require.NoError(g.t, m.sub.Attach(conn))
	}
	go func() { m.ended <- m.sub.Run(context.Background()) }() // ended by stop and leave, which wait for it
	g.team = append(g.team, m)
}

// stop ends a member that is gone already as far as others can tell.
func (g *group) stop(m *teammate) {
	assert.NoError(g.t, m.sub.Close())
	assert.NoError(g.t, <-m.ended)
}

// The ways in which a member can go.
var departures = []func(g *group, m *teammate){
	func(g *group, m *teammate) { // in order
		assert.NoError(g.t, m.sub.Shutdown(context.Background()))
		assert.NoError(g.t, <-m.ended)
		g.lose(m)
	},
	func(g *group, m *teammate) { // its connection breaks
		g.lose(m)
		assert.NoError(g.t, m.conn.Close())
		g.stop(m)
	},
	func(g *group, m *teammate) { // nothing is heard of it any more, and it works on
		g.lose(m)
		m.conn.Out.Hold()
		m.conn.In.Hold()
		g.silent = append(g.silent, m)
	},
}

// Row 33 of the fault plan: every 200 ms a member joins a group of one to eight, leaves it, loses its connection or falls silent, while events come. Each event is handled, those of a key in
// their order, and by one live member at a time; no key waits for longer than twice the limit of heartbeats. The time is that of a bubble.
func TestFault33_GroupThatChanges(t *testing.T) {
	t.Parallel()
	const keys, step, most, pace, dead = 20, 60, 8, 200 * time.Millisecond, 3 * time.Second
	steps := changes(60)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := &group{ledger: &ledger{t: t, limit: 2 * dead, published: map[int]int{}, holder: map[int]*teammate{}, lost: map[int]time.Time{}, last: map[int]int{}, changed: make(chan struct{})}}
		for name, p := range map[string]**pubsub.Publisher{"log": &g.p, "other": &g.other} {
			*p = pubsub.NewPublisher(pubsub.WithLog(filepath.Join(dir, name), spool.Options{Policy: spool.OS, SegmentSize: 64 << 10}), swift(socket.WithHeartbeat(time.Second, dead)))
			defer (*p).Close()
		}
		random := rand.New(rand.NewPCG(33, uint64(steps)))
		g.join()
		published, peak, gone := 0, 0, [3]int{}
		for s := range steps {
			for range step {
				it := Item{Key: published % keys, N: published/keys + 1}
				g.mu.Lock()
				g.published[it.Key] = it.N
				g.mu.Unlock()
				require.NoError(t, g.p.Publish(t.Context(), fmt.Sprint("items.", published%7), it, patterns.WithKey(strconv.Itoa(it.Key))))
				published++
			}
			if n := len(g.team); s < most-1 || n == 1 || n < most && random.IntN(2) == 0 {
				g.join()
				peak = max(peak, len(g.team))
			} else {
				i, how := random.IntN(n), random.IntN(len(departures))
				m := g.team[i]
				g.team = slices.Delete(g.team, i, i+1)
				departures[how](g, m)
				gone[how]++
			}
			if len(g.silent) > most { // it was taken for dead
				g.stop(g.silent[0])
				g.silent = g.silent[1:]
			}
			<-time.After(pace)
			g.await(step * max(0, s-1)) // members change while there is work
		}
		g.await(published)
		drained(t, g.p, "team")
		for _, m := range g.silent {
			g.stop(m)
		}
		for _, m := range g.team {
			departures[0](g, m)
		}
		for key := range keys {
			assert.Equal(t, published/keys, g.last[key], "key %d", key)
		}
		assert.Equal(t, most, peak)
		assert.Positive(t, slices.Min(gone[:]), "%v", gone)
		assert.Positive(t, g.again, "what a member had done and could not say")
		assert.Empty(t, g.lost)
		assert.Empty(t, g.p.Stats().Dropped)
		assert.Zero(t, g.p.Durables()[0].DeadLettered)
		t.Logf("%d events, %d changes, %v gone in order, by a break, in silence, %d handled again", published, steps, gone, g.again)
	})
}
