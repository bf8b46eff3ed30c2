// Package sagatest has the tests that every saga.Store must pass.
package sagatest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/saga"
)

// Fixture makes an empty store. The function that comes with it returns the store as another process finds it after this one has died, and all leases have run out.
type Fixture func(t *testing.T) (store saga.Store, crash func() saga.Store)

const lease = time.Minute // longer than any test

func record(id string) *saga.Record {
	return &saga.Record{
		ID: id, Definition: "trip", Version: 2, Steps: "a,b", State: saga.Running, Codec: "json", Data: []byte("{}"),
		Correlation: saga.Correlation{CorrelationID: codec.NewID(), CausationID: codec.NewID()},
	}
}

func claim(t *testing.T, s saga.Store, owner string) *saga.Record {
	t.Helper()
	r, err := s.Claim(t.Context(), saga.Claim{Definition: "trip", Versions: []int{1, 2}, Owner: owner, Lease: lease})
	require.NoError(t, err)
	return r
}

// Store checks that a store does what its interface says.
func Store(t *testing.T, fixture Fixture) {
	t.Run("keeps what it is given", func(t *testing.T) {
		t.Parallel()
		s, _ := fixture(t)
		r := record("1")
		require.NoError(t, s.Create(t.Context(), r))
		require.ErrorIs(t, s.Create(t.Context(), r), saga.ErrExists)
		got, err := s.Get(t.Context(), "1")
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now(), got.Created, time.Minute)
		got.Created, got.Updated = time.Time{}, time.Time{}
		assert.Equal(t, r, got)
		_, err = s.Get(t.Context(), "2")
		require.ErrorIs(t, err, saga.ErrNotFound)
	})
	t.Run("gives each saga to one", func(t *testing.T) {
		t.Parallel()
		s, _ := fixture(t)
		const sagas = 20
		for i := range sagas {
			require.NoError(t, s.Create(t.Context(), record(fmt.Sprint(i))))
		}
		other := record("of another version")
		other.Version = 3
		require.NoError(t, s.Create(t.Context(), other))
		var all sync.WaitGroup
		var mu sync.Mutex
		owners := make(map[string]string)
		for w := range 4 {
			all.Go(func() { // ends when there is none left, awaited below
				for {
					r, err := s.Claim(t.Context(), saga.Claim{Definition: "trip", Versions: []int{1, 2}, Owner: fmt.Sprint(w), Lease: lease})
					if !assert.NoError(t, err) || r == nil {
						return
					}
					mu.Lock()
					assert.Empty(t, owners[r.ID], "%s was given twice", r.ID)
					owners[r.ID] = fmt.Sprint(w)
					mu.Unlock()
					assert.Equal(t, fmt.Sprint(w), r.Owner)
				}
			})
		}
		all.Wait()
		// A pass over a row that another claim has locked may have ended one early.
		for r := claim(t, s, "last"); r != nil; r = claim(t, s, "last") {
			owners[r.ID] = "last"
		}
		assert.Len(t, owners, sagas)
	})
	t.Run("fences", func(t *testing.T) {
		t.Parallel()
		s, crash := fixture(t)
		require.NoError(t, s.Create(t.Context(), record("1")))
		first := claim(t, s, "first")
		require.NotNil(t, first)
		assert.Nil(t, claim(t, s, "second"))
		first.Step, first.Attempt, first.Data = 1, 2, []byte("{1}")
		require.NoError(t, s.Save(t.Context(), first, lease, 0))
		s = crash()
		second := claim(t, s, "second")
		require.NotNil(t, second)
		assert.Equal(t, []int{1, 2, 1}, []int{second.Step, second.Attempt, second.Crashes})
		assert.Equal(t, "{1}", string(second.Data))
		assert.Greater(t, second.Epoch, first.Epoch)
		first.Step = 5
		require.ErrorIs(t, s.Save(t.Context(), first, lease, 0), saga.ErrFenced)
		second.Crashes, second.Attempt = 0, 3
		require.NoError(t, s.Save(t.Context(), second, 0, 0))
		require.ErrorIs(t, s.Save(t.Context(), second, 0, 0), saga.ErrFenced, "it is nobody's")
		third := claim(t, s, "third")
		require.NotNil(t, third)
		assert.Equal(t, []int{1, 3, 0}, []int{third.Step, third.Attempt, third.Crashes}, "it was let go, which is no crash")
		require.ErrorIs(t, s.Save(t.Context(), record("2"), 0, 0), saga.ErrNotFound)
	})
	t.Run("waits", func(t *testing.T) {
		t.Parallel()
		s, _ := fixture(t)
		require.NoError(t, s.Create(t.Context(), record("1")))
		r := claim(t, s, "me")
		require.NotNil(t, r)
		require.NoError(t, s.Save(t.Context(), r, 0, time.Hour))
		assert.Nil(t, claim(t, s, "me"))
	})
	t.Run("parks", func(t *testing.T) {
		t.Parallel()
		s, _ := fixture(t)
		require.NoError(t, s.Create(t.Context(), record("1")))
		of := func(id string) *saga.Record {
			r, err := s.Claim(t.Context(), saga.Claim{Definition: "trip", Owner: "me", Lease: lease, ID: id})
			require.NoError(t, err)
			return r
		}
		assert.Nil(t, of("1"), "it is not parked")
		r := claim(t, s, "me")
		require.NotNil(t, r)
		r.State, r.Back, r.Reason = saga.Parked, true, "why"
		require.NoError(t, s.Save(t.Context(), r, 0, 0))
		assert.Nil(t, claim(t, s, "me"))
		assert.Nil(t, of("2"))
		r = of("1")
		require.NotNil(t, r)
		assert.True(t, r.Back)
		assert.Equal(t, "why", r.Reason)
	})
	t.Run("lists", func(t *testing.T) {
		t.Parallel()
		s, crash := fixture(t)
		for _, id := range []string{"a", "B", "c"} {
			require.NoError(t, s.Create(t.Context(), record(id)))
		}
		other := record("d")
		other.Definition = "other"
		require.NoError(t, s.Create(t.Context(), other))
		r := claim(t, s, "me")
		require.NotNil(t, r)
		r.State = saga.Completed
		require.NoError(t, s.Save(t.Context(), r, 0, 0))
		for _, s := range []saga.Store{s, crash()} {
			assert.Equal(t, []string{"B", "a", "c", "d"}, ids(t, s, saga.Query{}))
			assert.Equal(t, []string{"a", "c"}, ids(t, s, saga.Query{Definition: "trip", After: "B"}))
			assert.Equal(t, []string{"B"}, ids(t, s, saga.Query{Limit: 1}))
			assert.Equal(t, []string{r.ID}, ids(t, s, saga.Query{State: saga.Completed}))
		}
	})
}

func ids(t *testing.T, s saga.Store, q saga.Query) (ids []string) {
	t.Helper()
	found, err := s.List(t.Context(), q)
	require.NoError(t, err)
	for _, r := range found {
		assert.Empty(t, r.Data)
		ids = append(ids, r.ID)
	}
	return ids
}

// within returns a context that ends after a time no test should need.
func within(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), time.Minute)
}
