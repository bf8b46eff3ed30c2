package saga_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/saga"
	"github.com/meshmq/meshmq/socket"
)

// cut is a store that does not answer a runner while it is away.
type cut struct {
	saga.Store
	away atomic.Bool
}

func (c *cut) Save(ctx context.Context, r *saga.Record, lease, pause time.Duration) error {
	if c.away.Load() {
		return errBroken
	}
	return c.Store.Save(ctx, r, lease, pause)
}

func (c *cut) Claim(ctx context.Context, claim saga.Claim) (*saga.Record, error) {
	if c.away.Load() {
		return nil, errBroken
	}
	return c.Store.Claim(ctx, claim)
}

// A runner keeps a saga for as long as its step takes. When it cannot renew the lease its step's context ends, another runner does the step again, with the same Key,
// and what the first one comes back with does not count.
func TestRunner_Lease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var first, second diary
		memory := saga.NewMemory(time.Hour)
		store := &cut{Store: memory}
		keys := make(chan string, 2)
		slow := func(d *diary, ends <-chan struct{}) *saga.Definition[Work] {
			return saga.Define("work", 1, saga.Step[Work]{Name: "slow", Timeout: -1, Do: func(ctx context.Context, w *Work) error {
				keys <- fmt.Sprint(saga.Key(ctx), " ", saga.MessageID(ctx))
				select {
				case <-ctx.Done():
					d.note("lost")
				case <-ends:
					d.note("done")
				}
				w.Done = append(w.Done, "by whoever it was")
				return nil // deaf to the end of its context
			}})
		}
		end := make(chan struct{})
		one := saga.NewRunner(slow(&first, nil), store, saga.WithHook(first.hook), saga.WithLease(30*time.Second))
		two := saga.NewRunner(slow(&second, end), memory, saga.WithHook(second.hook))
		defer running(t, one)()
		require.NoError(t, one.Start(t.Context(), "1", Work{}))
		key := <-keys
		defer running(t, two)()
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Empty(t, keys, "it is the first one's")
		store.away.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, []string{"lost"}, first.take())
		assert.Equal(t, key, <-keys, "the same key")
		store.away.Store(false)
		time.Sleep(time.Minute)
		close(end)
		record, v, err := two.Wait(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, saga.Completed, record.State)
		assert.Equal(t, []string{"by whoever it was"}, v.Done)
		assert.Equal(t, []uint64{1, 0, 0, 1, 1}, []uint64{one.Stats().Lost, one.Stats().Completed, two.Stats().Lost, two.Stats().Recovered, two.Stats().Completed})
		assert.ErrorIs(t, first.err(saga.Lost), saga.ErrFenced)
	})
}

// A store that is away for a while costs time and nothing else: a step that is done is not done again.
func TestRunner_StoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		store := &cut{Store: saga.NewMemory(time.Hour)}
		r := saga.NewRunner(saga.Define("work", 1, d.step("a", func(saga.Attempt) error { store.away.Store(true); return nil }), d.step("b", nil)), store, saga.WithHook(d.hook))
		defer running(t, r)()
		require.NoError(t, r.Start(t.Context(), "1", Work{}))
		time.Sleep(20 * time.Second) // less than the lease
		assert.Equal(t, []string{"a"}, d.take())
		assert.ErrorIs(t, d.err(saga.StoreFailed), errBroken)
		store.away.Store(false)
		record, _, err := r.Wait(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, saga.Completed, record.State)
		assert.Equal(t, []string{"b"}, d.take())
	})
}

// Shutdown lets the step in hand end and puts the saga down there. When its time is up the step's context ends.
func TestRunner_Shutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d diary
		begun, end := make(chan struct{}, 1), make(chan struct{})
		first := saga.Step[Work]{Name: "first", Do: func(ctx context.Context, _ *Work) error {
			begun <- struct{}{}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-end:
				d.note("first")
				return nil
			}
		}}
		def, store := saga.Define("work", 1, first, d.step("second", nil)), saga.NewMemory(time.Hour)
		r := saga.NewRunner(def, store, saga.WithHook(d.hook))
		done := make(chan error, 1)
		go func() { done <- r.Run(t.Context()) }() // ended by Shutdown, awaited below
		require.NoError(t, r.Start(t.Context(), "1", Work{}))
		<-begun
		hurry, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := r.Shutdown(hurry)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "1 in hand")
		require.NoError(t, <-done)
		require.NoError(t, r.Run(t.Context()), "it does nothing any more")

		r = saga.NewRunner(def, store, saga.WithHook(d.hook))
		go func() { done <- r.Run(t.Context()) }() // ended by Shutdown, awaited below
		<-begun
		stopped := make(chan error, 1)
		go func() { stopped <- r.Shutdown(t.Context()) }() // ends with the step
		synctest.Wait()
		close(end)
		require.NoError(t, errors.Join(<-stopped, <-done))
		assert.Equal(t, []string{"first"}, d.take())
		record, _, err := r.Get(t.Context(), "1")
		require.NoError(t, err)
		assert.Equal(t, []any{saga.Running, 1, ""}, []any{record.State, record.Step, record.Owner}, "another may take it at once")
	})
}

