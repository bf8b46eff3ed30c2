package dir

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/meshmq/meshmq/discovery"
)

const (
	defaultTTL = 3 * time.Second        // how long a killed process is still seen
	minTTL     = 300 * time.Millisecond // three refreshes, each as long as a poll
	maxTTL     = time.Hour
	poll       = 100 * time.Millisecond // found and gone well within the promised 2 s
)

// Option changes a Registry.
type Option func(*Registry) error

// WithTTL sets how long an instance is seen after its process was killed: from 300 ms to 1 h,
// default 3 s.
func WithTTL(ttl time.Duration) Option {
	return func(r *Registry) error {
		if ttl < minTTL || ttl > maxTTL {
			return fmt.Errorf("ttl %v: want %v to %v", ttl, minTTL, maxTTL)
		}
		r.ttl = ttl
		return nil
	}
}

// Registry is a discovery.Registry on a directory. Make one with New.
type Registry struct {
	path string
	ttl  time.Duration

	closing chan struct{}  // closed by Close
	running sync.WaitGroup // announcements

	mu     sync.Mutex // guards the fields below
	closed bool
	ads    map[string]*ad
}

// ad is an announcement of this registry.
type ad struct {
	in   discovery.Instance
	end  context.CancelFunc
	done chan struct{} // closed when the file is gone, or the next ad's
}

var _ discovery.Registry = (*Registry)(nil)

// New returns a registry on the directory at path, which it creates, for its user only, if it
// does not exist. Close it when done.
func New(path string, opts ...Option) (*Registry, error) {
	r := &Registry{path: path, ttl: defaultTTL, closing: make(chan struct{}), ads: make(map[string]*ad)}
	for _, opt := range opts {
		if err := opt(r); err != nil {
			return nil, fmt.Errorf("registry %s: %w", path, err)
		}
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("registry %s: %w", path, err)
	}
	return r, nil
}

// Announce writes the file of in. See discovery.Registry.
func (r *Registry) Announce(ctx context.Context, in discovery.Instance) (withdraw func(), err error) {
	if err := in.Validate(); err != nil {
		return nil, fmt.Errorf("announce: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("announce %s: %w", in.Service, err)
	}
	sweep(r.path)
	// The processes of this machine reach a wildcard through loopback.
	in = in.On([]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})})
	ctx, end := context.WithCancel(ctx)
	a := &ad{in: in, end: end, done: make(chan struct{})}
	was, err := r.admit(a)
	if err != nil {
		end()
		return nil, err
	}
	if was != nil { // ends without removing the file, which is a's now
		was.end()
		<-was.done
	}
	if err := write(r.path, a.in, r.ttl); err != nil {
		r.forget(a)
		end()
		close(a.done)
		r.running.Done()
		return nil, fmt.Errorf("announce %s: %w", in.Service, err)
	}
	go r.refresh(ctx, a) // ended by withdraw, Close or ctx, awaited by the first two
	return func() { end(); <-a.done }, nil
}

// admit makes a the announcement under its ID and returns the one before. It counts a as
// running.
func (r *Registry) admit(a *ad) (was *ad, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was = r.ads[a.in.ID]
	switch {
	case r.closed:
		return nil, discovery.ErrClosed
	case was != nil && was.in.Service != a.in.Service:
		return nil, fmt.Errorf("announce %s: id %s is announced for service %s", a.in.Service, a.in.ID, was.in.Service)
	}
	r.ads[a.in.ID] = a
	r.running.Add(1)
	return was, nil
}

func (r *Registry) current(a *ad) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ads[a.in.ID] == a
}

// forget makes a no announcement, unless it has a successor.
func (r *Registry) forget(a *ad) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ads[a.in.ID] == a {
		delete(r.ads, a.in.ID)
	}
}

// refresh keeps the file of a young until ctx ends, then removes it.
func (r *Registry) refresh(ctx context.Context, a *ad) {
	defer r.running.Done()
	defer close(a.done)
	tick := time.NewTicker(r.ttl / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			// A successor waits for a.done before it writes, so this removes no file but a's.
			if r.current(a) {
				os.Remove(file(r.path, a.in.ID))
			}
			r.forget(a)
			return
		case now := <-tick.C:
			if os.Chtimes(file(r.path, a.in.ID), now, now) != nil {
				// Swept while this process slept. If writing fails as well, the next tick tries again.
				write(r.path, a.in, r.ttl)
			}
		}
	}
}

// Watch reads the directory until ctx ends. See discovery.Registry.
func (r *Registry) Watch(ctx context.Context, service string) iter.Seq2[discovery.Event, error] {
	return func(yield func(discovery.Event, error) bool) {
		if service != "" {
			if err := discovery.CheckName(service); err != nil {
				yield(discovery.Event{}, fmt.Errorf("watch: %w", err))
				return
			}
		}
		tick := time.NewTicker(poll)
		defer tick.Stop()
		known := map[string]discovery.Instance{}
		for {
			now, expired, err := read(r.path, service)
			if err != nil {
				yield(discovery.Event{}, fmt.Errorf("watch %s: %w", r.path, err))
				return
			}
			for _, e := range discovery.Diff(known, now) {
				e.Expired = e.Kind == discovery.Down && expired[e.Instance.ID]
				if ctx.Err() != nil || !yield(e, nil) {
					return
				}
			}
			known = now
			select {
			case <-ctx.Done():
				return
			case <-r.closing:
				yield(discovery.Event{}, discovery.ErrClosed)
				return
			case <-tick.C:
			}
		}
	}
}

// Close withdraws all announcements and ends all watches. It returns when the files are gone.
func (r *Registry) Close() error {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.closing)
	}
	for _, a := range r.ads {
		a.end()
	}
	r.mu.Unlock()
	r.running.Wait()
	return nil
}

func file(dir, id string) string { return filepath.Join(dir, id+suffix) }
