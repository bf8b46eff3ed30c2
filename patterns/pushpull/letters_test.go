package pushpull_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// Refund is another type than Order, in the same spool.
type Refund struct{ Cents int }

// refuser takes messages as they are, and rejects them.
func refuser(t *testing.T, p interface{ Connect(string) error }) *socket.Pull {
	t.Helper()
	pull := socket.NewPull(socket.WithAck(), socket.WithManualAck())
	t.Cleanup(func() { pull.Close() })
	addr, err := pull.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, p.Connect(addr))
	return pull
}

// takeAll returns the frames of n messages, which it answers with say.
func takeAll(t *testing.T, pull *socket.Pull, n int, say func(socket.Msg) error) (all [][][]byte) {
	t.Helper()
	for range n {
		m, err := pull.Recv(within(t))
		require.NoError(t, err)
		all = append(all, m.Clone().Frames)
		require.NoError(t, say(m))
	}
	return all
}

// Dead letters of any type, and those that are none of ours, are sent again as they were, all or those of a type, by a producer of whatever type has the spool.
func TestReplay_LettersOfAnyType(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keep := patterns.WithSpool(dir, small)
	orders := pushpull.NewProducer[Order](keep)
	id := codec.NewID()
	require.NoError(t, orders.Send(within(t), Order{Item: "tea"}, patterns.WithID(id), patterns.WithHeader("tenant", "acme")))
	require.NoError(t, orders.Push.Send(within(t), []byte("no envelope"), []byte{0, 1}))
	require.ErrorIs(t, orders.Close(), socket.ErrSpooled)
	refunds := pushpull.NewProducer[Refund](keep)
	t.Cleanup(func() { refunds.Close() })
	require.NoError(t, refunds.Send(within(t), Refund{5}))
	pull := refuser(t, refunds)
	reject := func(m socket.Msg) error { return m.Nack(socket.Reject("no")) }
	sent := takeAll(t, pull, 3, reject)
	require.NoError(t, refunds.WaitAcked(within(t)))

	n, err := refunds.Replay(within(t), 1000, refunds.Holds)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	ack := func(m socket.Msg) error { return m.Ack() }
	assert.Equal(t, sent[2:], takeAll(t, pull, 1, ack))
	n, err = refunds.Replay(within(t), 1000, nil)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	again := takeAll(t, pull, 2, ack)
	assert.Equal(t, sent[:2], again)
	var e codec.Envelope
	require.NoError(t, e.Decode(again[0][0]))
	assert.Equal(t, []string{id.String(), "Order", "acme"}, []string{e.ID.String(), e.Type, e.Header("tenant")})
}

// Row 29 of the fault plan, from disk: a letter says how often it failed, why, when, and which message of the spool it was, also when it was replayed and died again.
func TestDeadLetters_SayWhatTheyWere(t *testing.T) {
	t.Parallel()
	begun := time.Now().Truncate(0)
	p := pushpull.NewProducer[Order](patterns.WithSpool(t.TempDir(), small), quick())
	t.Cleanup(func() { p.Close() })
	pull := refuser(t, p)
	for i := range 3 {
		require.NoError(t, p.Send(within(t), Order{Number: i}))
		want := func(m socket.Msg) error { return m.Ack() }
		if i == 1 {
			want = func(m socket.Msg) error { return m.Nack(socket.Nack{Reason: "busy"}) }
			takeAll(t, pull, 2, want)
		}
		takeAll(t, pull, 1, want)
	}
	for lives := range 2 {
		require.NoError(t, p.WaitAcked(within(t)))
		found := 0
		for d, err := range p.DeadLetters() {
			require.NoError(t, err)
			assert.Equal(t, 3, d.Attempts)
			assert.Equal(t, "3 deliveries failed, the last one: busy", d.Reason)
			assert.EqualValues(t, 2, d.Number)
			assert.False(t, d.Buried.Before(begun) || d.Buried.After(time.Now()), "%v", d.Buried)
			found++
		}
		require.Equal(t, 1, found)
		if lives == 0 {
			n, err := p.Replay(within(t), 1000, nil)
			require.NoError(t, err)
			require.Equal(t, 1, n)
			takeAll(t, pull, 3, func(m socket.Msg) error { return m.Nack(socket.Nack{Reason: "busy"}) })
		}
	}
}

