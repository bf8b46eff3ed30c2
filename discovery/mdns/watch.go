package mdns

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/meshmq/meshmq/discovery"
)

const (
	// Pauses between rounds: 1, 3, 9, 27, then 60 s, each up to 20 % more or less so that programs
	// that started together do not ask together. RFC 6762, 5.2: at least one second (a jitter
	// below it is ours), at least doubling.
	firstPause  = time.Second
	pauseFactor = 3
	maxPause    = time.Minute
	pauseRand   = 0.2
)

// subscription is a Watch at work.
type subscription struct {
	service string
	heard   chan sighting
	moved   chan struct{}
}

// Watch asks for the instances of service, at once and then ever more rarely, and listens to
// what is announced. See discovery.Registry. Records are refreshed when 80 % of their life is
// over. An instance that does not answer is Down, Expired, at the end of its record's life, but
// not before three questions had no answer. What changes too fast, or is one too many (WithMaxPeers),
// is left out until it is heard again.
func (r *Registry) Watch(ctx context.Context, service string) iter.Seq2[discovery.Event, error] {
	return func(yield func(discovery.Event, error) bool) {
		b, err := r.browse(service)
		if err == nil {
			defer r.unsubscribe(b.sub)
			err = b.run(ctx, yield)
		}
		if err != nil {
			yield(discovery.Event{}, fmt.Errorf("watch %s: %w", service, err))
		}
	}
}

// browser is the state of a Watch, on its caller's goroutine.
type browser struct {
	r        *Registry
	sub      *subscription
	question []byte
	cache    *cache
	rounds   int       // asked because of the pauses
	nextAsk  time.Time // because of the pauses
}

func (r *Registry) browse(service string) (*browser, error) {
	if service != "" {
		if err := discovery.CheckName(service); err != nil {
			return nil, err
		}
	}
	q, err := question(service)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, discovery.ErrClosed
	}
	// Room for the answers of all peers while the caller is busy with an event.
	sub := &subscription{service: service, heard: make(chan sighting, r.maxPeers), moved: make(chan struct{}, 1)}
	r.subs[sub] = struct{}{}
	return &browser{r: r, sub: sub, question: q, cache: newCache(r.maxPeers, rand.Float64)}, nil
}

func (r *Registry) unsubscribe(s *subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.subs, s)
}

// run yields events until the caller or ctx ends it, with nil, or the registry does.
func (b *browser) run(ctx context.Context, yield func(discovery.Event, error) bool) error {
	if err := b.ask(time.Now()); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(b.next()))
		var events []discovery.Event
		select {
		case <-ctx.Done():
			return nil
		case <-b.r.closing:
			return discovery.ErrClosed
		case g := <-b.sub.heard:
			if e, ok := b.cache.see(g, time.Now()); ok {
				events = append(events, e)
			}
		case <-b.sub.moved:
			b.rounds = 0
			b.ask(time.Now()) // a network that is gone for now is no reason to end
		case <-timer.C:
			now := time.Now()
			events = b.cache.expire(now)
			if !now.Before(b.nextAsk) || b.cache.refreshDue(now) {
				b.ask(now)
			}
		}
		for _, e := range events {
			if ctx.Err() != nil || !yield(e, nil) {
				return nil
			}
		}
	}
}

// ask is one round.
func (b *browser) ask(now time.Time) error {
	if !now.Before(b.nextAsk) || b.rounds == 0 {
		b.nextAsk = now.Add(pause(b.rounds, rand.Float64()))
		b.rounds++
	}
	b.cache.markAsked(now)
	return b.r.net.ask(b.question)
}

// next is when there will be something to do.
func (b *browser) next() time.Time {
	if at := b.cache.next(); !at.IsZero() && at.Before(b.nextAsk) {
		return at
	}
	return b.nextAsk
}

// pause is how long to wait after the given number of rounds; random is in [0, 1).
func pause(rounds int, random float64) time.Duration {
	d := firstPause
	for range rounds {
		if d *= pauseFactor; d > maxPause {
			d = maxPause
			break
		}
	}
	return share(d, 1-pauseRand+2*pauseRand*random)
}
