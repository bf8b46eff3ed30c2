package mdns

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/discovery"
)

const (
	// RFC 6762, 8.3: at least two announcements, one second apart.
	repeatAfter = time.Second
	// A goodbye may be lost, or be overtaken by an answer on its way: it is sent again.
	goodbyeAfter = 250 * time.Millisecond
	// maxAds keeps an answer, which holds all instances of a program, below the 64 KiB of a packet.
	maxAds = 32
)

// ad is an announcement of this registry.
type ad struct {
	in       discovery.Instance
	revision uint64
	over     chan struct{} // closed when it is replaced or withdrawn
	leaving  atomic.Bool   // the first to withdraw it says goodbye
	left     chan struct{} // closed when that is done
}

// Announce multicasts in through all interfaces, twice, and answers questions about it. See
// discovery.Registry. It fails if the instance does not fit into a small packet (its name,
// endpoints and meta in 400 bytes), if none of its endpoints can be reached through any
// interface, or if no interface can send, with the reason for each.
func (r *Registry) Announce(ctx context.Context, in discovery.Instance) (withdraw func(), err error) {
	if err := in.Validate(); err != nil {
		return nil, fmt.Errorf("announce: %w", err)
	}
	err = ctx.Err()
	if err == nil {
		err = r.fits(in)
	}
	a := &ad{in: in.Clone(), over: make(chan struct{}), left: make(chan struct{})}
	if err == nil {
		err = r.admit(a)
	}
	if err != nil {
		return nil, fmt.Errorf("announce %s: %w", in.Service, err)
	}
	defer r.repeats.Done()
	if err := r.tell(a, r.ttl); err != nil {
		r.drop(a)
		return nil, fmt.Errorf("announce %s: %w", in.Service, err)
	}
	r.repeats.Go(func() { r.repeat(a) }) // ended by withdraw, awaited by Close
	stop := context.AfterFunc(ctx, func() { r.withdraw(a) })
	return func() { stop(); r.withdraw(a) }, nil
}

// fits says why in cannot be announced as it is.
func (r *Registry) fits(in discovery.Instance) error {
	sites := r.net.sites()
	reached := len(sites) == 0 // then there is nothing to say about it
	for _, s := range sites {
		_, ok, err := service(in, now(), s)
		if err != nil {
			return err
		}
		reached = reached || ok
	}
	if !reached {
		return fmt.Errorf("no endpoint of %q can be reached through interface %s: bind to * or its address, with tcp or ws", in.Endpoints, sites[0].name)
	}
	return nil
}

// admit makes a the announcement under its ID. It holds back Close until repeats.Done.
func (r *Registry) admit(a *ad) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.ads[a.in.ID]
	switch {
	case r.closed:
		return discovery.ErrClosed
	case was == nil && len(r.ads) >= maxAds:
		return fmt.Errorf("%d instances are announced already: want at most %d", len(r.ads), maxAds)
	case was != nil && was.in.Service != a.in.Service:
		return fmt.Errorf("id %s is announced for service %s", a.in.ID, was.in.Service)
	case was != nil:
		close(was.over)
	}
	r.latest = max(r.latest+1, now())
	a.revision = r.latest
	r.ads[a.in.ID] = a
	r.repeats.Add(1)
	return nil
}

// repeat announces a second time.
func (r *Registry) repeat(a *ad) {
	timer := time.NewTimer(repeatAfter)
	defer timer.Stop()
	select {
	case <-a.over:
	case <-timer.C:
		r.tell(a, r.ttl) // the first time worked; questions find it in any case
	}
}

// drop ends a and says whether it was still announced.
func (r *Registry) drop(a *ad) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ads[a.in.ID] != a {
		return false
	}
	delete(r.ads, a.in.ID)
	close(a.over)
	return true
}

// withdraw says goodbye (RFC 6762, 10.1) unless a was replaced. Whoever calls it returns when
// that is done.
func (r *Registry) withdraw(a *ad) {
	if a.leaving.Swap(true) {
		<-a.left
		return
	}
	defer close(a.left)
	if !r.drop(a) {
		return
	}
	// Should it not get through, the record ends with its life.
	if r.tell(a, 0) == nil {
		<-time.After(goodbyeAfter)
		if !r.announced(a.in.ID) {
			r.tell(a, 0)
		}
	}
}

func (r *Registry) announced(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ads[id] != nil
}

// now is the least revision of what is announced now: a program that starts again goes on where it was.
func now() uint64 { return uint64(time.Now().UnixMilli()) }

// tell announces a through every interface it can be reached by.
func (r *Registry) tell(a *ad, ttl time.Duration) error {
	var bad error
	err := r.net.tell(func(s site) []byte {
		b, err := announcement(a.in, a.revision, s, ttl)
		if err != nil {
			bad = fmt.Errorf("interface %s: %w", s.name, err)
		}
		return b
	})
	return errors.Join(err, bad)
}
