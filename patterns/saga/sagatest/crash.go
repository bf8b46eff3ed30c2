package sagatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/saga"
)

var errDead = errors.New("this process is dead")

// Trip is the value of the sagas that are crashed. Each step leaves its name.
type Trip struct{ Trail []string }

// plan says how the steps of a trip go. A number is that of a call with the same key.
type plan struct {
	name string
	do   func(step string, call int) (effect bool, err error)
	undo func(step string, call int) error
	want saga.State
}

var plans = []plan{
	{name: "all goes well", want: saga.Completed},
	{name: "a step fails at first", want: saga.Completed, do: func(step string, call int) (bool, error) {
		if step == "card" && call == 1 {
			return false, errors.New("try again")
		}
		return true, nil
	}},
	{name: "a step is refused", want: saga.Compensated, do: func(step string, _ int) (bool, error) {
		if step == "card" {
			return false, patterns.Permanent(errors.New("declined"))
		}
		return true, nil
	}},
	{name: "the last step has its effect and fails, compensations fail at first", want: saga.Compensated, do: func(step string, _ int) (bool, error) {
		if step == "ticket" {
			return true, patterns.Permanent(errors.New("no answer"))
		}
		return true, nil
	}, undo: func(_ string, call int) error {
		if call == 1 {
			return errors.New("try again")
		}
		return nil
	}},
}

// world is the services that the steps call, which live on when the process of the runner dies. They know by the key what they have done.
type world struct {
	plan
	mu      sync.Mutex // guards the fields below
	calls   map[string]int
	effects []string // in their order
	known   map[string]bool
	kept    progress // what the store has confirmed
}

// progress is how far a saga is.
type progress struct {
	state         saga.State
	step, attempt int
}

// recall checks that a store has what it confirmed before the process died.
func (w *world) recall(t *testing.T, store saga.Store) saga.Store {
	t.Helper()
	r, err := store.Get(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, w.kept, progress{r.State, r.Step, r.Attempt}, "what the store has kept")
	return store
}

// call is one call by a step: it has its effect once for a key. at is called before and after that.
func (w *world) call(ctx context.Context, at func() error) error {
	a := saga.FromContext(ctx)
	if err := at(); err != nil {
		return err
	}
	w.mu.Lock()
	w.calls[a.Key]++
	effect, err := w.decide(a, w.calls[a.Key])
	if effect && !w.known[a.Key] {
		w.known[a.Key] = true
		w.effects = append(w.effects, strings.TrimPrefix(fmt.Sprint(a.Undo, " ", a.Step), "false "))
	}
	w.mu.Unlock()
	return errors.Join(err, at())
}

func (w *world) decide(a saga.Attempt, call int) (effect bool, err error) {
	if a.Undo {
		if w.undo != nil {
			err = w.undo(a.Step, call)
		}
		return err == nil && slices.Contains(w.effects, a.Step), err // there may be nothing to undo
	}
	if w.do != nil {
		return w.do(a.Step, call)
	}
	return true, nil
}

var steps = []string{"seat", "card", "points", "ticket"} // points have no compensation

// check is the oracle: all was done, or all was undone in reverse order, each once.
func (w *world) check(t *testing.T, state saga.State, v Trip) {
	t.Helper()
	require.Equal(t, w.want, state)
	if state == saga.Completed {
		assert.Equal(t, steps, w.effects)
		assert.Equal(t, steps, v.Trail)
		return
	}
	var want []string
	for i, e := range w.effects {
		if strings.HasPrefix(e, "true ") {
			require.Equal(t, want, w.effects[i:], "%v", w.effects)
			return
		}
		if e != "points" {
			want = slices.Insert(want, 0, "true "+e)
		}
	}
	assert.Empty(t, want, "nothing was undone")
}

// life is a process: it dies at the point that it is told, counted from 1.
type life struct {
	saga.Store
	w     *world
	mu    sync.Mutex // guards the fields below
	left  int
	ended bool
	dead  chan struct{}
}

// at is a point at which the process may die; nothing that it does after that has an effect.
func (l *life) at() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left--; l.left == 0 && !l.ended {
		l.ended = true
		close(l.dead)
	}
	if l.ended {
		return errDead
	}
	return nil
}

