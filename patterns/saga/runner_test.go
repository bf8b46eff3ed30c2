package saga_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/saga"
)

// Work is the value of the sagas here: each step that is done leaves its name.
type Work struct{ Done []string }

// diary has what steps did and what runners told, in order.
type diary struct {
	mu      sync.Mutex // guards the fields below
	effects []string
	events  []string
	errs    map[saga.EventKind]error // the last of each kind
}

func (d *diary) note(effect string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.effects = append(d.effects, effect)
}

func (d *diary) hook(_ context.Context, e saga.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, strings.TrimSpace(e.Kind.String()+" "+e.Step))
	if d.errs == nil {
		d.errs = make(map[saga.EventKind]error)
	}
	d.errs[e.Kind] = e.Err
}

// take returns the effects so far, and forgets them.
func (d *diary) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.effects
	d.effects = nil
	return taken
}

func (d *diary) told() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.events...)
}

func (d *diary) err(kind saga.EventKind) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.errs[kind]
}

// step is done and undone with a word in the diary, unless it fails with what ends returns.
func (d *diary) step(name string, ends func(a saga.Attempt) error) saga.Step[Work] {
	act := func(ctx context.Context, w *Work) error {
		a := saga.FromContext(ctx)
		w.Done = append(w.Done, name)
		if ends != nil {
			if err := ends(a); err != nil {
				return err
			}
		}
		if a.Undo {
			d.note("not " + name)
		} else {
			d.note(name)
		}
		return nil
	}
	return saga.Step[Work]{Name: name, Do: act, Undo: act}
}

// always fails each Do with err, and each Undo with that of undo.
func always(err, undo error) func(saga.Attempt) error {
	return func(a saga.Attempt) error {
		if a.Undo {
			return undo
		}
		return err
	}
}

// running runs a runner until the function that it returns is called.
func running(t *testing.T, r *saga.Runner[Work]) (stop func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- r.Run(context.Background()) }() // ended by stop, which waits for it
	return func() {
		assert.NoError(t, r.Shutdown(context.Background()))
		assert.NoError(t, <-done)
	}
}

var errBroken = errors.New("broken")

// How sagas end, and what people can do about those that are parked.
func TestRunner_Ends(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pivot, last func(saga.Attempt) error // how the second and third step end
		noUndo      bool                     // of the pivot
		state       saga.State
		effects     []string
		reason      string
		resume      saga.State // where it ends after Resume, when the steps are mended; 0 if it cannot be resumed
		more        []string   // what is done then
	}{
		"all is done": {state: saga.Completed, effects: []string{"a", "pivot", "last"}},
		"before the pivot": {
			pivot: always(patterns.Permanent(errBroken), nil),
			state: saga.Compensated, effects: []string{"a", "not pivot", "not a"}, reason: "broken",
		},
		"a pivot that cannot be undone, and says it did nothing": {
			pivot: always(patterns.Permanent(errBroken), nil), noUndo: true,
			state: saga.Compensated, effects: []string{"a", "not a"}, reason: "broken",
		},
		"a pivot that cannot be undone, and may have happened": {
			pivot: always(errBroken, nil), noUndo: true,
			state: saga.Parked, effects: []string{"a"}, reason: "broken",
			resume: saga.Completed, more: []string{"pivot", "last"},
		},
		"after the pivot": {
			last:  always(patterns.Permanent(errBroken), nil),
			state: saga.Parked, effects: []string{"a", "pivot"}, reason: "broken",
			resume: saga.Completed, more: []string{"last"},
		},
		"a compensation that fails": {
			pivot: always(patterns.Permanent(errBroken), errors.New("cannot be undone")),
			state: saga.Parked, effects: []string{"a"}, reason: "cannot be undone; turned back by: broken",
			resume: saga.Compensated, more: []string{"not pivot", "not a"},
		},
		"a panic": {
			last:  func(saga.Attempt) error { panic("at sea") },
			state: saga.Parked, effects: []string{"a", "pivot"}, reason: "handler panicked: at sea",
			resume: saga.Completed, more: []string{"last"},
		},
		"an end of the goroutine": {
			last:  func(saga.Attempt) error { runtime.Goexit(); return nil },
			state: saga.Parked, effects: []string{"a", "pivot"}, reason: "handler panicked: runtime.Goexit",
			resume: saga.Completed, more: []string{"last"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var d diary
				var mended atomic.Bool
				until := func(ends func(saga.Attempt) error) func(saga.Attempt) error {
					return func(a saga.Attempt) error {
						if ends == nil || mended.Load() {
							return nil
						}
						return ends(a)
					}
				}
				pivot := d.step("pivot", until(c.pivot))
				if pivot.Pivot = true; c.noUndo {
					pivot.Undo = nil
				}
				r := saga.NewRunner(saga.Define("work", 1, d.step("a", nil), pivot, d.step("last", until(c.last))), saga.NewMemory(time.Hour), saga.WithHook(d.hook))
				defer running(t, r)()
				require.NoError(t, r.Start(t.Context(), "1", Work{}))
				record, _, err := r.Wait(t.Context(), "1")
				require.NoError(t, err)
				assert.Equal(t, c.state, record.State)
				assert.Equal(t, c.effects, d.take())
				assert.Equal(t, c.reason, record.Reason)
				mended.Store(true)
				if c.resume == 0 {
					assert.ErrorIs(t, r.Resume(t.Context(), "1"), saga.ErrState)
					assert.ErrorIs(t, r.TurnBack(t.Context(), "1"), saga.ErrState)
					return
				}
				assert.Equal(t, uint64(1), r.Stats().Parked)
				assert.ErrorContains(t, d.err(saga.GivenUp), strings.Split(c.reason, ";")[0], "the alarm")
				require.NoError(t, r.Resume(t.Context(), "1"))
				record, v, err := r.Wait(t.Context(), "1")
				require.NoError(t, err)
				assert.Equal(t, c.resume, record.State)
				assert.Equal(t, c.more, d.take())
				if c.resume == saga.Completed {
					assert.Equal(t, []string{"a", "pivot", "last"}, v.Done, "what failing attempts changed is not kept")
				}
			})
		})
	}
}

