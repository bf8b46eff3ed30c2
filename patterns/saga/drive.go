package saga

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/intake"
)

// reasonMax is how many bytes of an error are kept with a saga.
const reasonMax = 1000

// hold is one saga in a runner's hand.
type hold[T any] struct {
	*Runner[T]
	def   *Definition[T]
	rec   *Record
	until time.Time // the lease's end by this process's clock, measured from before it was asked for
}

// drive goes on with a saga until it ends, has to wait, is lost, or no more is to be begun.
func (r *Runner[T]) drive(ctx, intake context.Context, rec *Record, until time.Time) {
	r.inHand.Add(1)
	defer r.inHand.Add(-1)
	h := &hold[T]{Runner: r, def: r.versions[rec.Version], rec: rec, until: until}
	if rec.Crashes > 0 { // which counts as attempts, or a step that kills its process would do so for ever
		rec.Attempt, rec.Crashes = rec.Attempt+rec.Crashes, 0
		r.recovered.Add(1)
		r.tell(ctx, rec, Event{Kind: Recovered})
	}
	if h.def.names() != rec.Steps {
		_ = h.park(ctx, fmt.Errorf("version %d has steps %s, the saga %s: %w", rec.Version, h.def.names(), rec.Steps, ErrDefinition))
		return
	}
	for {
		if intake.Err() != nil {
			_ = h.save(ctx, 0, 0) // or the lease runs out
			return
		}
		goOn, err := h.next(ctx)
		if errors.Is(err, ErrFenced) {
			r.lost.Add(1)
			r.tell(ctx, rec, Event{Kind: Lost, Err: err})
		}
		if err != nil || !goOn {
			return
		}
	}
}

// next does or undoes one step. It says whether there is more to do now. An error means that the saga is not this runner's any more.
func (h *hold[T]) next(ctx context.Context) (goOn bool, err error) {
	rec := h.rec
	if rec.State == Compensating {
		for rec.Step >= 0 && h.def.steps[rec.Step].Undo == nil {
			rec.Step, rec.Attempt = rec.Step-1, 0
		}
		if rec.Step < 0 {
			return false, h.end(ctx, Compensated, &h.compensated)
		}
	}
	step := &h.def.steps[rec.Step]
	back := rec.State == Compensating
	if rec.Attempt >= step.attempts(back) {
		return h.giveUp(ctx, step, ErrCrashed)
	}
	if late := h.conf.deadline; !back && late > 0 && time.Since(rec.Created) > late && !h.def.decided(rec.Step) {
		return h.giveUp(ctx, step, patterns.Permanent(fmt.Errorf("older than %v: %w", late, context.DeadlineExceeded)))
	}
	v, err := h.decode(rec)
	if err != nil {
		return false, h.park(ctx, err)
	}
	do := step.Do
	if back {
		do = step.Undo
	}
	if err, lost := h.perform(ctx, step, do, &v); lost != nil {
		return false, lost
	} else if err != nil {
		return h.fail(ctx, step, err)
	}
	return h.advance(ctx, step, &v)
}

// perform calls one function of a step, and keeps the lease meanwhile. lost says that the saga is another's.
func (h *hold[T]) perform(ctx context.Context, step *Step[T], do func(context.Context, *T) error, v *T) (err, lost error) {
	work, cancel := context.WithCancel(h.within(ctx, step))
	defer cancel()
	if step.Timeout > 0 {
		var stop context.CancelFunc
		work, stop = context.WithTimeout(work, step.Timeout)
		defer stop()
	}
	done := make(chan error, 1)
	go func() { // awaited below
		err := intake.ErrExit
		defer func() { done <- err }()
		err = intake.Attempt(func() error { return do(work, v) })
	}()
	tick := time.NewTicker(h.conf.lease / 3)
	defer tick.Stop()
	for {
		select {
		case err = <-done:
			return err, lost
		case <-tick.C:
			if lost != nil {
				continue
			}
			if err := h.renew(ctx); errors.Is(err, ErrFenced) || !time.Now().Before(h.until) {
				lost = errors.Join(ErrFenced, err)
				cancel()
			}
		}
	}
}

// within is the context of a step: who calls it, and in which conversation.
func (h *hold[T]) within(ctx context.Context, step *Step[T]) context.Context {
	rec := h.rec
	a := Attempt{Saga: rec.ID, Step: step.Name, Undo: rec.State == Compensating, Number: rec.Attempt + 1}
	a.Key = h.def.name + "/" + rec.ID + "/" + step.Name
	if a.Undo {
		a.Key += "/undo"
	}
	ctx = context.WithValue(ctx, attemptKey{}, a)
	return patterns.NewContext(ctx, &codec.Envelope{ID: idOf(h.def.name + "/" + rec.ID), CorrelationID: rec.CorrelationID, CausationID: rec.CausationID, Type: h.def.name})
}

func (h *hold[T]) renew(ctx context.Context) error {
	asked := time.Now()
	ctx, cancel := context.WithDeadline(ctx, h.until)
	defer cancel()
	err := h.store.Save(ctx, h.rec, h.conf.lease, 0)
	if err == nil {
		h.until = asked.Add(h.conf.lease)
	}
	return err
}

