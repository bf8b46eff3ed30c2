package pushpull_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
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
)

// Rows 27 to 32 of the fault plan; FAULTS.md lists them.

// small is a spool that needs little disk and no sync.
var small = spool.Options{SegmentSize: 64 << 10, Policy: spool.OS}

// following notes each attempt before the handler.
func following(note func(d *patterns.Delivery)) patterns.Option {
	return patterns.WithMiddleware(func(next patterns.Handler) patterns.Handler {
		return func(ctx context.Context, d *patterns.Delivery) error {
			note(d)
			return next(ctx, d)
		}
	})
}

// Without a lease a message stays with the worker that has it for as long as that lives, however slow the handler is, and
// goes to one other when it ends.
func TestFault27_ASlowHandlerIsAloneWhileItsWorkerLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var addrs []string
		var p *pushpull.Producer[Order]
		for i := range 2 { // see bubble
			q := pushpull.NewProducer[Order](assured)
			defer q.Close()
			addr, err := q.Bind(fmt.Sprint("inproc://", t.Name(), i))
			require.NoError(t, err)
			p, addrs = q, append(addrs, addr)
		}
		attempts := make(chan string, 10)
		ended := make(chan error, 2)
		worker := func(name string, handler func(context.Context, Order) error) *pushpull.Worker[Order] {
			w := pushpull.NewWorker[Order](assured, silent, following(func(d *patterns.Delivery) {
				attempts <- fmt.Sprint(name, " ", d.Attempt)
			}))
			for _, addr := range addrs {
				require.NoError(t, w.Connect(addr))
			}
			go func() { ended <- w.Run(context.Background(), handler) }() // ended by Close
			return w
		}
		slow := worker("slow", func(ctx context.Context, _ Order) error { <-ctx.Done(); return ctx.Err() })
		require.NoError(t, p.WaitPeers(t.Context(), 1))
		require.NoError(t, p.Send(t.Context(), Order{}))
		assert.Equal(t, "slow 1", <-attempts)
		other := worker("other", func(context.Context, Order) error { return nil })
		<-time.After(time.Hour)
		assert.Empty(t, attempts, "no concurrent attempt")
		require.NoError(t, slow.Close())
		assert.Equal(t, "other 2", <-attempts)
		require.NoError(t, p.WaitAcked(t.Context()))
		<-time.After(time.Hour)
		assert.Empty(t, attempts, "exactly one")
		assert.EqualValues(t, 1, slow.Counts().Unanswered)
		require.NoError(t, other.Close())
		require.NoError(t, errors.Join(<-ended, <-ended))
	})
}

// The pause before an attempt is anywhere below a bound that doubles, is not that of others that fail at the same time, and
// begins anew with the next message.
func TestFault28_RetriesBackOffAndSpread(t *testing.T) {
	t.Parallel()
	const lowest, highest, many = 10 * time.Second, 10 * time.Minute, 1000
	synctest.Test(t, func(t *testing.T) {
		p, w := bubble(t,
			[]patterns.Option{assured, patterns.WithSocketOptions(socket.WithRetry(lowest, highest), socket.WithAttempts(0))},
			[]patterns.Option{assured, silent})
		var pauses []time.Duration
		buckets := map[int]int{}
		var last time.Time
		attempt := 0
		w2 := make(chan struct{})
		run(t, w, func(_ context.Context, o Order) error {
			switch {
			case o.Item == "alone":
				if attempt++; attempt > 1 {
					pauses = append(pauses, time.Since(last))
				}
				if last = time.Now(); attempt < 11 {
					return errors.New("not yet")
				}
				w2 <- struct{}{}
			case o.Item == "many":
				if o.Number++; buckets[-o.Number] == 0 {
					buckets[-o.Number] = 1
					return errors.New("not yet")
				}
				buckets[int(time.Since(last)*10/lowest)]++
			}
			return nil
		})
		alone := func() {
			attempt, pauses = 0, nil
			require.NoError(t, p.Send(t.Context(), Order{Item: "alone"}))
			<-w2
			bound := lowest
			for i, pause := range pauses {
				assert.LessOrEqual(t, pause, bound, "pause %d", i+1)
				bound = min(2*bound, highest)
			}
			require.Len(t, pauses, 10)
			assert.Greater(t, slices.Max(pauses), lowest, "it doubles")
		}
		alone()
		alone() // from the beginning
		last = time.Now()
		for i := range many {
			require.NoError(t, p.Send(t.Context(), Order{Item: "many", Number: i}))
		}
		require.NoError(t, p.WaitAcked(t.Context()))
		sum := 0
		for i := range 10 {
			assert.Less(t, buckets[i], 3*many/10, "tenth %d of the bound", i)
			sum += buckets[i]
		}
		assert.Equal(t, many, sum, "none later")
	})
}

