package reqrep

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestPace(t *testing.T) {
	t.Parallel()
	var p pace
	assert.False(t, p.brief(), "nobody knows")
	note := func(n int, took time.Duration) {
		for range n {
			p.note(took)
		}
	}
	note(100, time.Microsecond)
	assert.True(t, p.brief())
	note(1, time.Hour)
	assert.False(t, p.brief(), "one that hangs is enough for a while")
	note(50, time.Microsecond)
	assert.False(t, p.brief())
	note(100, time.Microsecond)
	assert.True(t, p.brief())
	note(1000, 11*time.Microsecond)
	assert.False(t, p.brief())
}

// Whoever handles a call of a brief method is relieved when that takes long, of another at once.
func TestRelief(t *testing.T) {
	t.Parallel()
	brief, long, stream := &method{}, &method{}, &method{info: MethodInfo{Streams: true}}
	for range 100 {
		brief.meter.pace.note(0)
		stream.meter.pace.note(0)
	}
	synctest.Test(t, func(t *testing.T) {
		relieved := 0
		r := newRelief(func() { relieved++ })
		expect := func(after time.Duration, n int) {
			t.Helper()
			<-time.After(after)
			synctest.Wait()
			assert.Equal(t, n, relieved)
			relieved = 0
		}
		expect(time.Hour, 0)
		assert.False(t, r.begin(long))
		expect(0, 1)
		assert.False(t, r.begin(stream))
		expect(0, 1)

		for range 10 {
			r.end(r.begin(brief))
			expect(overdue/3, 0)
		}
		expect(time.Hour, 0)
		stuck := r.begin(brief)
		assert.True(t, stuck)
		expect(overdue/2, 0)
		r.end(r.begin(brief)) // another has come back, and may have found something else to do
		expect(2*overdue, 1)
		again := r.begin(brief)
		expect(2*overdue, 1)
		expect(time.Hour, 0)
		r.end(stuck)
		r.end(again)
		r.end(r.begin(brief))
		expect(time.Hour, 0)
	})
}
