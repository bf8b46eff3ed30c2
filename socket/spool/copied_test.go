package spool_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"path"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// copying is a disk on which calls that copy a segment fail for some time, and which counts the copies begun and all calls.
type copying struct {
	spooltest.Faulty
	disk       *spooltest.Mem
	full       atomic.Bool
	tries, all atomic.Int64
}

// copyingFails returns a disk of which op fails with err, of copies or, with every, of any file.
func copyingFails(op string, err error, every bool) *copying {
	c := &copying{disk: spooltest.NewMem()}
	c.FS = c.disk
	c.Before = func(_ int64, what, name string) error {
		c.all.Add(1)
		copied := path.Base(name) == "compact.tmp"
		if copied && what == "open" {
			c.tries.Add(1)
		}
		if c.full.Load() && what == op && (copied || every) {
			return err
		}
		return nil
	}
	return c
}

// waits lets ten minutes go by on the full disk, wants a segment to be tried again that could not be copied, but less and less often, and no more calls than
// those of a keeper who looks once a second. Then there is room, and the time until that is found out.
func (c *copying) waits(t *testing.T, sealed int) {
	t.Helper()
	const each = 6 + 10 // 1 to 32 seconds after the one before, then each minute
	tries, all := c.tries.Load(), c.all.Load()
	time.Sleep(10 * time.Minute)
	tries, all = c.tries.Load()-tries, c.all.Load()-all
	assert.LessOrEqual(t, tries, int64(sealed*each), "copies begun")
	if sealed > 0 {
		assert.GreaterOrEqual(t, tries, int64(sealed*each/2), "copies begun")
	}
	assert.LessOrEqual(t, all, tries*20+600*10, "calls to the disk")
	c.full.Store(false)
	time.Sleep(2 * time.Minute)
}

// TestCopiedWhenThereIsRoomAgain: a segment that could not be copied, on a disk that is full or fails for a while, is copied when that is over, without a restart:
// who waits to send goes on, and who is told that the spool is full is not told so any more. Until then it is not tried all the time.
func TestCopiedWhenThereIsRoomAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		full spool.Full
		disk bool // it is the disk that is used up, not the quota
		op   string
		err  error
	}{
		"quota, block":           {full: spool.Block, op: "write", err: spooltest.ErrNoSpace},
		"quota, reject":          {full: spool.Reject, op: "write", err: spooltest.ErrNoSpace},
		"disk, block":            {full: spool.Block, disk: true, op: "write", err: spooltest.ErrNoSpace},
		"disk, reject":           {full: spool.Reject, disk: true, op: "write", err: spooltest.ErrNoSpace},
		"the user's quota":       {full: spool.Block, op: "write", err: syscall.EDQUOT},
		"no room for the file":   {full: spool.Block, op: "open", err: spooltest.ErrNoSpace},
		"no room at the sync":    {full: spool.Block, op: "sync", err: spooltest.ErrNoSpace},
		"no room for the name":   {full: spool.Block, op: "rename", err: spooltest.ErrNoSpace},
		"too many files open":    {full: spool.Reject, op: "open", err: syscall.EMFILE},
		"an error that passes":   {full: spool.Block, disk: true, op: "write", err: spooltest.ErrInjected},
		"half of it, and no why": {full: spool.Reject, op: "write", err: spooltest.ErrShort},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fs, o := copyingFails(c.op, c.err, false), small
				if o.Full = c.full; c.disk {
					fs.disk.SetRoom(5 * o.SegmentSize)
				} else {
					o.Quota = 5 * o.SegmentSize
				}
				copiedAgain(t, fs, o)
			})
		})
	}
}

func copiedAgain(t *testing.T, fs *copying, o spool.Options) {
	t.Helper()
	l, err := spool.OpenFS(fs, o)
	require.NoError(t, err)
	defer l.Close()
	send := func(ctx context.Context) error {
		_, err := l.Append(ctx, body(l.Next(), roomBody))
		return err
	}
	for err == nil {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err = send(ctx)
		cancel()
	}
	require.ErrorIs(t, err, spool.ErrFull)
	fs.full.Store(true)
	n, left := l.Next()-1, []uint64(nil)
	for i := uint64(1); i <= n; i++ {
		if i%20 == 0 {
			left = append(left, i)
			continue
		}
		require.NoError(t, l.Queue().Ack(i, i))
	}
	sealed := len(l.Stats().Segments) - 1
	require.Greater(t, sealed, 2)
	sent := make(chan error, 1)
	if o.Full == spool.Block {
		go func() { sent <- send(t.Context()) }()
	}
	before := l.Stats().Bytes
	fs.waits(t, sealed)
	if o.Full == spool.Reject {
		sent <- send(t.Context())
	}
	synctest.Wait()
	select {
	case err := <-sent:
		require.NoError(t, err)
	default:
		require.Fail(t, "Append still waits for room")
	}
	require.NoError(t, l.Stats().Full)
	assert.Less(t, l.Stats().Bytes, before)
	numbers, gaps := read(t, l.Queue().Reader(), roomBody)
	require.Equal(t, append(left, n+1), numbers)
	require.Empty(t, gaps)
	require.NoError(t, l.Close())
	undamaged(t, fs.disk, roomBody)
}

