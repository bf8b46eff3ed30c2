package pubsub_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// mate returns a member of the name "team" that handles what patterns stand for by sending the topics to the channel, and is not connected yet.
func mate(t *testing.T, opts []patterns.Option, of ...string) (s *pubsub.Subscriber, subs []*pubsub.Subscription, topics chan string, errs <-chan error) {
	t.Helper()
	hook, errs := errorHook()
	again := patterns.WithSocketOptions(socket.WithReconnect(time.Millisecond, 5*time.Millisecond))
	s = pubsub.NewSubscriber(append([]patterns.Option{pubsub.WithDurable("team", spool.Beginning()), hook, again}, opts...)...)
	topics = make(chan string, 100)
	for _, pattern := range of {
		sub, err := pubsub.Subscribe(s, pattern, func(_ context.Context, topic string, _ int) error {
			topics <- topic
			return nil
		})
		require.NoError(t, err)
		subs = append(subs, sub)
	}
	return s, subs, topics, errs
}

// next returns what comes next.
func next[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-within(t).Done():
		require.Fail(t, "nothing comes")
	}
	return v
}

// joined waits until the name "team" has so many members.
func joined(t *testing.T, p *pubsub.Publisher, n int) {
	t.Helper()
	require.Eventually(t, func() bool { d := p.Durables(); return len(d) == 1 && d[0].Members == n }, time.Minute, time.Millisecond)
}

// Two instances of a service that do not want the same, as an upgrade has it: none takes from the other what it does not handle itself. The one that comes second is told why it gets nothing, and is let in
// when the other has gone.
func TestTeam_PatternsThatDiffer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		patterns, topics [2]string
		opts             []patterns.Option
	}{
		"wildcards":       {patterns: [2]string{"orders.*.created", "orders.*.deleted"}, topics: [2]string{"orders.7.created", "orders.7.deleted"}},
		"depth":           {patterns: [2]string{"orders.*", "orders.>"}, topics: [2]string{"orders.7", "orders.7.deleted"}},
		"prefix of other": {patterns: [2]string{"orders.eu", "orders.eu2"}, topics: [2]string{"orders.eu", "orders.eu2"}},
		"exact":           {[2]string{"orders.eu", "orders.eu2"}, [2]string{"orders.eu", "orders.eu2"}, []patterns.Option{pubsub.WithExactTopics()}},
		"nothing common":  {patterns: [2]string{"orders.>", "users.>"}, topics: [2]string{"orders.a", "users.b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, addr := logged(t, filepath.Join(t.TempDir(), "log"), c.opts...)
			one, _, handled, _ := mate(t, c.opts, c.patterns[0])
			require.NoError(t, one.Connect(addr))
			run(t, one)
			joined(t, p, 1)
			two, _, later, errs := mate(t, c.opts, c.patterns[1])
			require.NoError(t, two.Connect(addr))
			run(t, two)
			for i := range 100 {
				require.NoError(t, p.Publish(within(t), c.topics[i%2], i))
			}
			for range 50 {
				require.Equal(t, c.topics[0], next(t, handled))
			}
			why := next(t, errs)
			refused := new(zmtp.HandshakeError)
			require.ErrorAs(t, why, &refused)
			assert.Equal(t, zmtp.PeerError, refused.Reason)
			for _, pattern := range c.patterns {
				assert.Contains(t, why.Error(), strings.TrimSuffix(pattern, ">"))
			}
			drained(t, p, "team")
			in := two.Events(within(t))
			require.NoError(t, one.Close())
			for e := range in {
				if e.Kind == socket.Resumed {
					break
				}
			}
			require.NoError(t, p.Publish(within(t), c.topics[1], 100))
			require.Equal(t, c.topics[1], next(t, later))
			assert.Empty(t, errs, "it is said once")
		})
	}
}

// Members that want the same are let in, whatever their order, their number of handlers, and whether they have subscribed before they connect.
func TestTeam_PatternsThatAreTheSame(t *testing.T) {
	t.Parallel()
	p, addr := logged(t, filepath.Join(t.TempDir(), "log"))
	for i, of := range [][]string{{"orders.*.created", "users.>", "end"}, {"end", "users.>", "end", "orders.*.created"}, {"users.>", "orders.*.created", "end"}} {
		s, _, _, errs := mate(t, nil)
		if i == 2 {
			require.NoError(t, s.Connect(addr))
		}
		for _, pattern := range of {
			_, err := pubsub.Subscribe(s, pattern, func(context.Context, string, int) error { return nil })
			require.NoError(t, err)
		}
		if i < 2 {
			require.NoError(t, s.Connect(addr))
		}
		run(t, s)
		joined(t, p, i+1)
		if i < 2 {
			assert.Empty(t, errs)
		}
	}
}

