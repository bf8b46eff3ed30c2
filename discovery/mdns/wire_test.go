package mdns

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/discoverytest"
)

// wire is a network within a bubble of synctest: what is sent arrives at once.
type wire struct {
	mu    sync.Mutex
	nodes []*node
}

// node is the carrier of one registry.
type node struct {
	w *wire
	r *Registry
	s site

	mu    sync.Mutex
	cut   bool        // nothing gets in or out
	fail  error       // of sending
	asked []time.Time // when a question was sent
	told  []sent
}

// sent is a record of something announced.
type sent struct {
	at  time.Time
	ttl time.Duration
}

func (w *wire) join(t *testing.T, opts ...Option) *node {
	t.Helper()
	n := &node{w: w, r: newRegistry(), s: lan}
	for _, opt := range opts {
		require.NoError(t, opt(n.r))
	}
	n.r.net = n
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = append(w.nodes, n)
	t.Cleanup(func() { n.r.Close() })
	return n
}

func (n *node) start() error  { return nil }
func (n *node) sites() []site { return []site{n.s} }
func (n *node) close()        {}

func (n *node) ask(packet []byte) error {
	n.mu.Lock()
	n.asked = append(n.asked, time.Now())
	n.mu.Unlock()
	return n.send(func(other *node) {
		var q dns.Msg
		if q.Unpack(packet) != nil {
			panic("a question that cannot be read")
		}
		m := dns.Msg{MsgHdr: dns.MsgHdr{Response: true}, Answer: other.r.records(q.Question[0], other.s)}
		if b, err := m.Pack(); err == nil && len(m.Answer) > 0 {
			n.take(b)
		}
	})
}

func (n *node) tell(packet func(site) []byte) error {
	b := packet(n.s)
	if seen, _, err := parse(b, n.s); err == nil {
		n.mu.Lock()
		n.told = append(n.told, sent{time.Now(), seen[0].ttl})
		n.mu.Unlock()
	}
	return n.send(func(other *node) { other.take(b) })
}

// send does something to all nodes that are reached.
func (n *node) send(to func(*node)) error {
	cut, fail := n.state()
	if cut || fail != nil {
		return fail
	}
	n.w.mu.Lock()
	nodes := append([]*node(nil), n.w.nodes...)
	n.w.mu.Unlock()
	for _, other := range nodes {
		if cut, _ := other.state(); !cut {
			to(other)
		}
	}
	return nil
}

func (n *node) take(b []byte) {
	if seen, _, err := parse(b, n.s); err == nil {
		n.r.deliver(seen)
	}
}

func (n *node) state() (cut bool, fail error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut, n.fail
}

func (n *node) set(cut bool, fail error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut, n.fail = cut, fail
}

// questions returns when the node asked, since start.
func (n *node) questions(start time.Time) (at []time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range n.asked {
		at = append(at, a.Sub(start))
	}
	return at
}

func bubble(t *testing.T, test func(t *testing.T, w *wire)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, &wire{}) })
}

// RFC 6762, 8.3: two announcements one second apart; 10.1: a goodbye has a life of 0. Ours is
// sent twice, 250 ms apart.
func TestAnnouncesTwiceAndLeavesTwice(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		n, start := w.join(t), time.Now()
		withdraw, err := n.r.Announce(context.Background(), reachable("orders"))
		require.NoError(t, err)
		<-time.After(time.Minute)
		withdraw()
		end := start.Add(time.Minute)
		assert.Equal(t, []sent{{start, defaultTTL}, {start.Add(time.Second), defaultTTL}, {end, 0}, {end.Add(250 * time.Millisecond), 0}}, n.told)
		assert.Equal(t, 250*time.Millisecond, time.Since(end), "withdraw returns when that is done")
	})
}

func TestLeavingSoonStopsAnnouncing(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		n := w.join(t)
		withdraw, err := n.r.Announce(context.Background(), reachable("orders"))
		require.NoError(t, err)
		withdraw()
		<-time.After(time.Minute)
		require.Len(t, n.told, 3)
		assert.Zero(t, n.told[2].ttl, "the last word is a goodbye")
	})
}

func TestCloseLeavesForAll(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		n, watcher := w.join(t), w.join(t)
		watch := discoverytest.Watch(t, watcher.r, "orders")
		var ids []string
		for range maxAds {
			in := reachable("orders")
			ids = append(ids, in.ID)
			_, err := n.r.Announce(context.Background(), in)
			require.NoError(t, err)
			require.Equal(t, discovery.Up, watch.Next(in.ID).Kind)
		}
		_, err := n.r.Announce(context.Background(), reachable("orders"))
		require.ErrorContains(t, err, "32 instances are announced already")
		start := time.Now()
		require.NoError(t, n.r.Close())
		assert.Equal(t, 250*time.Millisecond, time.Since(start), "side by side")
		gone := map[string]bool{}
		for range ids {
			e := watch.Any()
			require.Equal(t, discovery.Down, e.Kind)
			gone[e.Instance.ID] = true
		}
		assert.Len(t, gone, maxAds)
		_, err = n.r.Announce(context.Background(), reachable("orders"))
		assert.ErrorIs(t, err, discovery.ErrClosed)
		assert.ErrorIs(t, discoverytest.Watch(t, n.r, "orders").Err(), discovery.ErrClosed)
	})
}