// Where there is no spool, what WithDeadLetters is told of can be sent again as it was.
func TestResend_AsItWas(t *testing.T) {
	t.Parallel()
	died, dead := graves()
	p := pushpull.NewProducer[Order](assured, died)
	t.Cleanup(func() { p.Close() })
	pull := refuser(t, p)
	require.NoError(t, p.Send(within(t), Order{Item: "tea"}, patterns.WithHeader("tenant", "acme")))
	sent := takeAll(t, pull, 1, func(m socket.Msg) error { return m.Nack(socket.Reject("no")) })
	d := <-dead
	assert.True(t, p.Holds(d))
	assert.False(t, pushpull.NewProducer[Refund]().Holds(d))
	require.NoError(t, p.Resend(within(t), d))
	assert.Equal(t, sent, takeAll(t, pull, 1, func(m socket.Msg) error { return m.Ack() }))
	require.ErrorIs(t, p.Resend(within(t), patterns.DeadLetter{}), patterns.ErrMalformed)
}

// Letters that are lost to damage hold up no others, and are told of until they are let go of.
func TestReplay_SaysWhatIsLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keep := patterns.WithSpool(dir, small)
	p := pushpull.NewProducer[Order](keep)
	pull := refuser(t, p)
	items := []string{"first", "spoilt-item", "last"}
	for _, item := range items {
		require.NoError(t, p.Send(within(t), Order{Item: item}))
	}
	takeAll(t, pull, len(items), func(m socket.Msg) error { return m.Nack(socket.Reject("no")) })
	require.NoError(t, p.WaitAcked(within(t)))
	require.NoError(t, p.Close())
	spoil(t, filepath.Join(dir, "dead"), "spoilt-item")

	p = pushpull.NewProducer[Order](keep)
	t.Cleanup(func() { p.Close() })
	pull = refuser(t, p)
	n, err := p.Replay(within(t), 1000, nil)
	assert.Equal(t, 2, n)
	var gap *spool.Gap
	require.ErrorAs(t, err, &gap)
	assert.Equal(t, &spool.Gap{From: 2, To: 2, Damaged: true}, gap)
	takeAll(t, pull, 2, func(m socket.Msg) error { return m.Ack() })
	_, err = p.Replay(within(t), 1000, nil)
	require.ErrorAs(t, err, &gap)
	n, err = p.Purge(nil)
	require.NoError(t, err)
	assert.Zero(t, n)
	_, err = p.Replay(within(t), 1000, nil)
	require.NoError(t, err)
}

// spoil changes a byte of text, wherever a file of the folder has it.
func spoil(t *testing.T, dir, text string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	spoilt := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		if i := bytes.Index(b, []byte(text)); i >= 0 {
			b[i] ^= 1
			require.NoError(t, os.WriteFile(f, b, 0o600))
			spoilt++
		}
	}
	require.Positive(t, spoilt)
}

// Row 30 of the fault plan: while the disk refuses dead letters, messages that are given up stay in the spool, others go on, and each is a letter once the disk is mended: at once, or
// where a sync has failed, after which nothing may be trusted, when the spool is opened anew.
func TestFault30_DeadLettersCannotBeWritten(t *testing.T) {
	t.Parallel()
	const many = 10
	for op, c := range map[string]struct {
		err   error
		stays bool // until the spool is opened anew
	}{
		"open":  {err: spooltest.ErrInjected},
		"write": {err: spooltest.ErrNoSpace},
		"sync":  {err: spooltest.ErrInjected, stays: true},
	} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var broken atomic.Bool
				disk := &spooltest.Faulty{FS: spooltest.NewMem(), Before: func(_ int64, did, name string) error {
					if broken.Load() && did == op && strings.HasPrefix(name, "dead") {
						return c.err
					}
					return nil
				}}
				died, dead := graves()
				begin := func(name string) (*pushpull.Producer[Order], *atomic.Int64) {
					log, err := spool.OpenFS(disk, spool.Options{SegmentSize: 64 << 10})
					require.NoError(t, err)
					p, w := bubbleAt(t, name, []patterns.Option{died, patterns.WithSocketOptions(socket.WithSpoolOn(socket.SpoolOf(log)))}, []patterns.Option{assured, silent})
					handled := new(atomic.Int64)
					run(t, w, func(_ context.Context, o Order) error {
						if o.Item == "bad" {
							return patterns.Permanent(errors.New("no such account"))
						}
						handled.Add(1)
						return nil
					})
					return p, handled
				}
				p, handled := begin("first")
				if c.stays {
					require.NoError(t, p.Send(t.Context(), Order{Number: many, Item: "bad"}))
					assert.Equal(t, "no such account", (<-dead).Reason, "there are letters already")
				}
				broken.Store(true)
				for i := range many {
					require.NoError(t, p.Send(t.Context(), Order{Number: i, Item: "bad"}))
					require.NoError(t, p.Send(t.Context(), Order{Number: i, Item: "good"}))
				}
				<-time.After(time.Minute)
				assert.EqualValues(t, many, handled.Load(), "the others go on")
				assert.Empty(t, dead)
				assert.EqualValues(t, many, p.Stats().Spool.Messages, "they stay")

				broken.Store(false)
				if c.stays {
					<-time.After(time.Minute)
					assert.Empty(t, dead)
					require.ErrorIs(t, p.Close(), socket.ErrSpooled)
					p, _ = begin("second")
				}
				require.NoError(t, p.WaitAcked(t.Context()))
				require.Len(t, dead, many)
				seen := map[int]int{}
				for range many {
					var o Order
					require.NoError(t, codec.Msgpack.Unmarshal((<-dead).Envelope.Body, &o))
					seen[o.Number]++
				}
				assert.Len(t, seen, many, "each once")
			})
		})
	}
}

