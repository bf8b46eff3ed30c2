package spool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// fault is what becomes of a call.
type fault struct {
	err     error
	only    string // calls of this kind, and no others
	forever bool
}

// faults are an error once, or from then on, and writes that do half, and say so by an error or by the number alone.
var faults = map[string]fault{
	"an error":                   {err: spooltest.ErrInjected},
	"no space":                   {err: spooltest.ErrNoSpace},
	"no space, from then on":     {err: spooltest.ErrNoSpace, forever: true},
	"no room":                    {err: spooltest.ErrNoSpace, only: "allocate"},
	"interrupted":                {err: syscall.EINTR},
	"no disk":                    {err: spooltest.ErrInjected, forever: true},
	"half, and io.ErrShortWrite": {err: io.ErrShortWrite, only: "write"},
	"half, and no error":         {err: spooltest.ErrShort, only: "write"},
	"half, from then on":         {err: spooltest.ErrShort, only: "write", forever: true},
}

// scene is where a workload is played: fs fails, disk is what lies below.
type scene struct {
	fault
	fs   spool.FS
	disk *spooltest.Mem
	rng  *rand.Rand
}

// atEveryCall plays a workload, and what it looks for afterwards, once for each call that it makes to the disk, which fails, in each of the ways above, and at last with none that
// does: that makes so many calls at least.
func atEveryCall(t *testing.T, least int, play func(t *testing.T, s scene)) {
	t.Helper()
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step, hit, calls := int(every), true, 0
			if f.only == "allocate" { // there are few
				step = 1
			}
			for at := 1; hit; at += step {
				hit, calls = f.at(t, at, play)
			}
			if f.only == "" {
				assert.GreaterOrEqual(t, calls, least)
			}
			assert.Positive(t, calls)
		})
	}
}

// at plays with the fault at this call. It reports whether there was one and how many calls there were that the fault could have hit.
func (f fault) at(t *testing.T, at int, play func(t *testing.T, s scene)) (hit bool, calls int) {
	t.Helper()
	var mu sync.Mutex // guards what and calls: they come from several goroutines
	what, disk := "no call", spooltest.NewMem()
	fs := &spooltest.Faulty{FS: disk, Before: func(_ int64, op, name string) error {
		if f.only != "" && op != f.only {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls != at && (!f.forever || calls < at) {
			return nil
		}
		if !hit {
			hit, what = true, op+" "+name
		}
		return f.err
	}}
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("call %d failed: %s", at, what)
			}
		})
		play(t, scene{f, fs, disk, rand.New(rand.NewPCG(3, uint64(at)))})
	})
	return hit, calls
}

// TestErrorAtEveryCall: row 7 of the fault plan. What was confirmed is there, and what readers were shown survives. After an error that passes all is sent.
func TestErrorAtEveryCall(t *testing.T) {
	t.Parallel()
	atEveryCall(t, rounds(350, 2000), func(t *testing.T, s scene) {
		h := newHistory()
		assert.True(t, h.work(s.fs, rounds(150, 850)) || s.forever, "sending does not go on")
		must, sent := h.snapshot()
		h.check(t, s.disk.Crash(s.rng), must, sent)
		h.check(t, s.disk.Crash(nil), must, sent)
		shown := h.shown(t, s.disk)
		h.check(t, s.disk.Crash(s.rng), shown, sent)
	})
}

// TestErrorAtEveryCall_Letters: the same for messages that are buried, replayed and purged: each is pending or a letter, and is so when it is given up once more.
func TestErrorAtEveryCall_Letters(t *testing.T) {
	t.Parallel()
	atEveryCall(t, 100, func(t *testing.T, s scene) {
		c := newClerk(bounded(t), books{there: make(map[uint64]bool), buried: make(map[uint64]int)})
		err := c.work(s.fs)
		assert.True(t, err == nil || s.forever, "burying does not go on: %v", err)
		if c.log != nil {
			_ = c.log.Close()
		}
		for _, left := range []*spooltest.Mem{s.disk.Synced(), s.disk.Crash(nil), s.disk.Crash(s.rng)} {
			o := outage{left, newClerk(c.ctx, c.books).books}.again(t, 0, nil)
			last := newClerk(bounded(t), o.books)
			require.NoError(t, last.open(o.disk))
			for n := range last.check(t) {
				require.Zero(t, o.books.buried[n], "message %d was buried, in a spool that was closed", n)
			}
			require.NoError(t, last.log.Close())
		}
	})
}

