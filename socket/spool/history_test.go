package spool_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// interval is when a call began and returned, on a clock that all share.
type interval struct{ from, to int64 }

// before reports whether a had returned when b began.
func (a interval) before(b interval) bool { return a.to < b.from }

// sighting is a reader's answer to the question what comes at a number: that message, or a later one.
type sighting struct {
	interval
	at, got uint64 // got 0: nothing
}

// calls is what callers saw of a log.
type calls struct {
	clock atomic.Int64
	mu    sync.Mutex // guards the fields below
	sent  map[uint64]interval
	acked map[uint64]interval
	seen  []sighting
}

func (c *calls) during(do func()) interval {
	i := interval{from: c.clock.Add(1)}
	do()
	i.to = c.clock.Add(1)
	return i
}

// check looks for a place in time for each call. Messages do not depend on each other, but for the order of their
// numbers, and each of them is first absent, then there, then acknowledged: so calls have their places if those
// about each message have (linearizability is local).
func (c *calls) check(t *testing.T) {
	t.Helper()
	latest := int64(0) // when a message with a lower number was sent for the first time
	for n := uint64(1); n <= uint64(len(c.sent)); n++ {
		call, ok := c.sent[n]
		require.True(t, ok, "no call got number %d", n)
		require.GreaterOrEqual(t, call.to, latest, "message %d was sent before one with a lower number", n)
		latest = max(latest, call.from)
	}
	for _, s := range c.seen {
		if s.got > 0 {
			require.False(t, s.before(c.sent[s.got]), "message %d was read before it was sent", s.got)
			ack, ok := c.acked[s.got]
			require.False(t, ok && ack.before(s.interval), "message %d was read after it had been acknowledged", s.got)
		}
		end := s.got
		if end == 0 {
			end = uint64(len(c.sent)) + 1
		}
		for n := s.at; n < end; n++ { // passed over: not sent yet, or acknowledged
			ack, acked := c.acked[n]
			there := c.sent[n].before(s.interval) && (!acked || s.before(ack))
			require.False(t, there, "message %d was there and was passed over", n)
		}
	}
}

// TestHistoryIsLinearizable lets four goroutines send, read, acknowledge and make room at once, and looks whether what
// they saw could have happened one call after the other.
func TestHistoryIsLinearizable(t *testing.T) {
	t.Parallel()
	for round := range uint64(rounds(3, 200)) {
		l := open(t, spooltest.NewMem(), small)
		c := &calls{sent: make(map[uint64]interval), acked: make(map[uint64]interval)}
		ctx, each := context.Background(), rounds(150, 400)
		var wg sync.WaitGroup
		for g := range uint64(4) {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(round, g))
				for range each {
					at := rng.Uint64N(l.Next()) + 1
					switch k := rng.IntN(20); {
					case k < 8:
						c.send(ctx, t, l)
					case k < 12:
						c.ack(t, l, at)
					case k < 19:
						c.look(t, l, at)
					default:
						assert.NoError(t, l.Release(ctx))
					}
				}
			})
		}
		wg.Wait()
		c.check(t)
		require.NoError(t, l.Close())
	}
}

func (c *calls) send(ctx context.Context, t *testing.T, l *spool.Log) {
	var n uint64
	var err error
	i := c.during(func() { n, err = l.Append(ctx, make([]byte, 1000)) })
	assert.NoError(t, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent[n] = i
}

// ack acknowledges message n unless somebody has begun to.
func (c *calls) ack(t *testing.T, l *spool.Log, n uint64) {
	c.mu.Lock()
	_, sent := c.sent[n]
	_, acked := c.acked[n]
	if !sent || acked {
		c.mu.Unlock()
		return
	}
	c.acked[n] = interval{from: c.clock.Add(1), to: 1 << 62}
	c.mu.Unlock()
	assert.NoError(t, l.Queue().Ack(n, n))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked[n] = interval{from: c.acked[n].from, to: c.clock.Add(1)}
}

// look reads what is pending from message n on.
func (c *calls) look(t *testing.T, l *spool.Log, n uint64) {
	s := sighting{at: n}
	s.interval = c.during(func() {
		r := l.Queue().From(n)
		defer r.Close()
		rec, err := r.TryNext()
		if !errors.Is(err, io.EOF) {
			assert.NoError(t, err)
		}
		s.got = rec.Number
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, s)
}
