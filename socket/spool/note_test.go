package spool_test

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// takenBack is how many acknowledgements the end of a process may take back at most.
const takenBack = 3839

// TestAcksThatAKillTakesBack: whatever is acknowledged, and however fast, all but a bounded number of it is in a file when Ack returns, also while others append.
func TestAcksThatAKillTakesBack(t *testing.T) {
	t.Parallel()
	for _, policy := range []spool.Policy{spool.Always, spool.Interval, spool.OS} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			disk, options := spooltest.NewMem(), spool.Options{Policy: policy, SegmentSize: 64 << 10}
			l, rng := open(t, disk, options), rand.New(rand.NewPCG(1, 2))
			const rounds, each = 8, 8000
			fill(t, l, rounds*each, 10)
			over, stop := make(chan struct{}), make(chan struct{})
			go func() { // ends with stop
				defer close(over)
				for {
					select {
					case <-stop:
						return
					default:
						_, err := l.Append(t.Context(), body(1, 10))
						assert.NoError(t, err)
					}
				}
			}()
			for round := range uint64(rounds) {
				for _, i := range rng.Perm(each / 10) {
					lo := round*each + uint64(i)*10 + 1
					require.NoError(t, l.Queue().Ack(lo, lo+9))
				}
				left := open(t, disk.Crash(nil), options)
				assert.Empty(t, left.Recovery().Damage)
				assert.LessOrEqual(t, left.Queue().PendingIn(1, (round+1)*each), uint64(takenBack))
				require.NoError(t, left.Close())
			}
			close(stop)
			<-over
		})
	}
}

// TestAcksAreWrittenWithoutASync: it follows, if the policy has one, with nothing else to write.
func TestAcksAreWrittenWithoutASync(t *testing.T) {
	t.Parallel()
	for policy, delay := range map[spool.Policy]time.Duration{spool.Always: 50 * time.Millisecond, spool.Interval: time.Second, spool.OS: 0} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				mem, options := spooltest.NewMem(), spool.Options{Policy: policy, SegmentSize: 1 << 20}
				disk := newStopper(mem, "write")
				floor := func(disk *spooltest.Mem) uint64 {
					l := open(t, disk, options)
					defer l.Close()
					return l.Queue().Floor()
				}
				l := open(t, disk, options)
				fill(t, l, 5000, 10)
				require.NoError(t, l.Flush(t.Context()))
				synctest.Wait()
				require.NoError(t, l.Queue().Ack(1, takenBack))
				require.Zero(t, floor(mem.Crash(nil)), "these are few")
				disk.armed.Store(true)
				acked := make(chan error, 1)
				go func() { acked <- l.Queue().Ack(1, 5000) }() // ends with proceed
				time.Sleep(60 * time.Millisecond)               // the committer finds it writing
				close(disk.proceed)
				require.NoError(t, <-acked)
				require.EqualValues(t, 5000, floor(mem.Crash(nil)), "after the end of the process")
				require.Zero(t, floor(mem.Synced()), "after a loss of power")
				if policy == spool.OS {
					require.NoError(t, l.Flush(t.Context()))
				}
				time.Sleep(delay)
				synctest.Wait()
				require.EqualValues(t, 5000, floor(mem.Synced()), "after a loss of power, later")
			})
		})
	}
}

// stopper is a disk whose next call of a kind, when armed, waits for proceed.
type stopper struct {
	*spooltest.Faulty
	armed   atomic.Bool
	proceed chan struct{}
}

func newStopper(fs spool.FS, what string) *stopper {
	s := &stopper{proceed: make(chan struct{})}
	s.Faulty = &spooltest.Faulty{FS: fs, Before: func(_ int64, op, _ string) error {
		if op == what && s.armed.CompareAndSwap(true, false) {
			<-s.proceed
		}
		return nil
	}}
	return s
}

// TestAcksWhileTheDiskSyncs: as many are taken as may be in no file, the next waits for the sync to end, and is written then.
func TestAcksWhileTheDiskSyncs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := spooltest.NewMem()
		disk := newStopper(mem, "sync")
		l := open(t, disk, spool.Options{SegmentSize: 1 << 20})
		fill(t, l, 5000, 10)
		disk.armed.Store(true)
		appended, acked := make(chan error, 1), make(chan error, 1)
		go func() { // ends with proceed, as the other
			_, err := l.Append(t.Context(), body(5001, 10))
			appended <- err
		}()
		synctest.Wait()
		require.False(t, disk.armed.Load(), "it syncs")
		require.NoError(t, l.Queue().Ack(1, takenBack))
		go func() { acked <- l.Queue().Ack(takenBack+1, takenBack+1) }()
		synctest.Wait()
		require.Empty(t, acked)
		close(disk.proceed)
		require.NoError(t, <-appended)
		require.NoError(t, <-acked)
		left := open(t, mem.Crash(nil), small)
		require.EqualValues(t, takenBack+1, left.Queue().Floor())
		require.NoError(t, left.Close())
		require.NoError(t, l.Close())
	})
}

// alternate acknowledges every other message: ranges that lie apart, which take more room than there is behind messages.
func alternate(t *testing.T, l *spool.Log, n uint64) {
	t.Helper()
	for i := uint64(2); i <= n; i += 2 {
		require.NoError(t, l.Queue().Ack(i, i))
	}
}

