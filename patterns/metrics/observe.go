package metrics

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/intake"
)

// outcome says how an attempt ended.
type outcome int

const (
	ok outcome = iota
	failed
	rejected
	panicked
	duplicate
	answered
	outcomes // how many there are
)

var outcomeNames = [outcomes]string{"ok", "failed", "rejected", "panic", "duplicate", "answered"}

// key is what is observed by itself.
type key struct {
	kind patterns.Kind
	name string
}

// other is the name of those that came too late for one of their own.
const other = "other"

// observers are the metrics of handlers or senders, by key. They are looked up without a lock: the map is replaced, never changed.
type observers struct {
	max  int
	name func(kind patterns.Kind, name string) string

	duration *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	lag      *prometheus.HistogramVec // these two of handlers only
	retries  *prometheus.CounterVec

	mu    sync.Mutex // held to replace the map
	known atomic.Pointer[map[key]*observer]
}

// observer has the metrics of one key.
type observer struct {
	duration [outcomes]prometheus.Observer
	inFlight prometheus.Gauge
	lag      prometheus.Observer
	retries  prometheus.Counter
}

func newObservers(c config, of string, handlers bool) *observers {
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meshmq_" + of + "_" + name, Help: help, Buckets: c.buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
		}, labels)
	}
	o := &observers{max: c.maxNames, name: c.name}
	o.duration = histogram("duration_seconds", "How long it took, by how it ended.", "kind", "name", "outcome")
	o.inFlight = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "meshmq_" + of + "_in_flight", Help: "Messages in hand."}, []string{"kind", "name"})
	if handlers {
		o.lag = histogram("lag_seconds", "Age of messages when the first attempt began.", "kind", "name")
		o.retries = prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meshmq_" + of + "_retries_total", Help: "Attempts that were not the first."}, []string{"kind", "name"})
	}
	o.known.Store(&map[key]*observer{})
	return o
}

func (o *observers) collectors() []prometheus.Collector {
	if o.lag == nil {
		return []prometheus.Collector{o.duration, o.inFlight}
	}
	return []prometheus.Collector{o.duration, o.inFlight, o.lag, o.retries}
}

func (o *observers) describe(out chan<- *prometheus.Desc) {
	for _, c := range o.collectors() {
		c.Describe(out)
	}
}

func (o *observers) collect(out chan<- prometheus.Metric) {
	for _, c := range o.collectors() {
		c.Collect(out)
	}
}

// of returns the observer of a message.
func (o *observers) of(kind patterns.Kind, name string) *observer {
	if o.name != nil {
		name = o.name(kind, name)
	}
	known := *o.known.Load()
	if found := known[key{kind, name}]; found != nil {
		return found
	}
	if len(known) >= o.max {
		if found := known[key{kind, other}]; found != nil {
			return found
		}
		name = other
	}
	return o.add(key{kind, name})
}

// add makes an observer. There are at most max, and one more of each kind.
func (o *observers) add(k key) *observer {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := *o.known.Load()
	if len(known) >= o.max {
		k.name = other
	}
	if found := known[k]; found != nil { // another was faster
		return found
	}
	kind, name := k.kind.String(), text(k.name)
	made := &observer{inFlight: o.inFlight.WithLabelValues(kind, name)}
	for i, outcome := range outcomeNames {
		if o.lag != nil || i <= int(failed) { // sends have no other
			made.duration[i] = o.duration.WithLabelValues(kind, name, outcome)
		}
	}
	if o.lag != nil {
		made.lag, made.retries = o.lag.WithLabelValues(kind, name), o.retries.WithLabelValues(kind, name)
	}
	known = maps.Clone(known)
	known[k] = made
	o.known.Store(&known)
	return made
}

// Handles returns middleware that observes attempts at messages. Outermost, it sees what becomes of them in the end. A panic of the handler
// goes on as a *patterns.PanicError.
func (c *Collector) Handles() patterns.Middleware {
	return func(next patterns.Handler) patterns.Handler {
		return func(ctx context.Context, d *patterns.Delivery) error {
			o, begin := c.handlers.of(d.Kind, d.Name), time.Now()
			if d.Attempt > 1 {
				o.retries.Inc()
			} else if d.Envelope != nil && !d.Envelope.Time.IsZero() {
				o.lag.Observe(max(begin.Sub(d.Envelope.Time).Seconds(), 0))
			}
			o.inFlight.Inc()
			err := intake.ErrExit
			defer func() {
				o.inFlight.Dec()
				o.duration[outcomeOf(d, err)].Observe(time.Since(begin).Seconds())
			}()
			err = intake.Attempt(func() error { return next(ctx, d) })
			return err
		}
	}
}

func outcomeOf(d *patterns.Delivery, err error) outcome {
	switch {
	case err == nil && d.Duplicate:
		return duplicate
	case err == nil:
		return ok
	case intake.IsAnswer(d.Kind, err):
		return answered
	case errors.Is(err, patterns.ErrPanic):
		return panicked
	case errors.Is(err, patterns.ErrPermanent):
		return rejected
	}
	return failed
}

// Sends returns middleware that observes messages sent.
func (c *Collector) Sends() patterns.SendMiddleware {
	return func(next patterns.Sender) patterns.Sender {
		return func(ctx context.Context, m *patterns.Outgoing) error {
			o, begin := c.senders.of(m.Kind, m.Name), time.Now()
			o.inFlight.Inc()
			defer o.inFlight.Dec() // also if next panics
			err := next(ctx, m)
			end := ok
			if err != nil {
				end = failed
			}
			o.duration[end].Observe(time.Since(begin).Seconds())
			return err
		}
	}
}
