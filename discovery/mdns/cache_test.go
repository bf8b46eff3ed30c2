package mdns

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
)

var epoch = time.Unix(1000, 0)

const life15 = 15 * time.Second

func testCache(max int) *cache { return newCache(max, func() float64 { return 0 }) }

func seen(id string, index int, ttl time.Duration, endpoints ...string) sighting {
	return sighting{in: discovery.Instance{ID: id, Service: "orders", Endpoints: endpoints}, ttl: ttl, index: index}
}

// RFC 6762, 5.2: questions at 80, 85, 90 % of the life of a record; 10: gone at its end.
func TestCacheRefreshesThenExpires(t *testing.T) {
	t.Parallel()
	c := testCache(8)
	e, ok := c.see(seen("a", 1, life15, "tcp://a:1"), epoch)
	require.True(t, ok)
	require.Equal(t, discovery.Up, e.Kind)
	for _, at := range []time.Duration{12000, 12750, 13500} {
		now := epoch.Add(at * time.Millisecond)
		require.Equal(t, now, c.next())
		require.False(t, c.refreshDue(now.Add(-1)))
		require.True(t, c.refreshDue(now))
		require.Empty(t, c.expire(now))
		c.markAsked(now)
	}
	end := epoch.Add(life15)
	require.Equal(t, end, c.next())
	require.False(t, c.refreshDue(end))
	require.Empty(t, c.expire(end.Add(-1)))
	events := c.expire(end)
	require.Len(t, events, 1)
	assert.Equal(t, discovery.Down, events[0].Kind)
	assert.True(t, events[0].Expired)
	assert.True(t, c.next().IsZero())
}

func TestCacheAnswerKeepsAlive(t *testing.T) {
	t.Parallel()
	c := testCache(8)
	now := epoch
	c.see(seen("a", 1, life15, "tcp://a:1"), now)
	for range 100 {
		now = c.next()
		require.Empty(t, c.expire(now))
		c.markAsked(now)
		_, ok := c.see(seen("a", 1, life15, "tcp://a:1"), now.Add(time.Millisecond))
		require.False(t, ok, "nothing new")
	}
	assert.Greater(t, now.Sub(epoch), 15*time.Minute)
}

// A laptop that slept asks three times before it forgets, and leaves time to answer.
func TestCacheAsksBeforeItForgets(t *testing.T) {
	t.Parallel()
	c := testCache(8)
	c.see(seen("a", 1, life15, "tcp://a:1"), epoch)
	now := epoch.Add(time.Hour)
	for range misses {
		require.Empty(t, c.expire(now))
		require.True(t, c.refreshDue(now))
		c.markAsked(now)
		require.False(t, c.refreshDue(now), "not before it could be answered")
		require.Equal(t, now.Add(life15/20), c.next())
		now = c.next()
	}
	assert.Len(t, c.expire(now), 1)
}

func TestCacheMergesInterfaces(t *testing.T) {
	t.Parallel()
	c := testCache(8)
	c.see(seen("a", 2, life15, "tcp://10.2.0.1:1", "tcp://x:1"), epoch)
	e, ok := c.see(seen("a", 1, life15, "tcp://10.1.0.1:1", "tcp://x:1"), epoch)
	require.True(t, ok)
	assert.Equal(t, discovery.Change, e.Kind)
	assert.Equal(t, []string{"tcp://10.1.0.1:1", "tcp://x:1", "tcp://10.2.0.1:1"}, e.Instance.Endpoints)

	e, ok = c.see(seen("a", 1, 0, "tcp://10.1.0.1:1"), epoch)
	require.True(t, ok)
	assert.Equal(t, discovery.Change, e.Kind, "a goodbye on one interface")
	assert.Equal(t, []string{"tcp://10.2.0.1:1", "tcp://x:1"}, e.Instance.Endpoints)
	_, ok = c.see(seen("a", 7, 0, "tcp://x:1"), epoch)
	require.False(t, ok, "a goodbye where it was not")
	e, ok = c.see(seen("a", 2, 0, "tcp://x:1"), epoch)
	require.True(t, ok)
	assert.Equal(t, discovery.Down, e.Kind)
	assert.False(t, e.Expired)
}

func TestCacheLatestWordCounts(t *testing.T) {
	t.Parallel()
	c := testCache(8)
	c.see(seen("a", 1, life15, "tcp://x:1"), epoch)
	renamed := seen("a", 2, life15, "tcp://x:1")
	renamed.in.Name = "new"
	e, ok := c.see(renamed, epoch.Add(1))
	require.True(t, ok)
	assert.Equal(t, "new", e.Instance.Name)
}