// A member that ends a subscription while events of it wait there has lost nothing: they are handled by another.
func TestTeam_UnsubscribeLeavesEventsToOthers(t *testing.T) {
	t.Parallel()
	const n = 20
	p, addr := logged(t, filepath.Join(t.TempDir(), "log"))
	one, subs, _, _ := mate(t, nil, "orders.*.deleted")
	busy, proceed := make(chan struct{}), make(chan struct{})
	_, err := pubsub.Subscribe(one, "orders.*.created", func(context.Context, string, int) error {
		close(busy)
		<-proceed
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, one.Connect(addr))
	run(t, one)
	require.NoError(t, p.Publish(within(t), "orders.0.created", 0))
	for i := range n {
		require.NoError(t, p.Publish(within(t), fmt.Sprintf("orders.%d.deleted", i), i))
	}
	next(t, busy)
	require.Eventually(t, func() bool { return p.Durables()[0].InFlight == n+1 }, time.Minute, time.Millisecond)
	two, _, handled, _ := mate(t, nil, "orders.*.deleted", "orders.*.created")
	require.NoError(t, two.Connect(addr))
	run(t, two)
	joined(t, p, 2)
	require.NoError(t, subs[0].Unsubscribe())
	require.NoError(t, subs[0].Unsubscribe(), "again")
	close(proceed)
	seen := map[string]bool{}
	for len(seen) < n {
		topic := next(t, handled)
		seen[topic] = strings.HasSuffix(topic, ".deleted")
		if !seen[topic] {
			delete(seen, topic) // the one in hand comes again, too
		}
	}
	drained(t, p, "team")
}

// What has come under a pattern is not lost with the last one: it is handed back, which is no failure of it, for whoever of the name subscribes, the same or another.
func TestTeam_UnsubscribeFromAll(t *testing.T) {
	t.Parallel()
	const n = 20
	for name, c := range map[string]struct {
		opts    []patterns.Option
		another bool
	}{
		"the same":       {},
		"another":        {another: true},
		"in key's order": {opts: []patterns.Option{patterns.WithKeyOrder(patterns.KeyOrder{Attempts: 1})}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, addr := logged(t, filepath.Join(t.TempDir(), "log"), patterns.WithSocketOptions(socket.WithAttempts(1)))
			one, _, _, errs := mate(t, c.opts)
			busy, proceed := make(chan struct{}), make(chan struct{})
			sub, err := pubsub.Subscribe(one, "orders.*", func(context.Context, string, int) error {
				close(busy)
				<-proceed
				return nil
			})
			require.NoError(t, err)
			require.NoError(t, one.Connect(addr))
			run(t, one)
			for i := range n {
				require.NoError(t, p.Publish(within(t), "orders.a", i))
			}
			next(t, busy)
			require.Eventually(t, func() bool { return p.Durables()[0].InFlight == n }, time.Minute, time.Millisecond)
			require.NoError(t, sub.Unsubscribe())
			close(proceed)
			require.Eventually(t, func() bool {
				d := p.Durables()[0]
				return d.InFlight == 0 && d.Lag == n-1
			}, time.Minute, time.Millisecond)

			heir := one
			if c.another {
				heir, _, _, _ = mate(t, c.opts)
				require.NoError(t, heir.Connect(addr))
				run(t, heir)
			}
			got := make(chan int, n)
			_, err = pubsub.Subscribe(heir, "orders.*", func(_ context.Context, _ string, i int) error {
				got <- i
				return nil
			})
			require.NoError(t, err)
			for i := 1; i < n; i++ {
				require.Equal(t, i, next(t, got))
			}
			drained(t, p, "team")
			assert.Zero(t, p.Durables()[0].Failed)
			assert.Empty(t, errs)
		})
	}
}

// A new version that wants all that the old one wants and more, as an upgrade by a catch-all has it, takes nothing from the old one that this would pass over.
func TestTeam_OneHasAPatternMore(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"orders.*.created", "orders.>"}, {"*.created", ">"}, {"orders.*.created", "orders.*"}, {"orders", "orders.>"}} {
		t.Run(c[1], func(t *testing.T) {
			t.Parallel()
			p, addr := logged(t, filepath.Join(t.TempDir(), "log"))
			old, _, _, _ := mate(t, nil, c[0])
			require.NoError(t, old.Connect(addr))
			run(t, old)
			joined(t, p, 1)
			later, _, _, errs := mate(t, nil, c[0], c[1])
			require.NoError(t, later.Connect(addr))
			run(t, later)
			assert.ErrorContains(t, next(t, errs), c[1])
		})
	}
}

// A pattern is taken back before what its topics begin with: with that gone first, a publisher would pass over all that the pattern means.
func TestUnsubscribe_InOrder(t *testing.T) {
	t.Parallel()
	p, addr := logged(t, filepath.Join(t.TempDir(), "log"))
	one, subs, _, _ := mate(t, nil, "orders.*")
	require.NoError(t, one.Connect(addr))
	run(t, one)
	joined(t, p, 1)
	events := p.Events(within(t))
	require.NoError(t, subs[0].Unsubscribe())
	var ended []string
	for e := range events {
		if e.Kind == socket.Unsubscribed {
			if ended = append(ended, e.Topic); len(ended) == 2 {
				break
			}
		}
	}
	assert.Equal(t, []string{"orders.*", "orders."}, ended)
}
