package outbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/intake"
)

const (
	cleanEvery = time.Minute // how long a row may outlive WithKeep, which is about disk space
	cleanBatch = 1000        // rows deleted by one statement: short transactions hold up nobody
	reasonMax  = 1000        // bytes of an error that are kept with its row
)

// lead publishes until the lease is lost, the relay stopped or ctx ends. The lease runs until the given time unless it is renewed.
//
// Two relays never both believe for long that they lead: this one stops at the end of its lease by its own clock, measured from before it asked. What it sends at that very
// moment may be sent by the next one, too; but it marks nothing any more, since that asks for its epoch.
func (r *Relay) lead(ctx context.Context, epoch int64, until time.Time) {
	leading, lost := context.WithCancelCause(ctx)
	var helpers sync.WaitGroup
	helpers.Go(func() { r.keep(leading, lost, epoch, until) }) // both end with leading, and are awaited below
	if r.conf.wait != nil {
		helpers.Go(func() { r.listen(leading) })
	}
	r.leads.Store(true)
	r.conf.hook(ctx, Event{Kind: Leads, Table: r.name})
	if r.publish(leading, epoch) {
		lost(errFenced)
	}
	cause := context.Cause(leading)
	lost(nil)
	helpers.Wait()
	r.leads.Store(false)
	if cause != nil && ctx.Err() != nil {
		cause = nil // it was told to end
	}
	if cause == nil {
		goodbye, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.conf.lease)
		_ = r.src.renew(goodbye, epoch, 0) // or it runs out
		cancel()
	}
	r.conf.hook(ctx, Event{Kind: Follows, Table: r.name, Err: cause})
}

// keep renews the lease, and says when it is lost.
func (r *Relay) keep(leading context.Context, lost context.CancelCauseFunc, epoch int64, until time.Time) {
	tick := time.NewTicker(r.conf.lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-leading.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		try, cancel := context.WithDeadline(leading, until)
		err := r.src.renew(try, epoch, r.conf.lease)
		cancel()
		switch {
		case err == nil:
			until = asked.Add(r.conf.lease)
		case errors.Is(err, errFenced) || !time.Now().Before(until):
			lost(err)
			return
		}
		if left := time.Until(until); left < r.conf.lease/3 { // the next tick would be too late
			tick.Reset(max(left/2, time.Millisecond))
		} else {
			tick.Reset(r.conf.lease / 3)
		}
	}
}

// listen turns what WithWait's function waits for into Wake.
func (r *Relay) listen(leading context.Context) {
	for leading.Err() == nil {
		if r.conf.wait(leading) == nil {
			r.Wake()
			continue
		}
		timer := time.NewTimer(r.conf.pollMax)
		select {
		case <-timer.C:
		case <-leading.Done():
		}
		timer.Stop()
	}
}

// publish takes one batch after the other. It says whether it ended because another relay leads.
func (r *Relay) publish(ctx context.Context, epoch int64) (fenced bool) {
	pause, trouble := r.conf.pollMin, false
	var cleaned time.Time
	for r.going(ctx) && r.unpaused(ctx) {
		n, err := r.turn(ctx, epoch)
		if errors.Is(err, errFenced) {
			return true
		}
		r.trouble(ctx, &trouble, err)
		if err == nil && time.Since(cleaned) >= cleanEvery {
			if r.clean(ctx) {
				cleaned = time.Now()
			}
		}
		if err == nil && n > 0 {
			pause = r.conf.pollMin
			continue
		}
		r.tenant.Sleep(ctx, pause, err == nil)
		pause = min(2*pause, r.conf.pollMax)
	}
	return false
}

// unpaused waits for the end of Pause. It says whether there is more to do.
func (r *Relay) unpaused(ctx context.Context) bool {
	r.mu.Lock()
	resumed := r.resumed
	r.mu.Unlock()
	select {
	case <-resumed:
	case <-ctx.Done():
	case <-r.tenant.Stopped.Done():
	}
	return r.going(ctx)
}

// turn publishes one batch and marks it. It returns how many rows it was done with, and why nobody takes more.
func (r *Relay) turn(ctx context.Context, epoch int64) (int, error) {
	batch, err := r.src.fetch(ctx, r.conf.batch)
	if err != nil || len(batch) == 0 {
		return 0, err
	}
	r.batchCount.Add(1)
	sent, failures, outage := r.send(ctx, batch)
	if len(sent) > 0 {
		if err := r.sink.Flush(ctx); err != nil {
			sent, outage = nil, err // it is not known which of them are safe
		}
	}
	if len(sent)+len(failures) > 0 {
		if err := r.src.settle(ctx, epoch, sent, failures, r.conf.keep > 0); err != nil {
			return 0, errors.Join(err, outage)
		}
	}
	r.published.Add(uint64(len(sent)))
	for _, f := range failures {
		if f.park {
			r.parked.Add(1)
		} else {
			r.failed.Add(1)
		}
		r.conf.hook(ctx, f.event(r.name, batch))
	}
	return len(sent) + len(failures), outage
}

// send hands a batch to the sink, up to the first outage. A row that fails holds up those of its key.
func (r *Relay) send(ctx context.Context, batch []Message) (sent []int64, failures []failure, outageErr error) {
	held := make(map[string]bool)
	total := r.total()
	for i := range batch {
		m := &batch[i]
		if m.Key != "" && held[m.Key] {
			continue
		}
		err := patterns.Permanent(m.bad)
		if err == nil {
			err = intake.Attempt(func() error { return r.sink.Send(ctx, m) })
		}
		switch v := judge(err); v {
		case taken:
			sent = append(sent, m.Number)
		case outage:
			return sent, failures, err
		default:
			f := r.conf.fail(m, err, v == refused)
			failures = append(failures, f)
			if !f.park && total {
				return sent, failures, nil
			}
			held[m.Key] = held[m.Key] || !f.park
		}
	}
	return sent, failures, nil
}

func (r *Relay) total() bool {
	t, ok := r.src.(interface{ ordersAll() bool })
	return ok && t.ordersAll()
}

func (t *tableIn) ordersAll() bool { return t.table.total }

// fail says what is to become of a row after an error.
func (c *relayConfig) fail(m *Message, err error, forGood bool) failure {
	f := failure{number: m.Number, attempts: m.Attempts + 1, err: err}
	f.reason = strings.ReplaceAll(strings.ToValidUTF8(err.Error()[:min(len(err.Error()), reasonMax)], "?"), "\x00", "?") // what PostgreSQL takes as text
	f.park = forGood || c.attempts > 0 && f.attempts >= c.attempts
	bound := c.retryMin
	for range f.attempts - 1 {
		if bound = min(2*bound, c.retryMax); bound == c.retryMax {
			break
		}
	}
	f.pause = bound/2 + rand.N(bound/2+1)
	return f
}

// event is what the hook is told of a failure.
func (f *failure) event(table string, batch []Message) Event {
	e := Event{Kind: Failed, Table: table, Err: f.err}
	if f.park {
		e.Kind = Parked
	}
	for i := range batch {
		if batch[i].Number == f.number {
			e.Message = &batch[i]
			e.Message.Attempts, e.Message.Reason = f.attempts, f.reason
		}
	}
	return e
}

// clean deletes what is old, and says whether all of it is gone.
func (r *Relay) clean(ctx context.Context) bool {
	n, err := r.src.clean(ctx, r.conf.keep, cleanBatch)
	r.cleaned.Add(uint64(n))
	return err == nil && n < cleanBatch
}