// Who has made sure that it can be undone has a parked saga turned back, past the pivot.
func TestRunner_TurnBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		pivot := d.step("pivot", nil)
		pivot.Pivot = true
		r := saga.NewRunner(saga.Define("work", 1, pivot, d.step("last", always(patterns.Permanent(errBroken), nil))), saga.NewMemory(time.Hour), saga.WithHook(d.hook))
		defer running(t, r)()
		require.NoError(t, r.Start(t.Context(), "1", Work{}))
		_, _, err := r.Wait(t.Context(), "1")
		require.NoError(t, err)
		parked, err := r.List(t.Context(), saga.Parked, "", 0)
		require.NoError(t, err)
		require.Len(t, parked, 1)
		require.NoError(t, r.TurnBack(t.Context(), parked[0].ID))
		record, _, err := r.Wait(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, saga.Compensated, record.State)
		assert.Equal(t, []string{"pivot", "not last", "not pivot"}, d.take())
		assert.Equal(t, []string{
			"started", "done pivot", "given up last", "undone last", "undone pivot", "ended",
		}, d.told())
	})
}

// Attempts, the pauses between them, timeouts and the saga's own deadline.
func TestRunner_Time(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		begin := time.Now()
		var at []time.Duration
		step := saga.Step[Work]{Name: "slow", Timeout: time.Second, Attempts: 4, RetryMin: 10 * time.Second, RetryMax: 15 * time.Second}
		step.Do = func(ctx context.Context, _ *Work) error {
			at = append(at, time.Since(begin))
			if saga.FromContext(ctx).Number == 3 {
				return patterns.RetryAfter(errBroken, time.Hour)
			}
			<-ctx.Done()
			assert.Equal(t, at[len(at)-1]+time.Second, time.Since(begin))
			return ctx.Err()
		}
		r := saga.NewRunner(saga.Define("work", 1, step), saga.NewMemory(time.Hour), saga.WithHook(d.hook))
		defer running(t, r)()
		require.NoError(t, r.Start(t.Context(), "1", Work{}))
		record, _, err := r.Wait(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, saga.Compensated, record.State)
		assert.Equal(t, context.DeadlineExceeded.Error(), record.Reason)
		require.Len(t, at, 4)
		for i, bounds := range [][2]time.Duration{{5, 10}, {7, 15}, {3600, 3600}} { // each after a second, but for the third; a look every second
			pause := at[i+1] - at[i]
			if i < 2 {
				pause -= time.Second
			}
			assert.GreaterOrEqual(t, pause, bounds[0]*time.Second, "pause %d", i+1)
			assert.LessOrEqual(t, pause, (bounds[1]+1)*time.Second, "pause %d", i+1)
		}
		assert.Equal(t, uint64(4), r.Stats().Failed)
	})
	synctest.Test(t, func(t *testing.T) {
		var d diary
		failing := d.step("b", always(errBroken, nil))
		failing.Attempts = 1000
		r := saga.NewRunner(saga.Define("work", 1, d.step("a", nil), failing), saga.NewMemory(time.Hour), saga.WithHook(d.hook), saga.WithDeadline(time.Minute))
		defer running(t, r)()
		begin := time.Now()
		require.NoError(t, r.Start(t.Context(), "1", Work{}))
		record, _, err := r.Wait(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, saga.Compensated, record.State)
		assert.ErrorIs(t, d.err(saga.TurnedBack), context.DeadlineExceeded)
		assert.Equal(t, []string{"a", "not b", "not a"}, d.take())
		assert.Less(t, time.Since(begin), 2*time.Minute, "a minute and the pause that it was in")
		assert.Greater(t, time.Since(begin), time.Minute)
	})
}