// Replay sends as many a second as it is told, until its context ends; what it has not sent by then stays dead.
func TestReplay_KeepsToItsRate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		died, dead := graves()
		p, w := bubble(t, []patterns.Option{patterns.WithSpool(dir, small), died}, []patterns.Option{assured, silent})
		var mended atomic.Bool
		begin := time.Now()
		at := make(chan time.Duration, 100)
		run(t, w, func(context.Context, Order) error {
			if !mended.Load() {
				return patterns.Permanent(errors.New("no such account"))
			}
			at <- time.Since(begin).Truncate(100 * time.Millisecond)
			return nil
		})
		for i := range 6 {
			require.NoError(t, p.Send(t.Context(), Order{Number: i}))
			<-dead
		}
		mended.Store(true)
		for _, rate := range []float64{0, -1, math.NaN()} {
			_, err := p.Replay(t.Context(), rate, nil)
			assert.ErrorIs(t, err, socket.ErrOption)
			assert.ErrorContains(t, err, "want more than 0")
		}
		begin = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		defer cancel()
		n, err := p.Replay(ctx, 10, nil)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 2, n)
		for _, want := range []time.Duration{0, 100 * time.Millisecond} {
			assert.Equal(t, want, <-at)
		}
		begin = time.Now()
		n, err = p.Replay(t.Context(), 10, nil)
		require.NoError(t, err)
		assert.Equal(t, 4, n)
		for i := range 4 {
			assert.Equal(t, time.Duration(i)*100*time.Millisecond, <-at, "letter %d", i)
		}
		require.NoError(t, p.WaitAcked(t.Context()))
		assert.Empty(t, at)
	})
}

// Several who replay at once send each letter once, and what was purged meanwhile not at all.
func TestReplay_SeveralAtOnce(t *testing.T) {
	t.Parallel()
	const letters = 100
	p, w := pair(t, []patterns.Option{patterns.WithSpool(t.TempDir(), small)}, []patterns.Option{assured, silent})
	var mended atomic.Bool
	var handled atomic.Int64
	run(t, w, func(context.Context, Order) error {
		if !mended.Load() {
			return patterns.Permanent(errors.New("no such account"))
		}
		handled.Add(1)
		return nil
	})
	for i := range letters {
		require.NoError(t, p.Send(within(t), Order{Number: i}))
	}
	require.NoError(t, p.WaitAcked(within(t)))
	mended.Store(true)
	var total atomic.Int64
	replay := func(choose func(patterns.DeadLetter) bool) {
		n, err := p.Replay(within(t), 1e9, choose)
		assert.NoError(t, err)
		total.Add(int64(n))
	}
	var seen atomic.Int64
	replay(func(d patterns.DeadLetter) bool { // while the first and the fifth letter are in hand
		switch seen.Add(1) {
		case 1:
			left := 5
			replay(func(patterns.DeadLetter) bool { left--; return left >= 0 })
		case 5:
			n, err := p.Purge(func(other patterns.DeadLetter) bool { return other.Number == d.Number })
			assert.NoError(t, err)
			total.Add(int64(n))
			handled.Add(int64(n))
		}
		return seen.Load() <= 10
	})
	var others sync.WaitGroup
	for range 3 {
		others.Go(func() { replay(nil) }) // awaited below
	}
	others.Wait()
	require.NoError(t, p.WaitAcked(within(t)))
	assert.EqualValues(t, letters, total.Load())
	assert.EqualValues(t, letters, handled.Load())
}