// TestCopiedWhenThereIsRoomAgain_Letters: dead letters, which are purged but for a few, have room for others again.
func TestCopiedWhenThereIsRoomAgain_Letters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs, o := copyingFails("write", spooltest.ErrNoSpace, false), small
		o.Quota, o.Full = 5*o.SegmentSize, spool.Reject
		l, err := spool.OpenFS(fs, o)
		require.NoError(t, err)
		defer l.Close()
		dead, err := l.Dead()
		require.NoError(t, err)
		r := l.Queue().Reader()
		defer r.Close()
		bury := func() error {
			_, err := l.Append(t.Context(), body(l.Next(), roomBody))
			require.NoError(t, err)
			rec, err := r.TryNext()
			require.NoError(t, err)
			return dead.Bury(t.Context(), l.Queue(), rec, "no")
		}
		for err == nil {
			err = bury()
		}
		require.ErrorIs(t, err, spool.ErrFull)
		fs.full.Store(true)
		n := dead.Len()
		for i := uint64(1); i <= n; i++ {
			if i%20 != 0 {
				require.NoError(t, dead.Purge(i, i))
			}
		}
		fs.waits(t, 4)
		require.NoError(t, bury())
		require.Equal(t, n/20+1, dead.Len())
		require.NoError(t, l.Close())
		report, err := spool.VerifyFS(fs.disk)
		require.NoError(t, err)
		require.Empty(t, report.Damage)
	})
}

// TestFullForLong: what cannot be copied, a topic and a window, goes on as well when there is room again, and asks no more often for it.
func TestFullForLong(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(fs spool.FS) (send func(uint64) error, end func() error, err error){
		"topic": func(fs spool.FS) (func(uint64) error, func() error, error) {
			o := small
			o.Kind, o.Full, o.Retention = spool.Topic, spool.Reject, spool.Retention{Count: 200}
			l, err := spool.OpenFS(fs, o)
			return func(n uint64) error {
				_, err := l.Append(context.Background(), body(n, roomBody))
				return err
			}, l.Close, err
		},
		"window": func(fs spool.FS) (func(uint64) error, func() error, error) {
			w, err := spool.OpenWindowFS(fs, spool.WindowOptions{SegmentSize: small.SegmentSize})
			return func(n uint64) error {
				return w.Mark(context.Background(), spool.Mark{Number: n, ID: strings.Repeat("x", 60)})
			}, w.Close, err
		},
	} {
		for cause, full := range map[string]error{"disk": spooltest.ErrNoSpace, "the user's quota": syscall.EDQUOT} {
			t.Run(name+", "+cause, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					fs := copyingFails("allocate", full, true)
					send, end, err := start(fs)
					require.NoError(t, err)
					n := uint64(1)
					for fs.full.Store(true); err == nil; n++ {
						err = send(n)
					}
					require.ErrorIs(t, err, spool.ErrFull)
					require.ErrorIs(t, err, full)
					fs.waits(t, 0)
					for range 1000 {
						require.NoError(t, send(n))
						n++
					}
					require.NoError(t, end())
					require.Zero(t, fs.tries.Load())
				})
			})
		}
	}
}

