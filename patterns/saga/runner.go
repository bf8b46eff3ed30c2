package saga

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/tenant"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// Runner starts sagas and brings them to their end. Any number of runners may share a store: each saga is one runner's at a time, and another one goes on with it when
// that one ends or dies. It is safe for use by any number of goroutines.
type Runner[T any] struct {
	store    Store
	def      *Definition[T]
	versions map[int]*Definition[T]
	numbers  []int // keys of versions
	tenant   *tenant.Tenant
	conf     config
	err      error // what the options or definitions did wrong

	inHand                                                  atomic.Int64
	completed, compensated, parked, failed, recovered, lost atomic.Uint64

	mu      sync.Mutex    // guards changed
	changed chan struct{} // closed, and made anew, when a saga ends here
}

// NewRunner returns a Runner of sagas of a definition that are kept in a store. Nothing happens until Run.
func NewRunner[T any](def *Definition[T], store Store, opts ...Option) *Runner[T] {
	r := &Runner[T]{store: store, def: def, versions: make(map[int]*Definition[T]), tenant: tenant.New(), conf: defaults, changed: make(chan struct{})}
	errs := []error{def.err}
	if store == nil {
		errs = append(errs, fmt.Errorf("%w: NewRunner: no store", socket.ErrOption))
	}
	for _, opt := range opts {
		errs = append(errs, opt(&r.conf))
	}
	r.versions[def.version] = def
	for _, o := range r.conf.older {
		d, ok := o.(*Definition[T])
		if !ok || d.name != def.name || r.versions[d.version] != nil {
			errs = append(errs, fmt.Errorf("%w: WithOlder: want other versions of %q, of the same type", socket.ErrOption, def.name))
			continue
		}
		errs = append(errs, d.err)
		r.versions[d.version] = d
	}
	for v := range r.versions {
		r.numbers = append(r.numbers, v)
	}
	slices.Sort(r.numbers)
	r.err = errors.Join(errs...)
	return r
}

// Start keeps a new saga with the value v, which any runner then carries out. Nil means that it is in the store. The id is the caller's, that of the order it is about for example: ErrExists says that
// there is one already, as after a Start whose answer was lost; ErrDefinition that the id is that of another definition's saga: ids are one's own in the whole store. Messages that the saga's steps send belong to the conversation of ctx, as those that handlers send do.
func (r *Runner[T]) Start(ctx context.Context, id string, v T) error {
	rec := &Record{ID: id, Definition: r.def.name, Version: r.def.version, Steps: r.def.names(), State: Running}
	err := r.err
	if err == nil && id == "" {
		err = fmt.Errorf("%w: no id", socket.ErrOption)
	}
	if err == nil {
		err = r.encode(rec, &v)
	}
	if parent := patterns.FromContext(ctx); parent != nil {
		rec.CausationID, rec.CorrelationID = parent.ID, parent.Conversation()
	}
	if rec.CorrelationID.IsZero() {
		rec.CorrelationID = codec.NewID()
	}
	if err == nil {
		err = r.store.Create(ctx, rec)
	}
	if errors.Is(err, ErrExists) {
		if _, other := r.record(ctx, id); errors.Is(other, ErrDefinition) {
			err = other
		}
	}
	if err != nil {
		return fmt.Errorf("start saga %s %q: %w", r.def.name, id, err)
	}
	r.tell(ctx, rec, Event{Kind: Started})
	r.tenant.Wake()
	return nil
}

func (r *Runner[T]) encode(rec *Record, v *T) (err error) {
	rec.Codec = r.conf.codec.Name()
	rec.Data, err = r.conf.codec.Append(nil, v)
	return err
}

func (r *Runner[T]) decode(rec *Record) (v T, err error) {
	return v, wire.Decode(&codec.Envelope{Codec: rec.Codec, Body: rec.Data}, r.conf.codec, nil, &v)
}

func (r *Runner[T]) tell(ctx context.Context, rec *Record, e Event) {
	if rec != nil {
		e.Saga, e.State = rec.ID, rec.State
	}
	r.conf.hook(ctx, e)
}

// Run carries out sagas until ctx ends or Shutdown, and returns when those in hand have been put down: each after the step it is at. It returns nil then, or what makes the runner unusable. Errors of
// the store end nothing: they are events, and tried again. Run is for one goroutine at a time.
func (r *Runner[T]) Run(ctx context.Context) error {
	err := r.err
	if err == nil {
		err = r.tenant.Begin()
	}
	if err != nil {
		return fmt.Errorf("run sagas: %w", err)
	}
	defer r.tenant.End()
	if r.tenant.Stopped.Err() != nil {
		return nil
	}
	intake, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(r.tenant.Stopped, stop)()
	work, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	defer context.AfterFunc(r.tenant.Given, done)()

	var sagas sync.WaitGroup
	defer sagas.Wait()
	free := make(chan struct{}, r.conf.concurrency)
	pause, bad, looked := r.conf.pollMin, false, time.Time{}
	for intake.Err() == nil {
		select {
		case free <- struct{}{}:
		case <-intake.Done():
			return nil
		}
		// Not with intake: a saga that was claimed, and whose answer was not waited for, would be nobody's until the lease ends.
		rec, err := r.store.Claim(work, Claim{Definition: r.def.name, Versions: r.numbers, Owner: r.tenant.Owner, Lease: r.conf.lease})
		if err == nil && rec != nil {
			pause = r.conf.pollMin
			until := time.Now().Add(r.conf.lease)
			sagas.Go(func() { // ends with its saga, the step it is at, or given; awaited above
				defer func() { <-free }()
				r.drive(work, intake, rec, until)
				r.tenant.Wake()
			})
			continue
		}
		<-free
		if err != nil && !bad && intake.Err() == nil {
			r.tell(ctx, nil, Event{Kind: StoreFailed, Err: err})
		}
		if bad = err != nil; !bad && time.Since(looked) >= pruneEvery {
			looked = time.Now()
			r.strangers(intake)
		}
		r.tenant.Sleep(intake, pause, true)
		pause = min(2*pause, r.conf.pollMax)
	}
	return nil
}