// What steps send belongs to the conversation in which the saga was started.
func TestRunner_Conversation(t *testing.T) {
	t.Parallel()
	parent := &codec.Envelope{ID: codec.NewID(), CorrelationID: codec.NewID()}
	seen := make(chan *codec.Envelope, 2)
	step := saga.Step[Work]{Name: "a", Do: func(ctx context.Context, _ *Work) error {
		e := *patterns.FromContext(ctx)
		seen <- &e
		return nil
	}}
	r := saga.NewRunner(saga.Define("work", 1, step), saga.NewMemory(time.Hour), saga.WithHook(func(context.Context, saga.Event) {}))
	defer running(t, r)()
	for _, ctx := range []context.Context{patterns.NewContext(t.Context(), parent), t.Context()} {
		require.NoError(t, r.Start(ctx, fmt.Sprint(patterns.FromContext(ctx) != nil), Work{}))
	}
	one, other := <-seen, <-seen
	if one.CorrelationID != parent.CorrelationID {
		one, other = other, one
	}
	assert.Equal(t, parent.CorrelationID, one.CorrelationID)
	assert.Equal(t, parent.ID, one.CausationID)
	assert.False(t, other.CorrelationID.IsZero(), "one of its own")
	assert.NotEqual(t, one.CorrelationID, other.CorrelationID)
}

func TestRunner_RefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	step := saga.Step[Work]{Name: "a", Do: func(context.Context, *Work) error { return nil }}
	good := saga.Define("work", 1, step)
	bad := saga.NewRunner(saga.Define("", 1, step, step, saga.Step[Work]{Name: "b,c", Attempts: -1}, saga.Step[Work]{Name: "d"}, saga.Step[Work]{Name: "e", Do: step.Do, Attempts: -1}), nil,
		saga.WithConcurrency(0), saga.WithLease(time.Millisecond), saga.WithPoll(2, 1), saga.WithCodec(nil), saga.WithDeadline(0), saga.WithHook(nil), saga.WithOlder(saga.Define("other", 1, step)))
	for _, err := range []error{
		bad.Run(t.Context()), bad.Start(t.Context(), "1", Work{}), bad.Resume(t.Context(), "1"),
		func() error { _, _, err := bad.Get(t.Context(), "1"); return err }(),
		func() error { _, err := bad.List(t.Context(), 0, "", 0); return err }(),
	} {
		require.ErrorIs(t, err, socket.ErrOption)
		for _, part := range []string{
			"want a name", `"a": want one of its own`, `"b,c"`, "step d: no Do", "step e: a number below zero", "no store",
			"WithConcurrency(0)", "WithLease(1ms)", "WithPoll(2ns, 1ns)", "WithCodec(nil)", "WithDeadline(0s)", "WithHook(nil)", "WithOlder",
		} {
			assert.ErrorContains(t, err, part)
		}
	}
	r := saga.NewRunner(good, saga.NewMemory(time.Hour), saga.WithHook(func(context.Context, saga.Event) {}))
	require.ErrorIs(t, r.Start(t.Context(), "", Work{}), socket.ErrOption)
	require.NoError(t, r.Start(t.Context(), "1", Work{}))
	require.ErrorIs(t, r.Start(t.Context(), "1", Work{}), saga.ErrExists)
	_, _, err := r.Get(t.Context(), "2")
	require.ErrorIs(t, err, saga.ErrNotFound)
	require.ErrorIs(t, r.Resume(t.Context(), "2"), saga.ErrNotFound)
	require.ErrorIs(t, r.Resume(t.Context(), "1"), saga.ErrState)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = r.Wait(gone, "1")
	require.ErrorIs(t, err, context.Canceled)
}