// Rounds at 0 s, then after pauses of 1, 3, 9, 27, 60, 60 s, each up to 20 % off.
func TestAsksEverMoreRarely(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		n, start := w.join(t), time.Now()
		discoverytest.Watch(t, n.r, "orders")
		<-time.After(5 * time.Minute)
		at := n.questions(start)
		require.GreaterOrEqual(t, len(at), 7)
		require.Zero(t, at[0])
		for i, want := range []float64{1, 3, 9, 27, 60, 60} {
			assert.InDelta(t, want, (at[i+1] - at[i]).Seconds(), 0.2*want+0.001)
		}
	})
}

func TestKilledIsGoneAtTheEndOfItsRecord(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		n, watcher := w.join(t, WithTTL(10*time.Second)), w.join(t)
		in := reachable("orders")
		discoverytest.Announce(t, n.r, in)
		watch := discoverytest.Watch(t, watcher.r, "orders")
		require.Equal(t, discovery.Up, watch.Next(in.ID).Kind)
		<-time.After(10*time.Minute + 3*time.Second) // many lives: it answers
		n.set(true, nil)
		killed := time.Now()
		assert.Equal(t, discovery.Event{Kind: discovery.Down, Instance: in, Expired: true}, watch.Next(in.ID))
		assert.LessOrEqual(t, time.Since(killed), 10*time.Second)
		assert.GreaterOrEqual(t, time.Since(killed), time.Second)

		n.set(false, nil) // not killed but cut off, and back
		back := time.Now()
		assert.Equal(t, discovery.Up, watch.Next(in.ID).Kind)
		assert.LessOrEqual(t, time.Since(back), 75*time.Second, "found by the next question")
	})
}

// Nothing waits for a pause or a round: what arrives is shown at once.
func TestFoundAndGoneAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		n, watcher := w.join(t), w.join(t)
		in, start := reachable("orders"), time.Now()
		early := discoverytest.Watch(t, watcher.r, "orders")
		synctest.Wait()
		withdraw := discoverytest.Announce(t, n.r, in)
		require.Equal(t, discovery.Up, early.Next(in.ID).Kind)
		late := discoverytest.Watch(t, watcher.r, "orders")
		require.Equal(t, discovery.Up, late.Next(in.ID).Kind)
		go withdraw()
		require.Equal(t, discovery.Down, early.Next(in.ID).Kind)
		require.Equal(t, discovery.Down, late.Next(in.ID).Kind)
		assert.Zero(t, time.Since(start))
	})
}

func TestLostPacketsAreMadeUpFor(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		n, watcher := w.join(t), w.join(t)
		in := reachable("orders")
		watch := discoverytest.Watch(t, watcher.r, "orders")
		synctest.Wait()
		watcher.set(true, nil)
		withdraw := discoverytest.Announce(t, n.r, in)
		<-time.After(500 * time.Millisecond)
		watcher.set(false, nil)
		start := time.Now()
		require.Equal(t, discovery.Up, watch.Next(in.ID).Kind)
		assert.Less(t, time.Since(start), time.Second)

		watcher.set(true, nil)
		go withdraw()
		<-time.After(100 * time.Millisecond)
		watcher.set(false, nil)
		require.Equal(t, discovery.Down, watch.Next(in.ID).Kind, "the second goodbye")
	})
}

func TestNoNetworkIsAnErrorAtFirstOnly(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		n := w.join(t)
		unreachable := errors.New("interface eth0: network is unreachable")
		n.set(false, unreachable)
		in := reachable("orders")
		_, err := n.r.Announce(context.Background(), in)
		assert.EqualError(t, err, "announce orders: "+unreachable.Error())
		assert.EqualError(t, discoverytest.Watch(t, n.r, "orders").Err(), "watch orders: "+unreachable.Error())

		n.set(false, nil)
		withdraw := discoverytest.Announce(t, n.r, in)
		watch := discoverytest.Watch(t, n.r, "orders")
		require.Equal(t, discovery.Up, watch.Next(in.ID).Kind, "a failed announcement leaves nothing behind")
		n.set(false, unreachable)
		require.Equal(t, discovery.Down, watch.Next(in.ID).Kind)
		n.set(false, nil)
		n.r.moved()
		require.Equal(t, discovery.Up, watch.Next(in.ID).Kind, "announced and asked on the new network")
		n.set(false, unreachable)
		withdraw()
	})
}

func TestUnreachableInstanceIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		n := w.join(t)
		in := discoverytest.New("orders")
		_, err := n.r.Announce(context.Background(), in)
		assert.EqualError(t, err, `announce orders: no endpoint of ["tcp://127.0.0.1:5555"] can be reached through interface eth0: bind to * or its address, with tcp or ws`)
	})
}

// A Watch whose caller is busy for longer than records live must not forget who is there.
func TestSlowCallerForgetsNobody(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		n, watcher := w.join(t), w.join(t)
		in := reachable("orders")
		discoverytest.Announce(t, n.r, in)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Hour)
		defer cancel()
		var kinds []discovery.Kind
		for e, err := range watcher.r.Watch(ctx, "orders") {
			require.NoError(t, err)
			kinds = append(kinds, e.Kind)
			<-time.After(time.Hour)
		}
		assert.Equal(t, []discovery.Kind{discovery.Up}, kinds)
	})
}