// strangers reports sagas that nobody here can carry out. In the middle of an upgrade another process may; after it, they wait for good.
func (r *Runner[T]) strangers(ctx context.Context) {
	for _, state := range []State{Running, Compensating} {
		found, err := r.store.List(ctx, Query{Definition: r.def.name, State: state})
		if err != nil {
			return // the next Claim says so
		}
		for _, rec := range found {
			if r.versions[rec.Version] == nil {
				r.tell(ctx, rec, Event{Kind: Unknown, Err: fmt.Errorf("version %d: %w", rec.Version, ErrDefinition)})
			}
		}
	}
}

// Shutdown has Run take no more sagas, and put those in hand down after the step they are at. It returns when Run has; or when ctx ends, with its error: then the contexts of
// the steps end, which are done again by whoever takes their sagas over. Run does nothing after it.
func (r *Runner[T]) Shutdown(ctx context.Context) error {
	if err := r.tenant.Shutdown(ctx); err != nil {
		return fmt.Errorf("shut down sagas: %d in hand: %w", r.inHand.Load(), err)
	}
	return nil
}

// record returns that of a saga of the runner's definition.
func (r *Runner[T]) record(ctx context.Context, id string) (*Record, error) {
	rec, err := r.store.Get(ctx, id)
	if err == nil && rec.Definition != r.def.name {
		return nil, fmt.Errorf("%q is a saga %s: %w", id, rec.Definition, ErrDefinition)
	}
	return rec, err
}

// Get returns a saga's record and its value as it is now. ErrNotFound; ErrDefinition if it is another definition's.
func (r *Runner[T]) Get(ctx context.Context, id string) (rec *Record, v T, err error) {
	if err = r.err; err == nil {
		rec, err = r.record(ctx, id)
	}
	if err == nil {
		v, err = r.decode(rec)
	}
	if err != nil {
		return nil, v, fmt.Errorf("get saga %s: %w", r.def.name, err)
	}
	return rec, v, nil
}

// List returns sagas of the runner's definition in a state, 0 for any, in the order of their ids, and without their values: up to limit, 0 for 100, above the id after.
func (r *Runner[T]) List(ctx context.Context, state State, after string, limit int) ([]*Record, error) {
	if r.err != nil {
		return nil, fmt.Errorf("list sagas: %w", r.err)
	}
	return r.store.List(ctx, Query{Definition: r.def.name, State: state, After: after, Limit: limit})
}

// Wait blocks until a saga has ended or is parked, whichever runner does it, and returns its record and value.
func (r *Runner[T]) Wait(ctx context.Context, id string) (*Record, T, error) {
	for pause := r.conf.pollMin; ; pause = min(2*pause, r.conf.pollMax) {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		rec, v, err := r.Get(ctx, id)
		if err != nil || rec.State.Ended() || rec.State == Parked {
			return rec, v, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
			err = fmt.Errorf("wait for saga %s %q: %w", r.def.name, id, ctx.Err())
		}
		timer.Stop()
		if err != nil {
			return rec, v, err
		}
	}
}

// ended wakes those who wait.
func (r *Runner[T]) ended() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.changed)
	r.changed = make(chan struct{})
}

// Resume has a parked saga go on the way it went, with its attempts counted from the beginning. ErrState if it is not parked.
func (r *Runner[T]) Resume(ctx context.Context, id string) error {
	return r.unpark(ctx, id, func(rec *Record) State {
		if rec.Back {
			return Compensating
		}
		return Running
	})
}

// TurnBack has a parked saga undo what was begun, pivot or not: for people who have made sure that it can be. ErrState if it is not parked.
func (r *Runner[T]) TurnBack(ctx context.Context, id string) error {
	return r.unpark(ctx, id, func(*Record) State { return Compensating })
}

func (r *Runner[T]) unpark(ctx context.Context, id string, state func(rec *Record) State) error {
	err := r.err
	var rec *Record
	if err == nil {
		rec, err = r.store.Claim(ctx, Claim{Definition: r.def.name, Owner: r.tenant.Owner, Lease: r.conf.lease, ID: id})
	}
	if err == nil && rec == nil {
		if rec, err = r.record(ctx, id); err == nil {
			err = fmt.Errorf("%w: %v, want %v", ErrState, rec.State, Parked)
		}
	} else if err == nil {
		rec.State = state(rec)
		rec.Attempt, rec.Back = 0, false
		err = r.store.Save(ctx, rec, 0, 0)
	}
	if err != nil {
		return fmt.Errorf("resume saga %s %q: %w", r.def.name, id, err)
	}
	r.tenant.Wake()
	return nil
}

// Stats returns the counters.
func (r *Runner[T]) Stats() Stats {
	return Stats{
		InHand:      r.inHand.Load(),
		Completed:   r.completed.Load(),
		Compensated: r.compensated.Load(),
		Parked:      r.parked.Load(),
		Failed:      r.failed.Load(),
		Recovered:   r.recovered.Load(),
		Lost:        r.lost.Load(),
	}
}