// One message that cannot be handled is given up after as many attempts as are allowed, once, with its cause and headers, and holds up none of the others.
func TestFault29_PoisonAmongMany(t *testing.T) {
	t.Parallel()
	t.Run("in memory", func(t *testing.T) {
		t.Parallel()
		poisonAmongMany(t, assured)
	})
	t.Run("in a spool", func(t *testing.T) {
		t.Parallel()
		p := poisonAmongMany(t, patterns.WithSpool(t.TempDir(), small))
		letters := 0
		for d, err := range p.DeadLetters() {
			require.NoError(t, err)
			assert.Equal(t, "4711", d.Envelope.Header("tenant"))
			letters++
		}
		assert.Equal(t, 1, letters)
	})
}

func poisonAmongMany(t *testing.T, keeping patterns.Option) *pushpull.Producer[Order] {
	t.Helper()
	const many, poison, allowed = 10_000, 4711, 3
	died, dead := graves()
	p, first := pair(t, []patterns.Option{keeping, died, quick()}, []patterns.Option{assured, silent, patterns.WithConcurrency(4)})
	second := pushpull.NewWorker[Order](assured, silent)
	t.Cleanup(func() { second.Close() })
	addr, err := second.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, p.Connect(addr))
	var mu sync.Mutex
	times := make([]int, many)
	handle := func(_ context.Context, o Order) error {
		mu.Lock()
		times[o.Number]++
		mu.Unlock()
		if o.Number == poison {
			panic("index out of range")
		}
		return nil
	}
	run(t, first, handle)
	run(t, second, handle)
	for i := range many {
		require.NoError(t, p.Send(within(t), Order{Number: i}, patterns.WithHeader("tenant", fmt.Sprint(i))))
	}
	require.NoError(t, p.WaitAcked(within(t)))
	d := <-dead
	assert.Equal(t, "3 deliveries failed, the last one: handler panicked: index out of range", d.Reason)
	assert.Equal(t, allowed, d.Attempts)
	assert.Equal(t, fmt.Sprint(poison), d.Envelope.Header("tenant"))
	var value Order
	require.NoError(t, codec.Msgpack.Unmarshal(d.Envelope.Body, &value))
	assert.Equal(t, poison, value.Number)
	assert.Empty(t, dead)
	assert.EqualValues(t, 1, p.Stats().Acks.DeadLettered)
	mu.Lock()
	defer mu.Unlock()
	for i, n := range times {
		if i != poison {
			require.Equal(t, 1, n, "message %d", i)
		}
	}
	assert.Equal(t, allowed, times[poison])
	return p
}

// While there is no room for dead letters messages that are given up stay, Send waits in the end, and nothing is lost.
func TestFault30_NoRoomForDeadLetters(t *testing.T) {
	t.Parallel()
	const many, size = 40, 30 << 10
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := small
		o.Quota = 512 << 10
		died, dead := graves()
		p, w := bubble(t, []patterns.Option{patterns.WithSpool(dir, o), died}, []patterns.Option{assured, silent})
		run(t, w, func(context.Context, Order) error { return patterns.Permanent(errors.New("no such account")) })
		sent := make(chan error, 1)
		go func() { // ends when all are sent
			var err error
			for i := 0; i < many && err == nil; i++ {
				err = p.Send(t.Context(), Order{Number: i, Item: string(make([]byte, size))})
			}
			sent <- err
		}()
		<-time.After(5 * time.Second)
		assert.Empty(t, sent, "Send waits")
		room := len(dead)
		assert.Positive(t, room)
		assert.Less(t, room, many)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		assert.Error(t, p.Send(ended, Order{Item: string(make([]byte, size))}))

		seen := map[int]int{}
		for len(seen) < many {
			n, err := p.Purge(func(d patterns.DeadLetter) bool {
				var o Order
				require.NoError(t, codec.Msgpack.Unmarshal(d.Envelope.Body, &o))
				seen[o.Number]++
				return true
			})
			require.NoError(t, err)
			require.Positive(t, n)
			<-time.After(5 * time.Second)
		}
		require.NoError(t, <-sent)
		for i := range many {
			assert.Equal(t, 1, seen[i], "message %d", i)
		}
	})
}

