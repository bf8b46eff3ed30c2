package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/patterns/internal/tenant"
	"github.com/meshmq/meshmq/socket"
)

// source is what a Relay needs of a database: a table, or what tests have in its place.
type source interface {
	acquire(ctx context.Context, owner string, length time.Duration) (epoch int64, ok bool, err error)
	renew(ctx context.Context, epoch int64, length time.Duration) error
	fetch(ctx context.Context, n int) ([]Message, error)
	settle(ctx context.Context, epoch int64, sent []int64, failed []failure, keep bool) error
	clean(ctx context.Context, age time.Duration, n int) (int, error)
}

// Relay publishes what is in an outbox. Of several relays of one outbox, in as many processes, one leads at a time and publishes; another one takes over when
// it ends or dies. A Relay is safe for use by any number of goroutines, those that call its sink and hook too where a method does not say otherwise.
type Relay struct {
	src    source
	sink   Sink
	name   string
	tenant *tenant.Tenant
	conf   relayConfig
	err    error // what the options did wrong

	leads                                                   atomic.Bool
	published, failed, parked, outages, cleaned, batchCount atomic.Uint64

	mu      sync.Mutex    // guards resumed
	resumed chan struct{} // closed unless paused
}

// NewRelay returns a Relay from the outbox's table in db to a sink. Nothing happens until Run. In PostgreSQL db must be the primary server.
func NewRelay(o *Outbox, db *sql.DB, sink Sink, opts ...RelayOption) *Relay {
	return newRelay(&tableIn{&o.table, db}, o.table.name, o.err, sink, opts)
}

func newRelay(src source, name string, err error, sink Sink, opts []RelayOption) *Relay {
	r := &Relay{src: src, sink: sink, name: name, tenant: tenant.New(), conf: relayDefaults, resumed: make(chan struct{})}
	errs := []error{err}
	for _, opt := range opts {
		errs = append(errs, opt(&r.conf))
	}
	if r.err = errors.Join(errs...); sink == nil {
		r.err = errors.Join(r.err, fmt.Errorf("%w: NewRelay: no sink", socket.ErrOption))
	}
	close(r.resumed)
	return r
}

// tableIn is a table in a database.
type tableIn struct {
	*table
	db *sql.DB
}

func (t *tableIn) acquire(ctx context.Context, owner string, length time.Duration) (int64, bool, error) {
	return t.table.acquire(ctx, t.db, owner, length)
}

func (t *tableIn) renew(ctx context.Context, epoch int64, length time.Duration) error {
	return t.table.renew(ctx, t.db, epoch, length)
}

func (t *tableIn) fetch(ctx context.Context, n int) ([]Message, error) {
	return t.table.fetch(ctx, t.db, n)
}

func (t *tableIn) settle(ctx context.Context, epoch int64, sent []int64, failed []failure, keep bool) error {
	return t.table.settle(ctx, t.db, epoch, sent, failed, keep)
}

func (t *tableIn) clean(ctx context.Context, age time.Duration, n int) (int, error) {
	return t.table.clean(ctx, t.db, age, n)
}

// Run publishes, or waits to take over from the relay that does, until ctx ends or Shutdown. It returns nil then, and what makes the relay unusable otherwise:
// wrong options, or a sink that cannot know what is safe. Errors of database and sink end nothing: they are events, and tried again. When ctx ends the batch in
// hand is given up, some of which may be published again; Shutdown finishes it. Run is for one goroutine at a time: while it runs, another is
// socket.ErrState.
func (r *Relay) Run(ctx context.Context) error {
	err := r.err
	if err == nil {
		err = r.tenant.Begin()
	}
	if err != nil {
		return fmt.Errorf("run relay: %w", err)
	}
	defer r.tenant.End()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.tenant.Given, cancel)()
	if !r.going(ctx) {
		return nil
	}
	if err := r.sink.Flush(ctx); errors.Is(err, socket.ErrState) {
		return fmt.Errorf("run relay: the sink cannot tell what is safe: %w", err)
	}
	trouble := false
	for r.going(ctx) {
		asked := time.Now()
		epoch, ok, err := r.src.acquire(ctx, r.tenant.Owner, r.conf.lease)
		if r.trouble(ctx, &trouble, err); err == nil && ok {
			r.lead(ctx, epoch, asked.Add(r.conf.lease))
			continue
		}
		r.tenant.Sleep(ctx, min(r.conf.lease/2, 10*r.conf.pollMax), false)
	}
	return nil
}

func (r *Relay) going(ctx context.Context) bool {
	return ctx.Err() == nil && r.tenant.Stopped.Err() == nil
}

// trouble reports that something cannot be used, or can be again, once each time.
func (r *Relay) trouble(ctx context.Context, is *bool, err error) {
	switch {
	case err != nil && ctx.Err() != nil: // it was interrupted
	case err != nil && !*is:
		*is = true
		r.outages.Add(1)
		r.conf.hook(ctx, Event{Kind: Outage, Table: r.name, Err: err})
	case err == nil && *is:
		*is = false
		r.conf.hook(ctx, Event{Kind: Recovered, Table: r.name})
	}
}

// Wake has the relay look at the table now, if it leads. Who adds a message in the same process calls it after the commit. It does not block.
func (r *Relay) Wake() { r.tenant.Wake() }

// Pause has the relay publish nothing from the next batch on, until Resume. It stays the leader, so no other does either.
func (r *Relay) Pause() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.resumed:
		r.resumed = make(chan struct{})
	default:
	}
}

// Resume ends Pause, however often that was called. Neither waits for a batch.
func (r *Relay) Resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.resumed:
	default:
		close(r.resumed)
	}
}

// Shutdown has Run publish and mark the batch in hand, take no other, and give the lease to whoever waits for it. It returns when Run has; or when ctx ends, with
// its error: then the batch is given up, some of which may be published again. Run does nothing after it. It must not be called by a
// sink or hook, for which it would wait.
func (r *Relay) Shutdown(ctx context.Context) error {
	if err := r.tenant.Shutdown(ctx); err != nil {
		return fmt.Errorf("shut down relay: %w", err)
	}
	return nil
}

// Stats returns the counters.
func (r *Relay) Stats() Stats {
	return Stats{
		Leads:     r.leads.Load(),
		Published: r.published.Load(),
		Failed:    r.failed.Load(),
		Parked:    r.parked.Load(),
		Outages:   r.outages.Load(),
		Cleaned:   r.cleaned.Load(),
		Batches:   r.batchCount.Load(),
	}
}
