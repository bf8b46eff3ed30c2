package discovery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Connector is what Follow keeps connected. Sockets satisfy it. Connect must not wait for the
// connection.
type Connector interface {
	Connect(endpoint string) error
	Disconnect(endpoint string) error
}

// Liveness is implemented by a Connector that knows which of its endpoints are connected. Follow
// asks it before it gives up a peer whose record expired: a live connection overrules that.
type Liveness interface {
	Connected(endpoint string) bool
}

// FollowOption changes how Follow works.
type FollowOption func(*Follower)

// WithFilter follows only instances for which accept returns true. Default: all. It is called
// on the Follower's goroutine. Given more than once, all must accept.
func WithFilter(accept func(Instance) bool) FollowOption {
	return func(f *Follower) { f.filters = append(f.filters, accept) }
}

// WithPick chooses the endpoint to connect to; an empty string refuses the instance. Default:
// the first tcp endpoint, or else the first.
func WithPick(pick func(Instance) string) FollowOption {
	return func(f *Follower) { f.pick = pick }
}

// WithOnError is told of each Connect or Disconnect that failed. Default: nobody is. It is called
// on the Follower's goroutine with its lock held: it must not call the Follower.
func WithOnError(report func(error)) FollowOption {
	return func(f *Follower) { f.report = report }
}

// livenessPeriod is how soon a lost connection to a peer without a record is given up.
const livenessPeriod = time.Second

// Follower keeps a socket connected to the instances of a service. See Follow.
type Follower struct {
	target  Connector
	filters []func(Instance) bool
	pick    func(Instance) string
	report  func(error)

	cancel context.CancelFunc
	done   chan struct{} // closed when the watching goroutine has ended
	outer  sync.WaitGroup

	mu    sync.Mutex // guards the fields below, and orders calls to target
	peers map[string]*peer
	users map[string]int // endpoint -> peers that want it
	err   error
}

type peer struct {
	endpoint string
}

// Follow connects target to every instance of service until Close is called or ctx ends: Up
// connects, Down disconnects, Change disconnects and connects if the endpoint in use is no longer
// among the instance's. An endpoint that two instances share (one was killed and started again)
// is connected once. If target implements Liveness, a peer whose record expired stays as long as
// its connection lives. Follow returns at once; it fails for a malformed service name only.
func Follow(ctx context.Context, reg Registry, service string, target Connector, opts ...FollowOption) (*Follower, error) {
	if err := CheckName(service); err != nil {
		return nil, fmt.Errorf("follow: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &Follower{
		target: target,
		pick:   firstEndpoint,
		report: func(error) {},
		cancel: cancel,
		done:   make(chan struct{}),
		peers:  make(map[string]*peer),
		users:  make(map[string]int),
	}
	for _, opt := range opts {
		opt(f)
	}
	go f.run(ctx, reg, service) // ended by Close or ctx, awaited by Close through done
	return f, nil
}

// Close stops following and returns when its goroutines have ended. Connections stay as they
// are: they are the socket's to drain and close.
func (f *Follower) Close() error {
	f.cancel()
	<-f.done
	f.outer.Wait()
	return nil
}

// Done is closed when following has ended: closed, ctx ended, or the registry failed.
func (f *Follower) Done() <-chan struct{} { return f.done }

// Err returns why the registry stopped the Follower, nil if it did not.
func (f *Follower) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *Follower) run(ctx context.Context, reg Registry, service string) {
	defer close(f.done)
	for e, err := range reg.Watch(ctx, service) {
		if err != nil {
			f.mu.Lock()
			f.err = fmt.Errorf("follow %s: %w", service, err)
			f.mu.Unlock()
			return
		}
		f.apply(ctx, e)
	}
}

func (f *Follower) apply(ctx context.Context, e Event) {
	want := ""
	if e.Kind != Down && !slices.ContainsFunc(f.filters, func(ok func(Instance) bool) bool { return !ok(e.Instance) }) {
		want = f.pick(e.Instance)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.peers[e.Instance.ID]
	switch {
	case p == nil && want != "":
		f.attachLocked(e.Instance.ID, want)
	case p == nil:
	case e.Kind == Down && e.Expired && f.connected(p.endpoint):
		f.outer.Go(func() { f.outlive(ctx, e.Instance.ID, p) })
	case want == "":
		f.detachLocked(e.Instance.ID)
	case slices.Contains(e.Instance.Endpoints, p.endpoint):
		// A fresh value: outlive, should it run for this peer, sees that it is back and ends.
		f.peers[e.Instance.ID] = &peer{endpoint: p.endpoint}
	default:
		f.detachLocked(e.Instance.ID)
		f.attachLocked(e.Instance.ID, want)
	}
}

// outlive keeps a peer whose record expired until its connection is lost too.
func (f *Follower) outlive(ctx context.Context, id string, p *peer) {
	tick := time.NewTicker(livenessPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f.mu.Lock()
		back := f.peers[id] != p
		if !back && !f.connected(p.endpoint) {
			f.detachLocked(id)
			back = true
		}
		f.mu.Unlock()
		if back {
			return
		}
	}
}

func (f *Follower) attachLocked(id, endpoint string) {
	if f.users[endpoint] == 0 {
		if err := f.target.Connect(endpoint); err != nil {
			f.report(fmt.Errorf("connect %s to instance %s: %w", endpoint, id, err))
			return
		}
	}
	f.users[endpoint]++
	f.peers[id] = &peer{endpoint: endpoint}
}

func (f *Follower) detachLocked(id string) {
	endpoint := f.peers[id].endpoint
	delete(f.peers, id)
	if f.users[endpoint]--; f.users[endpoint] > 0 {
		return
	}
	delete(f.users, endpoint)
	if err := f.target.Disconnect(endpoint); err != nil {
		f.report(fmt.Errorf("disconnect %s of instance %s: %w", endpoint, id, err))
	}
}

func (f *Follower) connected(endpoint string) bool {
	l, ok := f.target.(Liveness)
	return ok && l.Connected(endpoint)
}

func firstEndpoint(in Instance) string {
	i := slices.IndexFunc(in.Endpoints, func(ep string) bool { return strings.HasPrefix(ep, "tcp://") })
	if i < 0 && len(in.Endpoints) > 0 {
		i = 0
	}
	if i < 0 {
		return ""
	}
	return in.Endpoints[i]
}
