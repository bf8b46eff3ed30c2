package pubsub_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket"
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
	t *testing.T

	mu      sync.Mutex // guards the fields below
	holder  map[int]*teammate
	last    map[int]int
	handled int
	again   int
	changed chan struct{} // closed and replaced at each event handled
}

// teammate is a member of a group in a test.
type teammate struct {
	sub   *pubsub.Subscriber
	dead  bool // under ledger.mu: what it does does not count any more
	ended chan error
}

// begin notes that a member has an event in hand.
func (l *ledger) begin(m *teammate, it Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if other := l.holder[it.Key]; other != nil && !m.dead {
		assert.True(l.t, other.dead, "key %d is with two live members, or twice with one", it.Key)
	}
	if !m.dead {
		l.holder[it.Key] = m
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

// await waits until so many events were handled.
func (l *ledger) await(n int) {
	ctx := within(l.t)
	for {
		l.mu.Lock()
		have, changed := l.handled, l.changed
		l.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			require.Fail(l.t, "events are not handled", "%d of %d", have, n)
		}
	}
}

// Row 33 of the fault plan: a group of 1 to 8 members that join, leave and are cut off while events come. Each event is handled, those of a key in their order, and by one live
// member at a time.
func TestFault33_GroupThatChanges(t *testing.T) {
	t.Parallel()
	const keys, step = 20, 60
	steps := changes(25)
	p, addr := logged(t, filepath.Join(t.TempDir(), "log"), swift())
	l := &ledger{t: t, holder: map[int]*teammate{}, last: map[int]int{}, changed: make(chan struct{})}
	var team []*teammate
	join := func() {
		m := &teammate{ended: make(chan error, 1)}
		m.sub = pubsub.NewSubscriber(pubsub.WithDurable("team", spool.Beginning()), patterns.WithConcurrency(2), patterns.WithPrefetch(16),
			patterns.WithKeyOrder(patterns.KeyOrder{Attempts: 10, Min: time.Microsecond, Max: time.Millisecond}),
			patterns.WithOnError(func(context.Context, error) {}))
		_, err := pubsub.Subscribe(m.sub, "items.>", func(ctx context.Context, _ string, it Item) error {
			l.begin(m, it)
			select { // it takes a while
			case <-time.After(rand.N(time.Millisecond)):
			case <-ctx.Done():
			}
			if rand.N(20) == 0 || ctx.Err() != nil {
				l.drop(m, it)
				return fmt.Errorf("item %v: not yet", it)
			}
			l.end(m, it)
			return nil
		})
		require.NoError(t, err)
		require.NoError(t, m.sub.Connect(addr))
		go func() { m.ended <- m.sub.Run(context.Background()) }() // ended by leave, which waits for it
		team = append(team, m)
	}
	leave := func(m *teammate, kill bool) {
		if kill {
			l.mu.Lock()
			m.dead = true
			l.mu.Unlock()
			assert.NoError(t, m.sub.Close())
		} else {
			assert.NoError(t, m.sub.Shutdown(within(t)))
			l.mu.Lock()
			m.dead = true
			l.mu.Unlock()
		}
		assert.NoError(t, <-m.ended)
	}
	join()
	ctx := t.Context() // await bounds it
	random := rand.New(rand.NewPCG(33, uint64(steps)))
	published := 0
	for s := range steps {
		for range step {
			it := Item{Key: published % keys, N: published/keys + 1}
			require.NoError(t, p.Publish(ctx, fmt.Sprint("items.", published%7), it, patterns.WithKey(strconv.Itoa(it.Key))))
			published++
		}
		switch i := random.IntN(len(team)); {
		case len(team) == 1 || len(team) < 8 && random.IntN(2) == 0:
			join()
		default:
			m := team[i]
			team = append(team[:i], team[i+1:]...)
			leave(m, random.IntN(2) == 0)
		}
		l.await(step * max(0, s-1)) // members change while there is work
	}
	l.await(published)
	drained(t, p, "team")
	for _, m := range team {
		leave(m, false)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range keys {
		assert.Equal(t, published/keys, l.last[key], "key %d", key)
	}
	assert.Empty(t, p.Stats().Dropped)
	assert.Zero(t, p.Durables()[0].DeadLettered)
	t.Logf("%d events, %d changes, %d handled again", published, steps, l.again)
}

// heartbeats have a peer that does not answer taken for dead in no time.
func heartbeats() socket.Option {
	return socket.WithHeartbeat(20*time.Millisecond, 200*time.Millisecond)
}
