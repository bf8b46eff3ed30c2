package mdns

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/meshmq/meshmq/discovery"
)

// Registry is a discovery.Registry on multicast DNS. Make one with New.
type Registry struct {
	names    []string
	ttl      time.Duration
	maxPeers int

	net     carrier
	closing chan struct{}
	repeats sync.WaitGroup // second announcements under way

	mu     sync.Mutex // guards the fields below
	closed bool
	ads    map[string]*ad
	latest uint64 // revision given to an ad
	subs   map[*subscription]struct{}
}

// carrier is what carries packets: links, or a network that a test makes up.
type carrier interface {
	start() error
	sites() []site
	ask(packet []byte) error
	tell(packet func(site) []byte) error
	close()
}

var _ discovery.Registry = (*Registry)(nil)

// New opens the multicast DNS port on the interfaces. It fails if that is possible on none of
// them, and says why for each: a caller can then use another registry. That packets really get
// through is what Probe finds out. Close the Registry when done.
func New(opts ...Option) (*Registry, error) {
	r := newRegistry()
	for _, opt := range opts {
		if err := opt(r); err != nil {
			return nil, fmt.Errorf("mdns: %w", err)
		}
	}
	r.net = &links{names: r.names, zone: r.records, handle: r.deliver, moved: r.moved, closing: make(chan struct{})}
	if err := r.net.start(); err != nil {
		return nil, fmt.Errorf("mdns: %w", err)
	}
	return r, nil
}

func newRegistry() *Registry {
	return &Registry{
		ttl:      defaultTTL,
		maxPeers: defaultPeers,
		closing:  make(chan struct{}),
		ads:      make(map[string]*ad),
		subs:     make(map[*subscription]struct{}),
	}
}

// records answers a question that came in at s.
func (r *Registry) records(q dns.Question, s site) []dns.RR {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []dns.RR
	for _, a := range r.ads {
		svc, ok, err := service(a.in, a.revision, s)
		if err != nil || !ok {
			continue
		}
		records := answer(svc, a.in, q, r.ttl)
		if len(records) > 0 && strings.HasPrefix(records[0].Header().Name, "_services.") {
			return records // RFC 6763, 9: the type, once
		}
		all = append(all, records...)
	}
	return all
}

// deliver hands what was heard to those who watch it. One that does not keep up misses some,
// and hears it again in the next round.
func (r *Registry) deliver(seen []sighting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.subs {
		for _, g := range seen {
			if s.service != "" && s.service != g.in.Service {
				continue
			}
			select {
			case s.heard <- g:
			default:
			}
		}
	}
}

// moved tells neighbours on new links what is here, and asks what is there: RFC 6762, 8.3 wants
// both after a change of connectivity.
func (r *Registry) moved() {
	r.mu.Lock()
	var ads []*ad
	for _, a := range r.ads {
		ads = append(ads, a)
	}
	for s := range r.subs {
		select {
		case s.moved <- struct{}{}:
		default:
		}
	}
	r.mu.Unlock()
	for _, a := range ads {
		r.tell(a, r.ttl) // if no link can, the next scan sees to it
	}
}

// Close withdraws all announcements, ends all watches and returns when its goroutines have ended.
func (r *Registry) Close() error {
	r.mu.Lock()
	first := !r.closed
	r.closed = true
	var ads []*ad
	for _, a := range r.ads {
		ads = append(ads, a)
	}
	r.mu.Unlock()
	if !first {
		<-r.closing
		return nil
	}
	var goodbyes sync.WaitGroup // side by side: each takes a while
	for _, a := range ads {
		goodbyes.Go(func() { r.withdraw(a) })
	}
	goodbyes.Wait()
	r.repeats.Wait()
	r.net.close()
	close(r.closing)
	return nil
}