func (l *life) alive() error {
	select {
	case <-l.dead:
		return errDead
	default:
		return nil
	}
}

func (l *life) Claim(ctx context.Context, c saga.Claim) (*saga.Record, error) {
	if err := l.alive(); err != nil {
		return nil, err
	}
	r, err := l.Store.Claim(ctx, c)
	if err == nil && r != nil {
		err = l.at()
	}
	return r, err
}

func (l *life) Save(ctx context.Context, r *saga.Record, lease, pause time.Duration) error {
	if err := l.at(); err != nil {
		return err
	}
	is := progress{r.State, r.Step, r.Attempt}
	err := l.Store.Save(ctx, r, lease, pause)
	if err == nil {
		l.w.mu.Lock()
		l.w.kept = is
		l.w.mu.Unlock()
	}
	return errors.Join(err, l.at())
}

// live runs a runner of trips until the saga has ended, or it dies at a point. It says which.
func live(t *testing.T, store saga.Store, w *world, point int) (died bool) {
	l := &life{Store: store, w: w, left: point, dead: make(chan struct{})}
	var list []saga.Step[Trip]
	for _, name := range steps {
		s := saga.Step[Trip]{Name: name, RetryMin: time.Nanosecond, RetryMax: 2 * time.Nanosecond}
		s.Do = func(ctx context.Context, v *Trip) error {
			v.Trail = append(v.Trail, name)
			return w.call(ctx, l.at)
		}
		if name != "points" {
			s.Undo = func(ctx context.Context, v *Trip) error { return w.call(ctx, l.at) }
		}
		list = append(list, s)
	}
	ctx, cancel := within(t)
	defer cancel()
	// One at a time: a claim that is under way when the process dies may still be carried out by a database, and would have to be waited for.
	r := saga.NewRunner(saga.Define("trip", 1, list...), l, saga.WithConcurrency(1), saga.WithPoll(100*time.Microsecond, time.Millisecond), saga.WithHook(func(context.Context, saga.Event) {}))
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }() // ended by Shutdown, awaited below
	waiting, stop := context.WithCancel(ctx)
	go func() { // ends with the test's turn
		select {
		case <-l.dead:
			stop()
		case <-waiting.Done():
		}
	}()
	if err := r.Start(ctx, "1", Trip{}); !errors.Is(err, saga.ErrExists) {
		require.NoError(t, err)
	}
	_, _, err := r.Wait(waiting, "1")
	stop()
	if died = l.alive() != nil; died {
		_ = r.Shutdown(waiting) // at once: what is in hand is given up
	} else {
		require.NoError(t, r.Shutdown(ctx))
	}
	require.NoError(t, <-done)
	if !died {
		require.NoError(t, err)
	}
	return died
}

// Crash has the process of a runner die at each point at which it may: before and after each call of the store and each effect of a step or compensation; and the next one again, at the points
// that twice names (0 for none). The next process finds what the store has confirmed. Each saga ends all done, or all undone in reverse order, each effect once.
func Crash(t *testing.T, fixture Fixture, twice ...int) {
	for _, p := range plans {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			for _, second := range append([]int{0}, twice...) {
				points := 0
				for died := true; died; points++ {
					store, crash := fixture(t)
					w := &world{plan: p, calls: map[string]int{}, known: map[string]bool{}, kept: progress{state: saga.Running}}
					if died = live(t, store, w, points+1); died {
						store = w.recall(t, crash())
						if live(t, store, w, second) {
							store = w.recall(t, crash())
							require.False(t, live(t, store, w, 0))
						}
					}
					r, v, err := end(t, store)
					require.NoError(t, err)
					w.check(t, r.State, v)
					if t.Failed() {
						t.Fatalf("died at point %d, then at %d: %v", points+1, second, w.effects)
					}
				}
				assert.Greater(t, points, 4*len(steps), "points")
			}
		})
	}
}

func end(t *testing.T, store saga.Store) (*saga.Record, Trip, error) {
	return saga.NewRunner(saga.Define("trip", 1, saga.Step[Trip]{Name: "any", Do: func(context.Context, *Trip) error { return nil }}), store).Get(t.Context(), "1")
}