// A letter that is replayed keeps its id. So a window that knows it as handled drops it, and without one it is handled again.
func TestFault31_ReplayOfDeadLetters(t *testing.T) {
	t.Parallel()
	for name, windowed := range map[string]bool{"with a window": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			worker := []patterns.Option{assured, silent}
			if windowed {
				worker = append(worker, patterns.WithWindow(t.TempDir(), spool.WindowOptions{SegmentSize: 64 << 10, Policy: spool.OS}))
			}
			died, dead := graves()
			p, w := pair(t, []patterns.Option{patterns.WithSpool(t.TempDir(), small), died}, worker)
			var mu sync.Mutex
			fixed, handled := false, map[string][]codec.ID{}
			run(t, w, func(ctx context.Context, o Order) error {
				mu.Lock()
				defer mu.Unlock()
				if !fixed {
					return patterns.Permanent(errors.New("no such account"))
				}
				handled[o.Item] = append(handled[o.Item], patterns.FromContext(ctx).ID)
				return nil
			})
			ids := map[string]codec.ID{}
			send := func(item string) {
				require.NoError(t, p.Send(within(t), Order{Item: item}, patterns.WithID(ids[item])))
			}
			for _, item := range []string{"tea", "cake", "left"} {
				ids[item] = codec.NewID()
				send(item)
				<-dead
			}
			mu.Lock()
			fixed = true
			mu.Unlock()
			send("cake") // somebody does it by hand, before the replay
			require.NoError(t, p.WaitAcked(within(t)))

			n, err := p.Replay(within(t), 1000, func(d patterns.DeadLetter) bool {
				assert.Equal(t, "no such account", d.Reason)
				return d.Envelope.ID != ids["left"]
			})
			require.NoError(t, err)
			assert.Equal(t, 2, n)
			require.NoError(t, p.WaitAcked(within(t)))
			want := map[string][]codec.ID{"tea": {ids["tea"]}, "cake": {ids["cake"], ids["cake"]}}
			if windowed {
				want["cake"] = want["cake"][:1]
				assert.EqualValues(t, 1, w.Stats().Acks.DuplicatesIn)
			}
			mu.Lock()
			assert.Equal(t, want, handled)
			mu.Unlock()
			for d, err := range p.DeadLetters() {
				require.NoError(t, err)
				assert.Equal(t, ids["left"], d.Envelope.ID)
			}
		})
	}
}

// Within the window a message with the id of one that was handled is acknowledged and not handled; beyond it is. A window that was killed holds
// for no less.
func TestFault32_TheEdgeOfTheWindow(t *testing.T) {
	t.Parallel()
	const age = time.Minute
	dir, killed := t.TempDir(), filepath.Join(t.TempDir(), "window")
	synctest.Test(t, func(t *testing.T) {
		window := func(dir string) patterns.Option {
			return patterns.WithWindow(dir, spool.WindowOptions{Age: age, SegmentSize: 64 << 10, Policy: spool.OS})
		}
		p, w := bubble(t, []patterns.Option{assured}, []patterns.Option{window(dir)})
		var mu sync.Mutex
		handled := 0
		count := func(context.Context, Order) error {
			mu.Lock()
			defer mu.Unlock()
			handled++
			return nil
		}
		run(t, w, count)
		id := codec.NewID()
		send := func(p *pushpull.Producer[Order]) int {
			require.NoError(t, p.Send(t.Context(), Order{}, patterns.WithID(id)))
			require.NoError(t, p.WaitAcked(t.Context()))
			mu.Lock()
			defer mu.Unlock()
			return handled
		}
		start := time.Now()
		assert.Equal(t, 1, send(p))
		marked := time.Since(start)
		<-time.After(age - marked - time.Millisecond)
		assert.Equal(t, 1, send(p), "inside: dropped, and acknowledged")
		assert.EqualValues(t, 1, w.Stats().Acks.DuplicatesIn)
		<-time.After(time.Until(start.Add(2*age + time.Second)))
		assert.Equal(t, 2, send(p), "outside")

		// A process that is killed leaves the files as they are at this moment.
		require.NoError(t, os.CopyFS(killed, os.DirFS(dir)))
		<-time.After(age / 2)
		p2, w2 := bubbleAt(t, "again", []patterns.Option{assured}, []patterns.Option{window(killed)})
		run(t, w2, count)
		<-time.After(age - time.Millisecond)
		assert.Equal(t, 2, send(p2), "counts from the opening")
		assert.EqualValues(t, 1, w2.Stats().Acks.DuplicatesIn)
		<-time.After(2 * age)
		assert.Equal(t, 3, send(p2))
	})
}