// TestCopiedWhereAcksHaveNoRoom: where the quota is used up, and the room for acknowledgements too, what a segment lets go is written in the last of that room, so that a few
// messages that are stuck do not keep a queue full; and no loss of power makes a message look lost.
func TestCopiedWhereAcksHaveNoRoom(t *testing.T) {
	t.Parallel()
	for _, full := range []spool.Full{spool.Block, spool.Reject} {
		synctest.Test(t, func(t *testing.T) {
			fs, o := copyingFails("", nil, false), small
			o.Quota, o.Full = 3*o.SegmentSize, full
			var left []*spooltest.Mem // by losses of power when a copy takes its place
			rng := rand.New(rand.NewPCG(3, 4))
			fs.Before = func(_ int64, op, name string) error {
				if op == "rename" && name == "compact.tmp" || op == "syncdir" && during("spool.rewriteSegment(") {
					left = append(left, fs.disk.Synced(), fs.disk.Crash(rng), fs.disk.Crash(nil))
				}
				return nil
			}
			l, err := spool.OpenFS(fs, o)
			require.NoError(t, err)
			defer l.Close()
			for err == nil {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				_, err = l.Append(ctx, body(l.Next(), roomBody))
				cancel()
			}
			require.ErrorIs(t, err, spool.ErrFull)
			n, stuck, told := l.Next()-1, []uint64(nil), 0
			for i := uint64(1); i <= n; i++ {
				if i%60 == 30 {
					stuck = append(stuck, i)
					continue
				}
				require.NoError(t, l.Queue().Ack(i, i))
				if err := l.Flush(t.Context()); err != nil {
					require.ErrorIs(t, err, spool.ErrFull)
					told++
				}
			}
			require.Positive(t, told, "the room is used up")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			time.Sleep(10 * time.Second)
			_, err = l.Append(ctx, body(n+1, roomBody))
			require.NoError(t, err)
			require.NoError(t, l.Flush(t.Context()))
			want := append(stuck, n+1)
			numbers, gaps := read(t, l.Queue().Reader(), roomBody)
			require.Equal(t, want, numbers)
			require.Empty(t, gaps)
			require.NotEmpty(t, left)
			for _, disk := range append(left, fs.disk.Synced()) {
				undamaged(t, disk, roomBody)
				again := open(t, disk, o)
				numbers, gaps := read(t, again.Queue().Reader(), roomBody)
				require.Subset(t, append(numbers, n+1), want)
				require.Empty(t, gaps)
				require.NoError(t, again.Close())
			}
			require.NoError(t, l.Close())
		})
	}
}

// TestDamageIsNotCopied, and not tried again: a segment with a message that is damaged stays as it is, and others are copied.
func TestDamageIsNotCopied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := copyingFails("", nil, false)
		l, err := spool.OpenFS(fs, small)
		require.NoError(t, err)
		fill(t, l, 400, roomBody)
		name := segments(t, fs.disk)[0]
		fs.disk.Flip(name, int64(bytes.Index(fs.disk.Bytes(name), []byte("message 5 ")))*8)
		hurt := fs.disk.Bytes(name)
		for n := uint64(1); n <= 400; n++ {
			if n%20 != 0 && n != 5 {
				require.NoError(t, l.Queue().Ack(n, n))
			}
		}
		time.Sleep(time.Hour)
		assert.Equal(t, hurt, fs.disk.Bytes(name))
		assert.Equal(t, int64(len(segments(t, fs.disk))-1), fs.tries.Load(), "each that is sealed once")
		numbers, gaps := read(t, l.Queue().Reader(), roomBody)
		assert.Len(t, numbers, 20)
		assert.Equal(t, []*spool.Gap{{From: 5, To: 5, Damaged: true}}, gaps)
		require.NoError(t, l.Close())
	})
}

// TestCopyWhoseNameIsInDoubt: a segment whose copy has its place, though nobody can say whether that is durable, takes no more than the copy, and is sound whichever of them
// a loss of power leaves.
func TestCopyWhoseNameIsInDoubt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := spooltest.NewMem()
		l, err := spool.OpenFS(&spooltest.Faulty{FS: disk, Before: func(_ int64, op, _ string) error {
			if op == "syncdir" && during("spool.rewriteSegment(") {
				return spooltest.ErrInjected
			}
			return nil
		}}, small)
		require.NoError(t, err)
		fill(t, l, 400, roomBody)
		require.NoError(t, l.Queue().Ack(2, 199))
		require.NoError(t, l.Queue().Ack(201, 400))
		time.Sleep(time.Minute)
		bytes := int64(len(disk.Bytes("next")))
		for _, name := range segments(t, disk) {
			bytes += int64(len(disk.Bytes(name)))
		}
		assert.Less(t, bytes, 3*small.SegmentSize)
		assert.Equal(t, bytes, l.Stats().Bytes)
		for seed := range uint64(10) {
			left := open(t, disk.Crash(rand.New(rand.NewPCG(seed, 1))), small)
			require.Empty(t, left.Recovery().Damage)
			numbers, gaps := read(t, left.Queue().Reader(), roomBody)
			require.Equal(t, []uint64{1, 200}, numbers)
			require.Empty(t, gaps)
			require.NoError(t, left.Close())
		}
		require.NoError(t, l.Close())
	})
}
