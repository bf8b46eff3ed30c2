package spool_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// history is what the user of a log knows: which messages were confirmed, and which were tried at all.
type history struct {
	mu        sync.Mutex
	confirmed map[uint64]bool
	acked     map[uint64]bool // perhaps on disk, perhaps not
	tried     uint64
}

func newHistory() *history {
	return &history{confirmed: make(map[uint64]bool), acked: make(map[uint64]bool)}
}

// snapshot returns what must be readable and what was ever tried.
func (h *history) snapshot() (must []uint64, tried uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n := range h.confirmed {
		if !h.acked[n] {
			must = append(must, n)
		}
	}
	return must, h.tried
}

const crashBody = 700

// work appends and acknowledges messages, until n are confirmed, so that segments turn, are dropped and rewritten. It goes on after errors, as users do: where there is no
// room it waits, and a log that has failed it opens again. It reports whether it came to its end.
func (h *history) work(fs spool.FS, n int) bool {
	o := small
	o.Full = spool.Reject
	for range 3 {
		l, err := spool.OpenFS(fs, o)
		if err != nil {
			continue
		}
		err = h.send(l, n)
		_ = l.Close()
		if !errors.Is(err, spool.ErrFailed) {
			return err == nil
		}
	}
	return false
}

// send returns why it did not come to its end.
func (h *history) send(l *spool.Log, n int) error {
	for full := 0; len(h.confirmed) < n; {
		h.mu.Lock()
		h.tried = max(h.tried, l.Next())
		h.mu.Unlock()
		number, err := l.Append(context.Background(), body(l.Next(), crashBody))
		if full++; errors.Is(err, spool.ErrFull) && full < 5 {
			time.Sleep(2 * time.Second) // the keeper looks once a second
			continue
		}
		if full = 0; err != nil {
			return err
		}
		h.mu.Lock()
		h.confirmed[number] = true
		ack := number > 5 && number%50 != 7
		if ack {
			h.acked[number-5] = true
		}
		h.mu.Unlock()
		if ack {
			_ = l.Queue().Ack(number-5, number-5)
		}
	}
	return nil
}

// check opens what a crash left and looks for what was promised.
func (h *history) check(t *testing.T, fs spool.FS, must []uint64, tried uint64) {
	t.Helper()
	l, err := spool.OpenFS(fs, small)
	require.NoError(t, err)
	defer l.Close()
	require.Empty(t, l.Recovery().Damage)
	numbers, gaps := read(t, l.Queue().Reader(), crashBody)
	require.Empty(t, gaps)
	there := make(map[uint64]bool)
	for _, n := range numbers {
		there[n] = true
		require.LessOrEqual(t, n, tried, "a message that nobody sent")
	}
	for _, n := range must {
		require.True(t, there[n], "message %d was confirmed and is lost", n)
	}
}

// shown opens the spool after the end of the process alone, leaves it as another such end would, and returns what
// readers saw: it must survive the loss of power.
func (h *history) shown(t *testing.T, fs spool.FS) []uint64 {
	t.Helper()
	var ended atomic.Bool
	l, err := spool.OpenFS(&spooltest.Faulty{FS: fs, Before: func(int64, string, string) error {
		if ended.Load() {
			return spooltest.ErrInjected
		}
		return nil
	}}, small)
	require.NoError(t, err)
	numbers, _ := read(t, l.Queue().Reader(), crashBody)
	ended.Store(true)
	_ = l.Close()
	return numbers
}

// TestCrashAtEveryCall loses power before each call of a workload, and again during the recovery from that.
func TestCrashAtEveryCall(t *testing.T) {
	t.Parallel()
	h, disk := newHistory(), spooltest.NewMem()
	rng := rand.New(rand.NewPCG(1, 2))
	fs := &spooltest.Faulty{FS: disk}
	var one sync.Mutex // calls come from several goroutines
	calls := 0
	fs.Before = func(int64, string, string) error {
		one.Lock()
		defer one.Unlock()
		if calls++; int64(calls)%every != 0 {
			return nil
		}
		must, tried := h.snapshot()
		for range rounds(2, 20) {
			left := disk.Crash(rng)
			h.check(t, crashAgain(left, rng), must, tried)
			h.check(t, left, must, tried)
		}
		return nil
	}
	assert.True(t, h.work(fs, 400))
	assert.Greater(t, calls, 400)
	assert.Len(t, h.confirmed, 400)
}

