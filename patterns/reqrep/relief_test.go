package reqrep

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
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
			r.end(brief, r.begin(brief), time.Now())
			expect(overdue/3, 0)
		}
		expect(time.Hour, 0)
		stuck := r.begin(brief)
		assert.True(t, stuck)
		expect(overdue/2, 0)
		r.end(brief, r.begin(brief), time.Now()) // another has come back, and may have found something else to do
		expect(2*overdue, 1)
		again := r.begin(brief)
		expect(2*overdue, 1)
		expect(time.Hour, 0)
		r.end(brief, stuck, time.Now())
		r.end(brief, again, time.Now())
		r.end(brief, r.begin(brief), time.Now())
		expect(time.Hour, 0)

		r.end(brief, r.begin(brief), time.Now().Add(-time.Second))
		expect(time.Hour, 0)
		assert.False(t, r.begin(brief), "to reply took long")
		expect(0, 1)
	})
}

// A hook may take its time, and others are answered meanwhile.
func TestRelief_Hook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told, back := make(chan struct{}), make(chan struct{})
		service := NewService(patterns.WithOnError(func(context.Context, error) { told <- struct{}{}; <-back }))
		client := NewClient()
		require.NoError(t, Handle(service, "empty", func(_ context.Context, in string) (string, error) {
			if in == "" {
				return in, nil
			}
			return "", errors.New("not empty")
		}))
		endpoint, err := service.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- service.Run(context.Background()) }() // ended below
		require.NoError(t, client.Connect(endpoint))
		require.NoError(t, client.WaitPeers(t.Context(), 1))
		call := func(method, in string) error {
			_, err := Call[string, string](t.Context(), client, method, in)
			return err
		}
		for _, c := range [][2]string{{"empty", "not at all"}, {"missing", ""}} {
			for range 2 * paceCalls {
				require.NoError(t, call("empty", ""))
			}
			refused := make(chan error, 1)
			go func() { refused <- call(c[0], c[1]) }() // ended below
			<-told
			began := time.Now()
			require.NoError(t, call("empty", ""))
			assert.Zero(t, time.Since(began), c[0])
			back <- struct{}{}
			require.Error(t, <-refused)
		}
		require.NoError(t, client.Close())
		require.NoError(t, service.Close())
		require.NoError(t, <-ended)
	})
}