// save writes the record, again and again until the lease ends: a step that is done is not to be done again for a store that was away for a second. With a lease of 0 it
// lets the saga go.
func (h *hold[T]) save(ctx context.Context, lease, pause time.Duration) error {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), h.until)
	defer cancel()
	defer context.AfterFunc(h.tenant.Given, cancel)()
	told := false
	for wait := h.conf.pollMin; ; wait = min(2*wait, h.conf.pollMax) {
		asked := time.Now()
		err := h.store.Save(ctx, h.rec, lease, pause)
		if err == nil {
			h.until = asked.Add(lease)
			return nil
		}
		if errors.Is(err, ErrFenced) || errors.Is(err, ErrNotFound) || ctx.Err() != nil {
			return errors.Join(ErrFenced, err)
		}
		if !told {
			told = true
			h.tell(ctx, h.rec, Event{Kind: StoreFailed, Err: err})
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// advance notes that a step is done, or undone.
func (h *hold[T]) advance(ctx context.Context, step *Step[T], v *T) (goOn bool, err error) {
	rec := h.rec
	if err := h.encode(rec, v); err != nil {
		return false, h.park(ctx, err)
	}
	kind := Done
	if rec.Attempt = 0; rec.State == Compensating {
		kind = Undone
		rec.Step--
	} else {
		rec.Step++
		rec.Reason = ""
	}
	if rec.Step == len(h.def.steps) {
		return false, h.end(ctx, Completed, &h.completed, Event{Kind: kind, Step: step.Name})
	}
	if err = h.save(ctx, h.conf.lease, 0); err != nil {
		return false, err
	}
	h.tell(ctx, rec, Event{Kind: kind, Step: step.Name})
	return true, nil
}

// fail counts a failed attempt, and says what follows from it.
func (h *hold[T]) fail(ctx context.Context, step *Step[T], err error) (goOn bool, _ error) {
	if h.tenant.Given.Err() != nil { // it was interrupted, which is no fault of the step
		goodbye, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.conf.pollMax)
		defer cancel()
		return false, h.store.Save(goodbye, h.rec, 0, 0) // or the lease runs out
	}
	rec := h.rec
	rec.Attempt++
	h.failed.Add(1)
	if errors.Is(err, patterns.ErrPermanent) || rec.Attempt >= step.attempts(rec.State == Compensating) {
		return h.giveUp(ctx, step, err)
	}
	if rec.State == Running { // else it is why it turned back, which people will ask
		rec.Reason = reason(err)
	}
	h.tell(ctx, rec, Event{Kind: Failed, Step: step.Name, Attempt: rec.Attempt, Err: err})
	pause, told := patterns.Pause(err)
	if !told {
		pause = step.pause(rec.Attempt)
	}
	return false, h.save(ctx, 0, pause) // others may have the runner's time meanwhile
}

// pause is drawn from the upper half of a bound that doubles.
func (s *Step[T]) pause(attempt int) time.Duration {
	bound := s.RetryMin
	for range attempt - 1 {
		if bound = min(2*bound, s.RetryMax); bound == s.RetryMax {
			break
		}
	}
	return bound/2 + rand.N(bound/2+1)
}

// giveUp turns a saga back whose step cannot be done, or parks it: if it is going back already, is past its pivot, or at one of which nobody knows whether it happened.
func (h *hold[T]) giveUp(ctx context.Context, step *Step[T], err error) (goOn bool, _ error) {
	rec := h.rec
	unknown := step.Pivot && step.Undo == nil && !errors.Is(err, patterns.ErrPermanent)
	if rec.State == Compensating || unknown || h.def.decided(rec.Step) {
		return false, h.park(ctx, err)
	}
	rec.State, rec.Attempt, rec.Reason = Compensating, 0, reason(err)
	if err := h.save(ctx, h.conf.lease, 0); err != nil {
		return false, err
	}
	h.tell(ctx, rec, Event{Kind: TurnedBack, Step: step.Name, Err: err})
	return true, nil
}

// park gives a saga up until somebody helps it.
func (h *hold[T]) park(ctx context.Context, cause error) error {
	rec := h.rec
	rec.Back = rec.State == Compensating
	why := reason(cause)
	if rec.Back && rec.Reason != "" {
		why += "; turned back by: " + rec.Reason
	}
	rec.State, rec.Reason = Parked, why
	if err := h.save(ctx, 0, 0); err != nil {
		return err
	}
	h.parked.Add(1)
	e := Event{Kind: GivenUp, Err: cause, Attempt: rec.Attempt}
	if rec.Step >= 0 && rec.Step < len(h.def.steps) {
		e.Step = h.def.steps[rec.Step].Name
	}
	h.tell(ctx, rec, e)
	h.ended()
	return nil
}

// end notes that all is done, or undone.
func (h *hold[T]) end(ctx context.Context, state State, counter *atomic.Uint64, before ...Event) error {
	h.rec.State = state
	if err := h.save(ctx, 0, 0); err != nil {
		return err
	}
	counter.Add(1)
	for _, e := range before {
		h.tell(ctx, h.rec, e)
	}
	h.tell(ctx, h.rec, Event{Kind: Ended})
	h.ended()
	return nil
}

// reason is an error as stores take it: databases want text without NUL.
func reason(err error) string {
	s := err.Error()
	return strings.ReplaceAll(strings.ToValidUTF8(s[:min(len(s), reasonMax)], "?"), "\x00", "?")
}