func TestCacheBounds(t *testing.T) {
	t.Parallel()
	c := testCache(2)
	count := 0
	for i := range 10 {
		if _, ok := c.see(seen(fmt.Sprint("p", i), 1, life15, "tcp://x:1"), epoch); ok {
			count++
		}
	}
	assert.Equal(t, 2, count, "peers")

	other := seen("p0", 1, life15, "tcp://x:1")
	other.in.Service = "prices"
	_, ok := c.see(other, epoch)
	assert.False(t, ok, "an id keeps its service")
	other.ttl = 0
	_, ok = c.see(other, epoch)
	assert.False(t, ok, "nor is a goodbye for another service meant for it")

	count = 0
	for i := range 1000 {
		if _, ok := c.see(seen("p0", 1, life15, fmt.Sprintf("tcp://x:%d", i+2)), epoch.Add(time.Duration(i)*time.Millisecond)); ok {
			count++
		}
	}
	assert.Equal(t, changeBurst, count, "changes within a second")
	e, ok := c.see(seen("p0", 1, life15, "tcp://x:1"), epoch.Add(3*time.Second))
	require.True(t, ok, "later it may change again")
	assert.Equal(t, []string{"tcp://x:1"}, e.Instance.Endpoints)

	c = testCache(1 << 20)
	count = 0
	for i := range 5000 { // a flood of comings and goings
		id := fmt.Sprint("p", i)
		if _, ok := c.see(seen(id, 1, life15, "tcp://x:1"), epoch); ok {
			count++
		}
		c.see(seen(id, 1, 0, "tcp://x:1"), epoch)
	}
	assert.Equal(t, upBurst, count)
	assert.Empty(t, c.peers)
}

func TestPause(t *testing.T) {
	t.Parallel()
	for rounds, want := range []time.Duration{1, 3, 9, 27, 60, 60} {
		assert.Equal(t, want*time.Second, pause(rounds, 0.5))
	}
	assert.Equal(t, 60*time.Second, pause(1<<30, 0.5))
	assert.Equal(t, 800*time.Millisecond, pause(0, 0))
	assert.InDelta(t, 1.2, pause(0, 0.999999).Seconds(), 0.001)
}

// A packet may be read after one that was sent later: what it says is over. But a program that
// starts again with its clock set back is heard, in time.
func TestCacheNeverGoesBack(t *testing.T) {
	t.Parallel()
	c := testCache(8)
	for i, step := range []struct {
		what     string
		revision uint64
		ttl      time.Duration
		at       time.Duration
		want     discovery.Kind // 0: no event
	}{
		{"first", 1, life15, 0, discovery.Up},
		{"second", 2, life15, 0, discovery.Change},
		{"first, read late", 1, life15, lag - 1, 0},
		{"goodbye of first, read late", 1, 0, lag - 1, 0},
		{"second, again", 2, life15, lag, 0},
		{"goodbye", 2, 0, lag, discovery.Down},
		{"first, read late", 1, life15, lag, 0},
		{"second, read late", 2, life15, 2*lag - 1, 0},
		{"third", 3, life15, 2*lag - 1, discovery.Up},
		{"goodbye of second, sent twice", 2, 0, 2*lag - 1, 0},
		{"clock set back", 1, life15, 3*lag - 1, discovery.Change},
		{"goodbye", 1, 0, 3*lag - 1, discovery.Down},
		{"clock as it was", 1, life15, 4*lag - 1, discovery.Up},
		{"nobody knows", 0, life15, 4*lag - 1, discovery.Change},
	} {
		s := seen("a", 1, step.ttl, fmt.Sprintf("tcp://x:%d", step.revision+1))
		s.revision = step.revision
		e, _ := c.see(s, epoch.Add(step.at))
		require.Equal(t, step.want, e.Kind, "%d: %s", i, step.what)
	}
	assert.Len(t, c.left, 1, "old goodbyes are forgotten")
}

// What is known of the latest announcement counts, not what another interface still has of one before.
func TestCacheMergesTheLatestOnly(t *testing.T) {
	t.Parallel()
	c := testCache(8)
	for i, step := range []struct {
		revision uint64
		index    int
		endpoint string
		want     []string
	}{
		{1, 1, "tcp://a:1", []string{"tcp://a:1"}},
		{2, 1, "tcp://b:1", []string{"tcp://b:1"}},
		{1, 2, "tcp://a:2", nil},
		{2, 2, "tcp://b:2", []string{"tcp://b:1", "tcp://b:2"}},
		{3, 2, "tcp://c:2", []string{"tcp://c:2"}},
	} {
		s := seen("a", step.index, life15, step.endpoint)
		s.revision = step.revision
		e, _ := c.see(s, epoch.Add(time.Duration(i)))
		require.Equal(t, step.want, e.Instance.Endpoints, "step %d", i)
	}
}
