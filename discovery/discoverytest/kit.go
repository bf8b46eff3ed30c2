// Package discoverytest is the kit every discovery.Registry runs: what is promised of one holds
// for all.
package discoverytest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
)

// patience is when a test gives up. How soon something is found or gone is for tests with a clock of
// their own: this one's machine may stall.
const patience = 2 * time.Minute

// Open returns two registries on the same medium, as two programs would have them. For a
// registry within one process both may be the same. Cleaning up is its job, through t.
type Open func(t *testing.T) (one, other discovery.Registry)

// Run checks what discovery.Registry promises.
func Run(t *testing.T, open Open) {
	t.Run("peer that starts later is found", func(t *testing.T) { t.Parallel(); testFoundLater(t, open) })
	t.Run("peer that was there is found", func(t *testing.T) { t.Parallel(); testFoundBefore(t, open) })
	t.Run("peer that leaves is gone", func(t *testing.T) { t.Parallel(); testLeaves(t, open) })
	t.Run("context withdraws", func(t *testing.T) { t.Parallel(); testContextWithdraws(t, open) })
	t.Run("announcing again changes", func(t *testing.T) { t.Parallel(); testChange(t, open) })
	t.Run("services are apart", func(t *testing.T) { t.Parallel(); testServicesApart(t, open) })
	t.Run("empty service watches all", func(t *testing.T) { t.Parallel(); testWatchAll(t, open) })
	t.Run("wildcard hosts get addresses", func(t *testing.T) { t.Parallel(); testWildcard(t, open) })
	t.Run("nonsense is refused at once", func(t *testing.T) { t.Parallel(); testRefused(t, open) })
	t.Run("watch ends", func(t *testing.T) { t.Parallel(); testWatchEnds(t, open) })
}

// New returns a valid instance of service with a new ID.
func New(service string) discovery.Instance {
	return discovery.Instance{
		ID:        discovery.NewID(),
		Service:   service,
		Name:      "desk 1, Zürich",
		Endpoints: []string{"tcp://127.0.0.1:5555"},
		Meta:      map[string]string{"zone": "eu", "shard_no": "7=a"},
	}
}

// Service returns the name of a service no other test uses.
func Service() string { return "kit-" + discovery.NewID() }

// Watcher is a Watch at work.
type Watcher struct {
	t      *testing.T
	events chan discovery.Event
	errs   chan error // receives the error that ended it, then is closed
}

// Watch starts watching; the end of the test ends it and waits.
func Watch(t *testing.T, reg discovery.Registry, service string) *Watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watcher{t: t, events: make(chan discovery.Event, 1024), errs: make(chan error, 1)}
	go func() {
		defer close(w.errs)
		for e, err := range reg.Watch(ctx, service) {
			if err != nil {
				w.errs <- err
				return
			}
			w.events <- e
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range w.errs {
		}
	})
	return w
}

// Next waits for the next event about the instance with this id. Events about others are skipped.
func (w *Watcher) Next(id string) discovery.Event {
	w.t.Helper()
	for {
		if e := w.Any(); e.Instance.ID == id {
			return e
		}
	}
}

// Any waits for the next event.
func (w *Watcher) Any() discovery.Event {
	w.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case e := <-w.events:
		return e
	case err := <-w.errs:
		require.FailNow(w.t, "watch ended", "%v", err)
	case <-timer.C:
		require.FailNow(w.t, "no event", "within %v", patience)
	}
	return discovery.Event{}
}

// Err waits for the error that ends the watch.
func (w *Watcher) Err() error {
	w.t.Helper()
	select {
	case err := <-w.errs:
		return err
	case <-time.After(patience):
		require.FailNow(w.t, "watch goes on", "after %v", patience)
		return nil
	}
}

// Announce announces in until the test ends.
func Announce(t *testing.T, reg discovery.Registry, in discovery.Instance) (withdraw func()) {
	t.Helper()
	withdraw, err := reg.Announce(context.Background(), in)
	require.NoError(t, err)
	t.Cleanup(withdraw)
	return withdraw
}

func testFoundLater(t *testing.T, open Open) {
	one, other := open(t)
	in := New(Service())
	w := Watch(t, one, in.Service)
	Announce(t, other, in)
	assert.Equal(t, discovery.Event{Kind: discovery.Up, Instance: in}, w.Next(in.ID))
}

func testFoundBefore(t *testing.T, open Open) {
	one, other := open(t)
	in := New(Service())
	Announce(t, other, in)
	assert.Equal(t, discovery.Event{Kind: discovery.Up, Instance: in}, Watch(t, one, in.Service).Next(in.ID))
	assert.Equal(t, discovery.Up, Watch(t, other, in.Service).Next(in.ID).Kind, "its own registry sees it too")
}

