package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/static"
)

// plug is a Connector that writes down what it is told.
type plug struct {
	mu   sync.Mutex
	log  []string
	fail error
}

func (p *plug) Connect(ep string) error    { return p.note("+" + ep) }
func (p *plug) Disconnect(ep string) error { return p.note("-" + ep) }

func (p *plug) note(s string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, s)
	return p.fail
}

// said returns what was told since the last call.
func (p *plug) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	log := p.log
	p.log = nil
	return log
}

// livePlug also knows what is connected.
type livePlug struct {
	plug
	live bool
}

func (p *livePlug) Connected(string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live
}

func (p *livePlug) set(live bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live = live
}

// script is a Registry whose Watch yields what the test sends, then the error if there is one.
type script struct {
	events chan discovery.Event
	err    error
}

func (s *script) Announce(context.Context, discovery.Instance) (func(), error) {
	return nil, errors.New("nothing is announced here")
}

func (s *script) Watch(ctx context.Context, _ string) iter.Seq2[discovery.Event, error] {
	return func(yield func(discovery.Event, error) bool) {
		for {
			select {
			case <-ctx.Done():
				return
			case e, ok := <-s.events:
				if !ok {
					yield(discovery.Event{}, s.err)
					return
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// follow runs a test of a Follower in a bubble: send hands an event to it and waits until it is
// dealt with.
func follow(t *testing.T, target discovery.Connector, test func(t *testing.T, f *discovery.Follower, send func(discovery.Event)),
	opts ...discovery.FollowOption) {
	synctest.Test(t, func(t *testing.T) {
		reg := &script{events: make(chan discovery.Event)}
		f, err := discovery.Follow(t.Context(), reg, "orders", target, opts...)
		require.NoError(t, err)
		test(t, f, func(e discovery.Event) { reg.events <- e; synctest.Wait() })
		require.NoError(t, f.Close())
	})
}

func event(kind discovery.Kind, id string, endpoints ...string) discovery.Event {
	return discovery.Event{Kind: kind, Instance: discovery.Instance{ID: id, Service: "orders", Endpoints: endpoints}}
}

func expired(e discovery.Event) discovery.Event { e.Expired = true; return e }

func TestFollowConnects(t *testing.T) {
	t.Parallel()
	p := &plug{}
	follow(t, p, func(t *testing.T, _ *discovery.Follower, send func(discovery.Event)) {
		send(event(discovery.Up, "a", "ipc:///a", "tcp://a:1", "tcp://a:2"))
		assert.Equal(t, []string{"+tcp://a:1"}, p.said(), "the first tcp endpoint")
		send(event(discovery.Up, "b", "ipc:///b"))
		assert.Equal(t, []string{"+ipc:///b"}, p.said(), "or else the first")
		send(event(discovery.Change, "a", "tcp://a:2", "tcp://a:1"))
		assert.Empty(t, p.said(), "the endpoint in use is still there")
		send(event(discovery.Change, "a", "tcp://a:2"))
		assert.Equal(t, []string{"-tcp://a:1", "+tcp://a:2"}, p.said())
		send(event(discovery.Down, "a", "tcp://a:2"))
		assert.Equal(t, []string{"-tcp://a:2"}, p.said())
		send(event(discovery.Down, "a", "tcp://a:2"))
		assert.Empty(t, p.said())
	})
	assert.Empty(t, p.said(), "Close leaves connections alone")
}

// A peer that was killed and started again on its port is another instance with the same
// endpoint. When the first one's record ends, the second must stay connected.
func TestFollowSharedEndpoint(t *testing.T) {
	t.Parallel()
	p := &plug{}
	follow(t, p, func(t *testing.T, _ *discovery.Follower, send func(discovery.Event)) {
		send(event(discovery.Up, "old", "tcp://a:1"))
		send(event(discovery.Up, "new", "tcp://a:1"))
		send(expired(event(discovery.Down, "old", "tcp://a:1")))
		assert.Equal(t, []string{"+tcp://a:1"}, p.said())
		send(event(discovery.Down, "new", "tcp://a:1"))
		assert.Equal(t, []string{"-tcp://a:1"}, p.said())
	})
}

func TestFollowFilter(t *testing.T) {
	t.Parallel()
	p := &plug{}
	eu := discovery.WithFilter(func(in discovery.Instance) bool { return in.Meta["zone"] == "eu" })
	notB := discovery.WithFilter(func(in discovery.Instance) bool { return in.ID != "b" })
	last := discovery.WithPick(func(in discovery.Instance) string { return in.Endpoints[len(in.Endpoints)-1] })
	follow(t, p, func(t *testing.T, _ *discovery.Follower, send func(discovery.Event)) {
		a, b := event(discovery.Up, "a", "tcp://a:1", "tcp://a:2"), event(discovery.Up, "b", "tcp://b:1")
		a.Instance.Meta = map[string]string{"zone": "us"}
		b.Instance.Meta = map[string]string{"zone": "eu"}
		send(a)
		send(b)
		assert.Empty(t, p.said())
		a.Kind, a.Instance.Meta = discovery.Change, map[string]string{"zone": "eu"}
		send(a)
		assert.Equal(t, []string{"+tcp://a:2"}, p.said())
		a.Instance.Meta = nil
		send(a)
		assert.Equal(t, []string{"-tcp://a:2"}, p.said(), "no longer accepted")
	}, eu, notB, last)
}

func TestFollowLiveConnectionOverrulesExpiry(t *testing.T) {
	t.Parallel()
	p := &livePlug{live: true}
	follow(t, p, func(t *testing.T, _ *discovery.Follower, send func(discovery.Event)) {
		up, down := event(discovery.Up, "a", "tcp://a:1"), event(discovery.Down, "a", "tcp://a:1")
		send(up)
		send(expired(down))
		<-time.After(time.Hour) // of the bubble
		assert.Equal(t, []string{"+tcp://a:1"}, p.said())

		send(up) // heard again, and lost again
		p.set(false)
		<-time.After(time.Minute)
		assert.Empty(t, p.said(), "a peer with a record stays, the socket connects again")
		p.set(true)
		send(expired(down))
		p.set(false)
		<-time.After(2 * time.Second)
		assert.Equal(t, []string{"-tcp://a:1"}, p.said(), "connection lost, too")

		p.set(true)
		send(up)
		send(down)
		assert.Equal(t, []string{"+tcp://a:1", "-tcp://a:1"}, p.said(), "a goodbye is meant: it drains")
		send(up)
		send(expired(down)) // Close must end what watches the connection
	})
}

func TestFollowErrors(t *testing.T) {
	t.Parallel()
	_, err := discovery.Follow(t.Context(), nil, "No Name", nil)
	assert.ErrorContains(t, err, `service name "No Name"`)

	p := &plug{fail: errors.New("socket closed")}
	var reported []string
	report := discovery.WithOnError(func(err error) { reported = append(reported, err.Error()) })
	follow(t, p, func(t *testing.T, _ *discovery.Follower, send func(discovery.Event)) {
		send(event(discovery.Up, "a", "tcp://a:1"))
		assert.Equal(t, []string{"connect tcp://a:1 to instance a: socket closed"}, reported)
		p.fail = nil
		send(event(discovery.Change, "a", "tcp://a:1"))
		assert.Equal(t, []string{"+tcp://a:1", "+tcp://a:1"}, p.said(), "the next event tries again")
		p.fail = errors.New("socket closed")
		send(event(discovery.Down, "a", "tcp://a:1"))
		assert.Equal(t, "disconnect tcp://a:1 of instance a: socket closed", reported[1])
	}, report)

	reg := &script{events: make(chan discovery.Event), err: errors.New("no network")}
	close(reg.events)
	f, err := discovery.Follow(t.Context(), reg, "orders", p)
	require.NoError(t, err)
	<-f.Done()
	assert.EqualError(t, f.Err(), "follow orders: no network")
	assert.NoError(t, f.Close())
}

func TestNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg, err := static.New()
		require.NoError(t, err)
		desk, worker := discovery.NewNode(reg, "desk"), discovery.NewNode(reg, "worker")
		deskPlug, workerPlug := &plug{}, &plug{}
		_, err = desk.Follow("orders", deskPlug)
		require.NoError(t, err)
		_, err = worker.Follow("orders", workerPlug)
		require.NoError(t, err)
		_, err = desk.Announce("orders", "tcp://*:1", map[string]string{"zone": "eu"})
		require.NoError(t, err)
		withdraw, err := worker.Announce("orders", "tcp://127.0.0.1:2", nil)
		require.NoError(t, err)
		synctest.Wait()
		assert.Equal(t, []string{"+tcp://127.0.0.1:2"}, deskPlug.said(), "not itself")
		assert.Equal(t, []string{"+tcp://127.0.0.1:1"}, workerPlug.said())
		withdraw()
		synctest.Wait()
		assert.Equal(t, []string{"-tcp://127.0.0.1:2"}, deskPlug.said())

		require.NoError(t, desk.Close())
		synctest.Wait()
		assert.Equal(t, []string{"-tcp://127.0.0.1:1"}, workerPlug.said(), "Close withdraws")
		_, err = desk.Announce("orders", "tcp://127.0.0.1:1", nil)
		assert.ErrorIs(t, err, discovery.ErrClosed)
		_, err = desk.Follow("orders", deskPlug)
		assert.ErrorIs(t, err, discovery.ErrClosed)
		_, err = worker.Announce("orders", "tcp://127.0.0.1:0", nil)
		assert.ErrorContains(t, err, "the one Bind returned")
		assert.NoError(t, worker.Close())
		assert.NoError(t, worker.Close())
	})
}

// A worker announces itself; a desk keeps its socket connected to all workers.
func ExampleNode() {
	reg, err := static.New() // or mdns.New(): all registries work alike
	if err != nil {
		panic(err)
	}
	worker := discovery.NewNode(reg, "worker 1")
	defer worker.Close()
	if _, err := worker.Announce("work", "tcp://127.0.0.1:5555", map[string]string{"zone": "eu"}); err != nil {
		panic(err)
	}
	for e, err := range reg.Watch(context.Background(), "work") {
		if err != nil {
			panic(err)
		}
		fmt.Println(e.Kind, e.Instance.Name, e.Instance.Endpoints)
		break
	}
	// Output: up worker 1 [tcp://127.0.0.1:5555]
}