// TestAcksThatWaitForTheNextSegment: they have no room until it is allocated, and are written then.
func TestAcksThatWaitForTheNextSegment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := spooltest.NewMem()
		disk := newStopper(mem, "allocate")
		l := open(t, disk, small)
		fill(t, l, 9000, 10)
		synctest.Wait()
		disk.armed.Store(true)
		ctx, stop := context.WithCancel(t.Context())
		full, acked := make(chan error, 1), make(chan struct{})
		go func() { // ends with stop
			for {
				if _, err := l.Append(ctx, body(l.Next(), 10)); err != nil {
					full <- err
					return
				}
			}
		}()
		synctest.Wait()
		require.False(t, disk.armed.Load(), "it allocates")
		stop()
		require.ErrorIs(t, <-full, context.Canceled)
		go func() { // ends with proceed
			defer close(acked)
			alternate(t, l, 2*(takenBack+1))
		}()
		synctest.Wait()
		select {
		case <-acked:
			require.Fail(t, "more are acknowledged than may be in no file")
		default:
		}
		close(disk.proceed)
		<-acked
		left := open(t, mem.Crash(nil), small)
		require.Equal(t, l.Queue().Pending(), left.Queue().Pending())
		require.NoError(t, left.Close())
		require.NoError(t, l.Close())
	})
}

// TestAcksThatHaveNoRoom are taken, however many, and let segments go.
func TestAcksThatHaveNoRoom(t *testing.T) {
	t.Parallel()
	disk, o := spooltest.NewMem(), small
	o.Quota, o.Full = 16*o.SegmentSize, spool.Reject
	l := open(t, disk, o)
	n := fillUpWith(t, l, 10)
	require.Greater(t, n, uint64(4*takenBack))
	alternate(t, l, n)
	require.ErrorIs(t, l.Flush(bounded(t)), spool.ErrFull)
	require.NoError(t, l.Queue().Ack(1, n))
	require.Eventually(t, func() bool {
		_, err := l.Append(bounded(t), body(l.Next(), 10))
		return err == nil
	}, 20*time.Second, time.Millisecond)
	require.NoError(t, l.Flush(bounded(t)))
	assert.EqualValues(t, 1, open(t, disk.Synced(), o).Queue().Pending())
}

// TestErrorAtEveryCall_Acks: that they are not written is said, to who sends and who flushes, and keeps nobody who acknowledges.
func TestErrorAtEveryCall_Acks(t *testing.T) {
	t.Parallel()
	const each = takenBack + 1
	atEveryCall(t, 40, func(t *testing.T, s scene) {
		l, err := spool.OpenFS(s.fs, small)
		acked := uint64(0)
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			for n := uint64(0); err == nil && n < acked+each; {
				n, err = l.Enqueue(ctx, body(1, 10))
			}
			if err == nil {
				err = l.Wait(ctx, acked+each)
			}
			cancel()
			if err != nil {
				break
			}
			if err = l.Queue().Ack(acked+1, acked+each); err == nil {
				acked += each
			}
			left := open(t, s.disk.Crash(nil), small)
			require.Empty(t, left.Recovery().Damage)
			require.LessOrEqual(t, left.Queue().Floor(), acked)
			if left.Queue().Floor() < acked {
				err = l.Flush(t.Context())
				require.Error(t, err)
			}
			require.NoError(t, left.Close())
		}
		if l != nil {
			_ = l.Close()
		}
		require.True(t, err != nil || acked == 2*each)
		left := open(t, s.disk.Crash(s.rng), small)
		require.LessOrEqual(t, left.Queue().Floor(), acked)
		require.NoError(t, left.Close())
	})
}

// Who reads sees nothing before it is on disk, also where an Ack was what had it written.
func TestAckWritesWhatMayNotBeSeenYet(t *testing.T) {
	t.Parallel()
	for range 20 {
		mem := spooltest.NewMem()
		l := open(t, mem, spool.Options{SegmentSize: 1 << 20})
		fill(t, l, 5000, 10)
		n, err := l.Enqueue(t.Context(), body(1, 10))
		require.NoError(t, err)
		require.NoError(t, l.Queue().Ack(1, 5000))
		r := l.Reader(spool.At(n))
		_, err = r.TryNext()
		left := open(t, mem.Synced(), spool.Options{SegmentSize: 1 << 20})
		if err == nil {
			require.Greater(t, left.Next(), n, "seen, and not on disk")
		}
		require.NoError(t, r.Close())
		require.NoError(t, left.Close())
		require.NoError(t, l.Close())
	}
}

// What one name has acknowledged has no other wait for the disk.
func TestAcksOfOneNameDoNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := newStopper(spooltest.NewMem(), "sync")
		l := open(t, disk, spool.Options{SegmentSize: 1 << 20, Kind: spool.Topic})
		fill(t, l, 5000, 10)
		var names []*spool.Consumer
		for _, name := range []string{"a", "b", "c"} {
			c, err := l.Consumer(name, spool.Beginning())
			require.NoError(t, err)
			names = append(names, c)
		}
		require.NoError(t, l.Flush(t.Context()))
		synctest.Wait()
		disk.armed.Store(true)
		appended := make(chan error, 1)
		go func() { // ends with proceed
			_, err := l.Append(t.Context(), body(5001, 10))
			appended <- err
		}()
		synctest.Wait()
		require.False(t, disk.armed.Load(), "it syncs")
		for _, c := range names {
			require.NoError(t, c.Ack(1, takenBack))
		}
		close(disk.proceed)
		require.NoError(t, <-appended)
		require.NoError(t, l.Close())
	})
}
