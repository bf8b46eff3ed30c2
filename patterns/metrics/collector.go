package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/watched"
	"github.com/meshmq/meshmq/socket"
)

// maxNames is enough for the methods and types of a service, and few enough for some histograms of each.
const maxNames = 100

// Socket is what can be watched: any socket, and whatever embeds one. If it has Counts() patterns.Counts, or Delays() patterns.Delays, that is watched too.
type Socket interface{ Stats() socket.Stats }

// Collector collects metrics. It is a prometheus.Collector, to be registered once, and safe for use by any number of goroutines.
type Collector struct {
	handlers *observers
	senders  *observers

	watched watched.Set
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
	}
}

// Watch adds a socket, and with it its spool, under a name of its own, the label of what it counts. A name that is taken, or is not UTF-8, is an error.
func (c *Collector) Watch(name string, s Socket) error { return c.watched.Watch(name, s) }

// WatchSpool adds a log that is used without a socket, under a name of its own among those, as with Watch.
func (c *Collector) WatchSpool(name string, s Spool) error { return c.watched.WatchSpool(name, s) }

// Forget ends what Watch and WatchSpool began, so that the name may be used again. Sockets that were closed keep their last counts until then.
func (c *Collector) Forget(name string) { c.watched.Forget(name) }

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
	sockets, logs := c.watched.Read()
	now := time.Now()
	for _, s := range sockets {
		collectSocket(out, s.Name, s.Stats, now)
		if s.Counts != nil {
			collectReceiver(out, s.Name, *s.Counts)
		}
		if s.Delays != nil {
			collectDelays(out, s.Name, *s.Delays)
		}
	}
	for _, l := range logs {
		collectLog(out, l.Name, l.Stats)
	}
	c.handlers.collect(out)
	c.senders.collect(out)
}