// TestErrorAtEveryCall_Window: the same for marks: those that were confirmed are known, others are not until the window is opened again. An error that passes costs those alone that were told of it.
func TestErrorAtEveryCall_Window(t *testing.T) {
	t.Parallel()
	const many, each = 20, 100
	o := spool.WindowOptions{Count: 5 * each, SegmentSize: 64 << 10}
	marks := func(n int) (all []spool.Mark) {
		for i := range each {
			all = append(all, spool.Mark{Stream: spool.ID{1}, Number: uint64(n*each + i + 1), ID: fmt.Sprint("id-", n, i)})
		}
		return all
	}
	seen := func(w *spool.Window, n int) (count int) {
		for _, m := range marks(n) {
			if w.Seen(m) && w.Seen(spool.Mark{ID: m.ID}) {
				count++
			}
		}
		return count
	}
	atEveryCall(t, 60, func(t *testing.T, s scene) {
		confirmed := make(map[int]bool)
		tried := 0
		for range 3 {
			w, err := spool.OpenWindowFS(s.fs, o)
			if err != nil {
				continue
			}
			for tried < many && !errors.Is(err, spool.ErrFailed) {
				if err = w.Mark(bounded(t), marks(tried)...); err == nil {
					confirmed[tried] = true
				} else {
					require.Zero(t, seen(w, tried), "they were refused")
					time.Sleep(2 * time.Second) // the keeper looks once a second
				}
				tried++
			}
			_ = w.Close()
		}
		assert.True(t, len(confirmed) >= many-1 || s.forever, "%d of %d", len(confirmed), many)
		for _, left := range []*spooltest.Mem{s.disk.Synced(), s.disk.Crash(nil), s.disk.Crash(s.rng)} {
			w, err := spool.OpenWindowFS(left, o)
			require.NoError(t, err)
			for n := max(0, tried-5); n < tried; n++ {
				if confirmed[n] {
					require.Equal(t, each, seen(w, n), "marks %d", n)
				}
			}
			require.NoError(t, w.Close())
		}
	})
}

// TestErrorAtEveryCall_Positions: the same for those of a consumer with a name: what was flushed never goes back, and nothing goes beyond what was acknowledged.
func TestErrorAtEveryCall_Positions(t *testing.T) {
	t.Parallel()
	const size = 5000
	atEveryCall(t, 100, func(t *testing.T, s scene) {
		var acked, flushed uint64
		many := uint64(40)
		for range 3 {
			l, err := spool.OpenFS(s.fs, small)
			if err != nil {
				continue
			}
			if err = settle(l, many, size, &acked, &flushed); err == nil {
				assert.GreaterOrEqual(t, flushed, many)
			}
			_ = l.Close()
		}
		assert.True(t, flushed >= many || s.forever, "acknowledging does not go on: %d", flushed)
		for _, left := range []*spooltest.Mem{s.disk.Synced(), s.disk.Crash(nil), s.disk.Crash(s.rng)} {
			l, err := spool.OpenFS(left, small)
			require.NoError(t, err)
			require.Empty(t, l.Recovery().Damage)
			if flushed > 0 {
				require.Equal(t, []string{"audit"}, l.Consumers())
			}
			audit, err := l.Consumer("audit", spool.Beginning())
			require.NoError(t, err)
			require.LessOrEqual(t, flushed, audit.Floor())
			require.LessOrEqual(t, audit.Floor(), acked)
			_, gaps := read(t, audit.Reader(), size)
			require.Empty(t, gaps)
			require.NoError(t, l.Close())
		}
	})
}

// settle appends messages up to many, acknowledges each for both consumers, and notes what was acknowledged and what is known to be on disk.
func settle(l *spool.Log, many uint64, size int, acked, flushed *uint64) error {
	audit, err := l.Consumer("audit", spool.Beginning())
	if err != nil {
		return err
	}
	for *flushed < many {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		n, err := l.Append(ctx, body(l.Next(), size))
		cancel()
		if err != nil {
			return err
		}
		*acked = n
		if err := errors.Join(audit.Ack(1, n), l.Queue().Ack(1, n), l.Flush(context.Background())); err != nil {
			return err
		}
		*flushed = n
	}
	return nil
}
