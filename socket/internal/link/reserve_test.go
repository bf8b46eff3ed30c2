package link

import (
	"context"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReserveFor(t *testing.T) {
	t.Parallel()
	const none = math.MaxInt64
	tests := []struct {
		name string
		goals
		held int
		busy bool
		want int
	}{
		{"of a small heap", goals{4 << 20, 100, none}, 0, true, 16 << 20},
		{"of a small heap with little to do", goals{4 << 20, 100, none}, 0, false, 0},
		{"that is there already", goals{(4 + 16) << 20, 100, none}, 16 << 20, true, 16 << 20},
		{"that is there already while the collector lets much live", goals{(31 + 16) << 20, 100, none}, 16 << 20, true, 16 << 20},
		{"of a heap that has grown large", goals{(32 + 16) << 20, 100, none}, 16 << 20, true, 0},
		{"of a large heap", goals{16 << 20, 100, none}, 0, true, 0},
		{"where the collector runs seldom", goals{1 << 20, 400, none}, 0, true, 4 << 20},
		{"where it runs often", goals{1 << 20, 50, none}, 0, true, 32 << 20},
		{"where it does not run", goals{1 << 20, math.MaxUint64, none}, 0, true, 0},
		{"where it always runs", goals{1 << 20, 0, none}, 0, true, 0},
		{"under a low memory limit", goals{1 << 20, 100, 255 << 20}, 0, true, 0},
		{"under a high memory limit", goals{1 << 20, 100, 256 << 20}, 0, true, 16 << 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, reserveFor(tt.goals, tt.held, tt.busy))
		})
	}
}

// A process that receives fast has the reserve, and gives it up when that is over. It runs alone: others' memory, where it is much, leaves no need of one.
func TestReserve_IsThereWhileBusy(t *testing.T) {
	var r reserve
	holds := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.held != nil
	}
	r.spend(lookEvery - 1)
	assert.False(t, r.watching.Load(), "before anything is worth a look")
	g := readGoals()
	g.live = 0
	if reserveFor(g, 0, true) == 0 {
		t.Skip("GOGC or GOMEMLIMIT leave no room for a reserve")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 2 { // it comes back
		for !holds() {
			require.NoError(t, ctx.Err())
			r.spend(1 << 30)
			runtime.GC()
		}
		assert.True(t, r.watching.Load())
		for holds() {
			require.NoError(t, ctx.Err())
			runtime.GC()
		}
		assert.False(t, r.watching.Load(), "a process with little to do is left alone")
	}
}

// Memory that is used again counts as much: what messages are made into is to be collected in their place. It does not run beside others, which spend, too.
func TestReserve_CountsWhatIsUsedAgain(t *testing.T) {
	for _, size := range []int{100, 100_000} {
		const all = 16 << 20
		before := heap.spent.Load()
		chunksOf(t, all/size, size, func(_ int, l *Lease, frames [][]byte) { l.Release(frames) })
		assert.GreaterOrEqual(t, heap.spent.Load()-before, int64(all*9/10), size)
	}
}

// What comes at once and is not followed by more is no rate: a process whose peers announce large messages and then say nothing has no reserve.
func TestReserve_NotForABurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := reserve{seen: -lookEvery, at: time.Now()} // somebody looks, since that much was spent before
		r.watching.Store(true)
		time.Sleep(time.Millisecond)
		r.spent.Store(-1)
		r.look()
		assert.True(t, r.watching.Load(), "too early to say")
		time.Sleep(soon)
		r.look()
		assert.False(t, r.watching.Load(), "it was not busy")
		assert.Nil(t, r.held)
	})
}
