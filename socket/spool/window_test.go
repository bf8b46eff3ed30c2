package spool_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

func TestWindowKnowsWhatWasHandled(t *testing.T) {
	t.Parallel()
	fs, ctx := spooltest.NewMem(), bounded(t)
	o := spool.WindowOptions{Count: 1000, SegmentSize: 64 << 10, Policy: spool.OS}
	w, err := spool.OpenWindowFS(fs, o)
	require.NoError(t, err)
	mark := func(n uint64) spool.Mark {
		return spool.Mark{Stream: spool.ID{1}, Incarnation: 1, Number: n, ID: fmt.Sprint("id-", n)}
	}
	for n := range uint64(5000) {
		require.NoError(t, w.Mark(ctx, mark(n+1)))
	}
	for range 2 {
		assert.Equal(t, 1000, w.Len())
		for n := uint64(4001); n <= 5000; n++ {
			require.True(t, w.Seen(spool.Mark{Stream: spool.ID{1}, Incarnation: 1, Number: n}))
			require.True(t, w.Seen(spool.Mark{ID: fmt.Sprint("id-", n)}))
		}
		assert.False(t, w.Seen(mark(4000)), "the window is bounded")
		assert.False(t, w.Seen(spool.Mark{Stream: spool.ID{2}, Incarnation: 1, Number: 5000}))
		assert.False(t, w.Seen(spool.Mark{Stream: spool.ID{1}, Incarnation: 2, Number: 5000}))
		require.NoError(t, w.Close())
		w, err = spool.OpenWindowFS(fs.Crash(nil), o)
		require.NoError(t, err)
	}
	require.ErrorIs(t, w.Mark(ctx, spool.Mark{}), spool.ErrName)
	require.ErrorIs(t, w.Mark(ctx, spool.Mark{ID: string(make([]byte, 65))}), spool.ErrName)
	require.NoError(t, w.Close())
	_, err = spool.OpenFS(fs, small)
	require.ErrorIs(t, err, spool.ErrKind)
}