// Sagas of another version wait for a runner that has it; those whose steps have changed under the same number are parked.
func TestRunner_DefinitionsChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		store := saga.NewMemory(time.Hour)
		first := saga.Define("work", 1, d.step("a", nil), d.step("b", nil))
		second := saga.Define("work", 2, d.step("c", nil))
		require.NoError(t, saga.NewRunner(first, store, saga.WithHook(d.hook)).Start(t.Context(), "1", Work{}))
		r := saga.NewRunner(second, store, saga.WithHook(d.hook))
		stop := running(t, r)
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Empty(t, d.take())
		assert.ErrorIs(t, d.err(saga.Unknown), saga.ErrDefinition)
		stop()

		r = saga.NewRunner(second, store, saga.WithHook(d.hook), saga.WithOlder(first))
		stop = running(t, r)
		require.NoError(t, r.Start(t.Context(), "2", Work{}))
		for _, id := range []string{"1", "2"} {
			record, _, err := r.Wait(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, saga.Completed, record.State)
		}
		assert.ElementsMatch(t, []string{"a", "b", "c"}, d.take())
		stop()

		require.NoError(t, saga.NewRunner(first, store, saga.WithHook(d.hook)).Start(t.Context(), "3", Work{}))
		r = saga.NewRunner(saga.Define("work", 1, d.step("a", nil), d.step("b2", nil)), store, saga.WithHook(d.hook))
		defer running(t, r)()
		record, _, err := r.Wait(t.Context(), "3")
		require.NoError(t, err)
		assert.Equal(t, saga.Parked, record.State)
		assert.ErrorIs(t, d.err(saga.GivenUp), saga.ErrDefinition)
		assert.Empty(t, d.take())
	})
}

// Ids are those of a store: a runner does not take the saga of another definition for one of its own.
func TestRunner_OthersSagas(t *testing.T) {
	t.Parallel()
	store := saga.NewMemory(time.Hour)
	var d diary
	ours := saga.NewRunner(saga.Define("work", 1, d.step("a", nil)), store, saga.WithHook(d.hook))
	others := saga.NewRunner(saga.Define("leisure", 1, d.step("a", nil)), store, saga.WithHook(d.hook))
	require.NoError(t, others.Start(t.Context(), "1", Work{}))
	err := ours.Start(t.Context(), "1", Work{})
	assert.ErrorIs(t, err, saga.ErrDefinition)
	assert.NotErrorIs(t, err, saga.ErrExists, "which is no failure")
	_, _, err = ours.Get(t.Context(), "1")
	assert.ErrorIs(t, err, saga.ErrDefinition)
	_, _, err = ours.Wait(t.Context(), "1")
	assert.ErrorIs(t, err, saga.ErrDefinition)
	assert.ErrorIs(t, ours.Resume(t.Context(), "1"), saga.ErrDefinition)
	assert.ErrorIs(t, ours.TurnBack(t.Context(), "1"), saga.ErrDefinition)
	assert.ErrorIs(t, others.Start(t.Context(), "1", Work{}), saga.ErrExists)
}
