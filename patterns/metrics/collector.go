package metrics

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
)

// maxNames is enough for the methods and types of a service, and few enough for some histograms of each.
const maxNames = 100

// Socket is what can be watched: any socket, and whatever embeds one. If it has Counts() patterns.Counts, or Delays() patterns.Delays, that is watched too.
type Socket interface{ Stats() socket.Stats }

// delayer is a Producer.
type delayer interface{ Delays() patterns.Delays }

// receiver is a Worker, Service, Subscriber or Client.
type receiver interface{ Counts() patterns.Counts }

// Collector collects metrics. It is a prometheus.Collector, to be registered once, and safe for use by any number of goroutines.
type Collector struct {
	handlers *observers
	senders  *observers

	mu      sync.Mutex // guards the fields below
	watched map[string]Socket
	spools  map[string]Spool
}

var _ prometheus.Collector = (*Collector)(nil)

// Option sets one property of a Collector.
type Option func(*config)

type config struct {
	maxNames int
	name     func(kind patterns.Kind, name string) string
	buckets  []float64
}

// WithMaxNames sets how many names of messages get metrics of their own; default 100. Further ones are "other".
func WithMaxNames(n int) Option {
	return func(c *config) { c.maxNames = max(n, 0) }
}

// WithName sets the label name to what f makes of a message's name: "orders.*.packed" of a topic with a number in it. Several goroutines call it
// at once, for each message. Default: the name.
func WithName(f func(kind patterns.Kind, name string) string) Option {
	return func(c *config) { c.name = f }
}

// WithBuckets sets the upper bounds of the histograms, in seconds and in increasing order. None, or nil, leaves native histograms alone.
func WithBuckets(seconds ...float64) Option {
	return func(c *config) { c.buckets = slices.Clone(seconds) }
}

// New returns a Collector, of nothing yet.
func New(opts ...Option) *Collector {
	c := config{maxNames: maxNames, buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}
	for _, opt := range opts {
		opt(&c)
	}
	return &Collector{
		handlers: newObservers(c, "handler", true),
		senders:  newObservers(c, "send", false),
		watched:  make(map[string]Socket),
		spools:   make(map[string]Spool),
	}
}

// Watch adds a socket, and with it its spool, under a name of its own, the label of what it counts. A name that is taken, or is not UTF-8, is an error.
func (c *Collector) Watch(name string, s Socket) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := check(name, c.watched[name] != nil); err != nil {
		return fmt.Errorf("watch socket %q: %w", name, err)
	}
	c.watched[name] = s
	return nil
}

// WatchSpool adds a log that is used without a socket, under a name of its own among those, as with Watch.
func (c *Collector) WatchSpool(name string, s Spool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := check(name, c.spools[name] != nil); err != nil {
		return fmt.Errorf("watch spool %q: %w", name, err)
	}
	c.spools[name] = s
	return nil
}

func check(name string, taken bool) error {
	switch {
	case taken:
		return errors.New("the name is taken, want another")
	case !utf8.ValidString(name):
		return errors.New("the name is a label, want UTF-8")
	}
	return nil
}

// Forget ends what Watch and WatchSpool began, so that the name may be used again. Sockets that were closed keep their last counts until then.
func (c *Collector) Forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watched, name)
	delete(c.spools, name)
}

// Describe is that of prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range ofSocket {
		out <- m.desc
	}
	for _, m := range ofSpool {
		out <- m.desc
	}
	for _, m := range ofWindow {
		out <- m.desc
	}
	for _, m := range ofDurable {
		out <- m.desc
	}
	for _, m := range ofLog {
		out <- m.desc
	}
	for _, d := range []*prometheus.Desc{dropped, refused, receiverMessages, receiverInHand, delayedMessages, delayedGivenUp, logLag, logFailed} {
		out <- d
	}
	c.handlers.describe(out)
	c.senders.describe(out)
}

// Collect is that of prometheus.Collector. It asks each socket and spool for its Stats.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	watched, spools := maps.Clone(c.watched), maps.Clone(c.spools)
	c.mu.Unlock()
	now := time.Now()
	for name, s := range watched {
		collectSocket(out, name, s.Stats(), now)
		if r, ok := s.(receiver); ok {
			collectReceiver(out, name, r.Counts())
		}
		if p, ok := s.(delayer); ok {
			d, at := p.Delays(), name+"/delayed"
			collectDelays(out, name, d)
			if d.Spool != nil && spools[at] == nil {
				collectLog(out, at, *d.Spool)
			}
		}
	}
	for name, s := range spools {
		collectLog(out, name, s.Stats())
	}
	c.handlers.collect(out)
	c.senders.collect(out)
}
