package static

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"sync"

	"github.com/meshmq/meshmq/discovery"
)

// Registry is a discovery.Registry in memory. Make one with New.
type Registry struct {
	mu      sync.Mutex // guards the fields below
	entries map[string]*discovery.Instance
	changed chan struct{} // closed and replaced at each change
}

var _ discovery.Registry = (*Registry)(nil)

// New returns a registry that holds these instances for good. It fails if one is invalid or two
// have the same ID.
func New(instances ...discovery.Instance) (*Registry, error) {
	r := &Registry{entries: make(map[string]*discovery.Instance), changed: make(chan struct{})}
	for _, in := range instances {
		if err := in.Validate(); err != nil {
			return nil, fmt.Errorf("static registry: %w", err)
		}
		if r.entries[in.ID] != nil {
			return nil, fmt.Errorf("static registry: two instances have the id %s", in.ID)
		}
		in = local(in)
		r.entries[in.ID] = &in
	}
	return r, nil
}

// Announce adds in to the list. See discovery.Registry.
func (r *Registry) Announce(ctx context.Context, in discovery.Instance) (withdraw func(), err error) {
	if err := in.Validate(); err != nil {
		return nil, fmt.Errorf("announce: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("announce %s: %w", in.Service, err)
	}
	in = local(in)
	r.mu.Lock()
	defer r.mu.Unlock()
	if was := r.entries[in.ID]; was != nil && was.Service != in.Service {
		return nil, fmt.Errorf("announce %s: id %s is announced for service %s", in.Service, in.ID, was.Service)
	}
	r.entries[in.ID] = &in
	r.notifyLocked()

	remove := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.entries[in.ID] == &in { // else it was replaced or withdrawn
			delete(r.entries, in.ID)
			r.notifyLocked()
		}
	}
	stop := context.AfterFunc(ctx, remove)
	return func() { stop(); remove() }, nil
}

// Watch yields what is in the list and what happens to it. See discovery.Registry.
func (r *Registry) Watch(ctx context.Context, service string) iter.Seq2[discovery.Event, error] {
	return func(yield func(discovery.Event, error) bool) {
		if service != "" {
			if err := discovery.CheckName(service); err != nil {
				yield(discovery.Event{}, fmt.Errorf("watch: %w", err))
				return
			}
		}
		known := map[string]discovery.Instance{}
		for {
			now, changed := r.list(service)
			for _, e := range discovery.Diff(known, now) {
				if ctx.Err() != nil || !yield(e, nil) {
					return
				}
			}
			known = now
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
	}
}

// list returns copies of the instances of service, all if it is empty, and a channel that is
// closed when the answer may be different.
func (r *Registry) list(service string) (map[string]discovery.Instance, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := make(map[string]discovery.Instance)
	for id, in := range r.entries {
		if service == "" || in.Service == service {
			found[id] = in.Clone()
		}
	}
	return found, r.changed
}

func (r *Registry) notifyLocked() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// local replaces wildcard hosts: who shares this memory reaches them through loopback.
func local(in discovery.Instance) discovery.Instance {
	return in.On([]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})})
}