// crashAgain returns what is left when power is lost at some call of the recovery.
func crashAgain(fs *spooltest.Mem, rng *rand.Rand) *spooltest.Mem {
	disk := fs.Crash(nil)
	at, left := rng.Int64N(30)+1, (*spooltest.Mem)(nil)
	var one sync.Mutex
	faulty := &spooltest.Faulty{FS: disk, Before: func(call int64, _, _ string) error {
		one.Lock()
		defer one.Unlock()
		if call == at {
			left = disk.Crash(rng)
		}
		return nil
	}}
	if l, err := spool.OpenFS(faulty, small); err == nil {
		_ = l.Close()
	}
	one.Lock()
	defer one.Unlock()
	if left == nil {
		return disk
	}
	return left
}

// TestAcksAreOnDiskBeforeTheirSegmentsGo loses power whenever segments have just been removed.
func TestAcksAreOnDiskBeforeTheirSegmentsGo(t *testing.T) {
	t.Parallel()
	disk, rng := spooltest.NewMem(), rand.New(rand.NewPCG(12, 13))
	var removed atomic.Bool
	looked := make(chan struct{}, 100)
	l, err := spool.OpenFS(&spooltest.Faulty{FS: disk, Before: func(_ int64, op, name string) error {
		switch {
		case op == "remove" && strings.HasSuffix(name, ".seg"):
			removed.Store(true)
		case op == "syncdir" && removed.Swap(false):
			for range 20 {
				left, err := spool.OpenFS(disk.Crash(rng), small)
				if assert.NoError(t, err) {
					_, gaps := read(t, left.Queue().Reader(), crashBody)
					assert.Empty(t, gaps)
					assert.NoError(t, left.Close())
				}
			}
			looked <- struct{}{}
		}
		return nil
	}}, small)
	require.NoError(t, err)
	fill(t, l, 500, crashBody)
	require.NoError(t, l.Queue().Ack(1, 500))
	<-looked
	require.NoError(t, l.Close())
}

// TestRecoveryThatFails tears a write so that what follows the tear looks sound, and lets each call of the recovery
// fail: the next one must not take for messages what the first one cut off.
func TestRecoveryThatFails(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l, err := spool.OpenFS(disk, small)
	require.NoError(t, err)
	for range 5 { // a record takes 40 bytes, as the mark at the end does
		_, err = l.Enqueue(context.Background(), []byte("8 bytes."))
		require.NoError(t, err)
	}
	require.NoError(t, l.Wait(context.Background(), 5))
	torn := disk.Crash(nil)
	require.NoError(t, l.Close())
	const name, second = "00000000000000000001.seg", spool.DataStart + 4096 + 40 + 40
	b := torn.Bytes(name)
	clear(b[second : second+40])
	torn.Put(name, b)
	for at := int64(1); at < 40; at++ {
		again := torn.Crash(nil)
		l, err := spool.OpenFS(&spooltest.Faulty{FS: again, Before: func(call int64, _, _ string) error {
			if call == at {
				return spooltest.ErrInjected
			}
			return nil
		}}, small)
		if err == nil {
			_ = l.Close()
		}
		l, err = spool.OpenFS(again, small)
		require.NoError(t, err)
		r := l.Reader(spool.Beginning())
		rec, err := r.TryNext()
		require.NoError(t, err)
		require.Equal(t, uint64(1), rec.Number)
		_, err = r.TryNext()
		require.ErrorIs(t, err, io.EOF, "call %d", at)
		require.NoError(t, r.Close())
		require.NoError(t, l.Close())
	}
}