// What stands in the place of another message, or has its id, is told from what comes again, also after the window was opened anew. Where no sum is known nothing clashes.
func TestWindowTellsMessagesApart(t *testing.T) {
	t.Parallel()
	fs := spooltest.NewMem()
	w, err := spool.OpenWindowFS(fs, spool.WindowOptions{SegmentSize: 64 << 10})
	require.NoError(t, err)
	stream := spool.ID{1}
	require.NoError(t, w.Mark(bounded(t),
		spool.Mark{Stream: stream, Number: 1, Sum: 10, ID: "a", Body: 20}, spool.Mark{Stream: stream, Number: 2, Sum: 11}, spool.Mark{Stream: stream, Number: 3, ID: "c"},
		spool.Mark{ID: "d", Sum: 12, Body: 21}, spool.Mark{Stream: stream, Number: 4, Sum: 13, ID: "e"}))
	for range 2 {
		for _, test := range []struct {
			mark      spool.Mark
			place, id bool
		}{
			{spool.Mark{Stream: stream, Number: 1, Sum: 10, ID: "a", Body: 20}, false, false},
			{spool.Mark{Stream: stream, Number: 1, Sum: 10, ID: "a", Body: 99}, false, false}, // other ids than before, of the same message
			{spool.Mark{Stream: stream, Number: 1, Sum: 99, ID: "a", Body: 99}, true, false},
			{spool.Mark{Stream: stream, Number: 9, Sum: 99, ID: "a", Body: 20}, false, false},
			{spool.Mark{Stream: stream, Number: 9, Sum: 99, ID: "a", Body: 99}, false, true},
			{spool.Mark{Stream: stream, Number: 2, Sum: 99}, true, false},
			{spool.Mark{Stream: stream, Number: 2}, false, false},
			{spool.Mark{Stream: stream, Number: 3, Sum: 99, ID: "c", Body: 99}, false, false},
			{spool.Mark{ID: "c", Sum: 99, Body: 99}, false, false},
			{spool.Mark{ID: "d", Sum: 99, Body: 21}, false, false},
			{spool.Mark{ID: "d", Sum: 99, Body: 99}, false, true},
			{spool.Mark{ID: "e", Sum: 99, Body: 99}, false, false},
		} {
			require.True(t, w.Seen(test.mark), "%+v", test.mark)
			place, id := w.Clash(test.mark)
			assert.Equal(t, []bool{test.place, test.id}, []bool{place, id}, "%+v", test.mark)
		}
		require.NoError(t, w.Close())
		w, err = spool.OpenWindowFS(fs.Crash(nil), spool.WindowOptions{SegmentSize: 64 << 10})
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
}

// What a window was told twice it knows for as long as the last time says, by its place and by its id, also when it was opened anew meanwhile.
func TestWindowRemembersFromTheLastTime(t *testing.T) {
	t.Parallel()
	for _, anew := range []bool{false, true} {
		fs, o := spooltest.NewMem(), spool.WindowOptions{Count: 3, SegmentSize: 64 << 10}
		w, err := spool.OpenWindowFS(fs, o)
		require.NoError(t, err)
		mark := func(n uint64) spool.Mark {
			return spool.Mark{Stream: spool.ID{1}, Incarnation: 1, Number: n, ID: fmt.Sprint("id-", n)}
		}
		require.NoError(t, w.Mark(bounded(t), mark(1), mark(2), mark(1)))
		for n := uint64(3); n <= 5; n++ {
			if anew {
				require.NoError(t, w.Close())
				w, err = spool.OpenWindowFS(fs, o)
				require.NoError(t, err)
			}
			require.NoError(t, w.Mark(bounded(t), mark(n)))
			assert.Equal(t, n < 5, w.Seen(spool.Mark{Stream: spool.ID{1}, Incarnation: 1, Number: 1}), "its place, with %d later ones", n-2)
			assert.Equal(t, n < 5, w.Seen(spool.Mark{ID: "id-1"}), "its id, with %d later ones", n-2)
		}
		require.NoError(t, w.Close())
	}
}

// What Mark has returned nil for is known after a loss of power at any moment that follows, whatever became of what was not synced.
func TestWindowKnowsAfterALossOfPower(t *testing.T) {
	t.Parallel()
	fs, ctx := spooltest.NewMem(), bounded(t)
	o := spool.WindowOptions{Count: 500, SegmentSize: 64 << 10}
	w, err := spool.OpenWindowFS(fs, o)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(7, 8))
	mark := func(n uint64) spool.Mark {
		return spool.Mark{Stream: spool.ID{1}, Incarnation: 1, Number: n, ID: fmt.Sprint("id-", n)}
	}
	for n := uint64(1); n <= 2000; n++ {
		require.NoError(t, w.Mark(ctx, mark(n)))
		if n%100 > 0 {
			continue
		}
		for _, left := range []*spooltest.Mem{fs.Synced(), fs.Crash(rng), fs.Crash(rng)} {
			after, err := spool.OpenWindowFS(left, o)
			require.NoError(t, err)
			for known := max(500, n) - 499; known <= n; known++ {
				require.True(t, after.Seen(mark(known)), "%d of %d", known, n)
			}
			require.NoError(t, after.Close())
		}
	}
	require.NoError(t, w.Close())
}

func TestWindowForgetsByAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs, ctx := spooltest.NewMem(), t.Context()
		o := spool.WindowOptions{Age: time.Minute, SegmentSize: 64 << 10}
		w, err := spool.OpenWindowFS(fs, o)
		require.NoError(t, err)
		require.NoError(t, w.Mark(ctx, spool.Mark{ID: "a"}))
		time.Sleep(time.Minute)
		assert.True(t, w.Seen(spool.Mark{ID: "a"}))
		time.Sleep(time.Millisecond)
		assert.False(t, w.Seen(spool.Mark{ID: "a"}))
		require.NoError(t, w.Close())
		w, err = spool.OpenWindowFS(fs, o)
		require.NoError(t, err)
		assert.True(t, w.Seen(spool.Mark{ID: "a"}), "never shorter than promised")
		require.NoError(t, w.Close())
	})
}