func testLeaves(t *testing.T, open Open) {
	one, other := open(t)
	in := New(Service())
	w := Watch(t, one, in.Service)
	withdraw := Announce(t, other, in)
	require.Equal(t, discovery.Up, w.Next(in.ID).Kind)
	withdraw()
	assert.Equal(t, discovery.Event{Kind: discovery.Down, Instance: in}, w.Next(in.ID))
	withdraw() // once more does no harm

	Announce(t, other, in)
	assert.Equal(t, discovery.Up, w.Next(in.ID).Kind, "it may come back")
	withdraw()
	w = Watch(t, one, in.Service)
	assert.Equal(t, discovery.Up, w.Next(in.ID).Kind, "the old withdraw is not for the new announcement")
}

func testContextWithdraws(t *testing.T, open Open) {
	one, other := open(t)
	in := New(Service())
	w := Watch(t, one, in.Service)
	ctx, cancel := context.WithCancel(context.Background())
	withdraw, err := other.Announce(ctx, in)
	require.NoError(t, err)
	require.Equal(t, discovery.Up, w.Next(in.ID).Kind)
	cancel()
	assert.Equal(t, discovery.Down, w.Next(in.ID).Kind)
	withdraw()

	_, err = other.Announce(ctx, in)
	assert.ErrorIs(t, err, context.Canceled)
}

func testChange(t *testing.T, open Open) {
	one, other := open(t)
	in := New(Service())
	w := Watch(t, one, in.Service)
	replaced := Announce(t, other, in)
	require.Equal(t, discovery.Up, w.Next(in.ID).Kind)
	in.Meta = map[string]string{"zone": "us"}
	in.Endpoints = []string{"tcp://127.0.0.1:5556", "tcp://127.0.0.1:5557"}
	withdraw := Announce(t, other, in)
	assert.Equal(t, discovery.Event{Kind: discovery.Change, Instance: in}, w.Next(in.ID))
	replaced()
	withdraw()
	assert.Equal(t, discovery.Down, w.Next(in.ID).Kind)
}

func testServicesApart(t *testing.T, open Open) {
	one, other := open(t)
	in, foreign := New(Service()), New(Service())
	w := Watch(t, one, in.Service)
	Announce(t, other, foreign)
	Announce(t, other, in)
	assert.Equal(t, in.ID, w.Any().Instance.ID)
}

func testWatchAll(t *testing.T, open Open) {
	one, other := open(t)
	in, second := New(Service()), New(Service())
	Announce(t, other, in)
	w := Watch(t, one, "")
	require.Equal(t, in, w.Next(in.ID).Instance)
	withdraw := Announce(t, other, second)
	require.Equal(t, second, w.Next(second.ID).Instance)
	withdraw()
	assert.Equal(t, discovery.Down, w.Next(second.ID).Kind)
}

func testWildcard(t *testing.T, open Open) {
	one, other := open(t)
	in := New(Service())
	for _, host := range []string{"*", "0.0.0.0", "[::]"} {
		in.ID = discovery.NewID()
		in.Endpoints = []string{"tcp://" + host + ":5555"}
		Announce(t, other, in)
		seen := Watch(t, one, in.Service).Next(in.ID).Instance
		assert.Contains(t, seen.Endpoints, "tcp://127.0.0.1:5555", host)
		assert.NotContains(t, seen.Endpoints, in.Endpoints[0])
	}
}

func testRefused(t *testing.T, open Open) {
	_, reg := open(t)
	in := New(Service())
	in.Endpoints = nil
	_, err := reg.Announce(context.Background(), in)
	assert.ErrorContains(t, err, "0 endpoints")

	in = New(Service())
	Announce(t, reg, in)
	in.Service = Service()
	_, err = reg.Announce(context.Background(), in)
	assert.ErrorContains(t, err, "is announced for service", "an id keeps its service")

	assert.ErrorContains(t, Watch(t, reg, "Not A Name").Err(), "lower-case")
}

func testWatchEnds(t *testing.T, open Open) {
	one, other := open(t)
	in := New(Service())
	Announce(t, other, in)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	seen := 0
	for range one.Watch(ctx, in.Service) {
		seen++
		break
	}
	require.Equal(t, 1, seen, "leaving the loop ends it")
	for e, err := range one.Watch(ctx, in.Service) {
		require.NoError(t, err, "the end of the context is not an error")
		require.Equal(t, in.ID, e.Instance.ID, "a sequence may be ranged over again")
		cancel()
	}
	assert.ErrorIs(t, ctx.Err(), context.Canceled)
}