// TestClockJumps_Window sets the clock of a window forth and back, also while it is closed: it forgets by the time that has passed while it was open, and nothing earlier.
func TestClockJumps_Window(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := &clocked{FS: spooltest.NewMem()}
		o := spool.WindowOptions{Age: time.Hour, SegmentSize: 64 << 10, Policy: spool.OS}
		w, err := spool.OpenWindowFS(fs, o)
		require.NoError(t, err)
		require.NoError(t, w.Mark(t.Context(), spool.Mark{ID: "a"}))
		for _, ahead := range clockJumps {
			fs.ahead.Store(int64(ahead))
			time.Sleep(time.Minute)
			assert.True(t, w.Seen(spool.Mark{ID: "a"}), "clock %s ahead", ahead)
			require.NoError(t, w.Close())
			w, err = spool.OpenWindowFS(fs, o)
			require.NoError(t, err)
			assert.True(t, w.Seen(spool.Mark{ID: "a"}), "opened, clock %s ahead", ahead)
		}
		fs.ahead.Store(0)
		time.Sleep(time.Hour)
		assert.True(t, w.Seen(spool.Mark{ID: "a"}))
		fs.ahead.Store(-int64(time.Hour))
		time.Sleep(time.Millisecond)
		assert.False(t, w.Seen(spool.Mark{ID: "a"}), "its hour is over, whatever the clock says")
		require.NoError(t, w.Close())
	})
}

// TestWindowTellsOfDamage: whatever bit is flipped, or file is gone, a window says how many of its marks are missing, and has the others; marks beyond it are missed by nobody.
func TestWindowTellsOfDamage(t *testing.T) {
	t.Parallel()
	const count, n = 1800, 2400 // the first segment has marks that count, and others
	fs, ctx := spooltest.NewMem(), bounded(t)
	o := spool.WindowOptions{Count: count, SegmentSize: 64 << 10, Policy: spool.OS}
	w, err := spool.OpenWindowFS(fs, o)
	require.NoError(t, err)
	mark := func(n uint64) spool.Mark { return spool.Mark{Stream: spool.ID{1}, Incarnation: 1, Number: n} }
	for i := range uint64(n) {
		require.NoError(t, w.Mark(ctx, mark(i+1)))
	}
	require.NoError(t, w.Recovery().Err())
	require.NoError(t, w.Close())
	all := slices.Sorted(slices.Values(segments(t, fs)))
	require.GreaterOrEqual(t, len(all), 3)
	tells := func(what string, hurt *spooltest.Mem) spool.Recovery {
		w, err := spool.OpenWindowFS(hurt, o)
		require.NoError(t, err, what)
		defer w.Close()
		missing := uint64(0)
		for i := uint64(n - count + 1); i <= n; i++ {
			if !w.Seen(mark(i)) {
				missing++
			}
		}
		r := w.Recovery()
		require.Equal(t, r, w.Stats().Recovery, what)
		require.Zero(t, r.Torn, what)
		require.Equal(t, missing, r.Missing, what)
		if missing > 0 || len(r.Damage) > 0 {
			require.ErrorIs(t, r.Err(), spool.ErrDamaged, what)
		} else {
			require.NoError(t, r.Err(), what)
		}
		return r
	}
	require.NoError(t, tells("sound", fs.Crash(nil)).Err())
	touched := 0
	for i, name := range all {
		for bit := int64(spool.DataStart*8 + i); bit < int64(len(ended(fs.Bytes(name), 0)))*8; bit += 10007 {
			hurt := fs.Crash(nil)
			hurt.Flip(name, bit)
			r := tells(fmt.Sprint(name, " bit ", bit), hurt)
			require.LessOrEqual(t, r.Missing, uint64(1))
			touched += int(r.Missing)
		}
		if i < len(all)-1 {
			hurt := fs.Crash(nil)
			require.NoError(t, hurt.Remove(name))
			r := tells("without "+name, hurt)
			require.Greater(t, r.Missing, uint64(100))
			require.ErrorContains(t, r.Err(), fmt.Sprint("marks missing: ", r.Missing))
		}
	}
	require.Greater(t, touched, 50, "bits of marks")
}
