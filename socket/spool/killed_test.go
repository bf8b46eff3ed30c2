package spool_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestPowerLostAfterAKill: what a killed process had written is still in the system's memory alone when the spool is opened, and power is lost before each call of that,
// and when readers have seen it: nothing is damage then, what was synced is there, and so is what readers saw.
func TestPowerLostAfterAKill(t *testing.T) {
	t.Parallel()
	for _, policy := range []spool.Policy{spool.Always, spool.Interval, spool.OS} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(rounds(2, 60)) {
				powerLostAfterAKill(t, policy, rand.New(rand.NewPCG(seed, 4)))
			}
		})
	}
}

func powerLostAfterAKill(t *testing.T, policy spool.Policy, rng *rand.Rand) {
	t.Helper()
	disk, o := spooltest.NewMem(), small
	o.Policy = policy
	killOne(t, disk, o)
	var one sync.Mutex // calls come from several goroutines
	var left []*spooltest.Mem
	l, err := spool.OpenFS(&spooltest.Faulty{FS: disk, Before: func(int64, string, string) error {
		one.Lock()
		defer one.Unlock()
		left = append(left, disk.Crash(rng))
		return nil
	}}, o)
	require.NoError(t, err)
	saw, gaps := read(t, l.Queue().Reader(), killedBody)
	require.Empty(t, gaps)
	require.Subset(t, saw, upTo(10))
	after := disk.Crash(rng)
	require.NoError(t, l.Close())
	for i, disk := range append(left, after) {
		call := fmt.Sprint("call ", i)
		l, err := spool.OpenFS(disk, o)
		require.NoError(t, err, call)
		require.Empty(t, l.Recovery().Damage, call)
		numbers, gaps := read(t, l.Queue().Reader(), killedBody)
		require.Empty(t, gaps, call)
		require.Subset(t, numbers, upTo(10), call)
		if i == len(left) {
			assert.Equal(t, saw, numbers, "what readers saw")
		}
		require.NoError(t, l.Close())
	}
}

const killedBody = 300

// killOne sends ten messages that are synced and forty that may not be, and lets the process end there.
func killOne(t *testing.T, disk *spooltest.Mem, o spool.Options) {
	t.Helper()
	var killed atomic.Bool
	l, err := spool.OpenFS(&spooltest.Faulty{FS: disk, Before: func(int64, string, string) error {
		if killed.Load() {
			return spooltest.ErrInjected
		}
		return nil
	}}, o)
	require.NoError(t, err)
	fill(t, l, 10, killedBody)
	require.NoError(t, l.Flush(bounded(t)))
	for range 40 {
		_, err := l.Enqueue(bounded(t), body(l.Next(), killedBody))
		require.NoError(t, err)
	}
	if o.Policy != spool.Always {
		require.NoError(t, l.Wait(bounded(t), l.Next()-1))
	}
	killed.Store(true)
	_ = l.Close()
}

// TestPositionsOutliveAKill: what each consumer has acknowledged, apart from each other, and how often it has failed, is the same after the end of the process, or of the power
// when it had been flushed; and when the opening after that ends in the same way.
func TestPositionsOutliveAKill(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	fill(t, l, 10, killedBody)
	audit, err := l.Consumer("audit", spool.Beginning())
	require.NoError(t, err)
	for c, fails := range map[*spool.Consumer]uint64{l.Queue(): 2, audit: 4} {
		for range fails + 1 {
			_, err := c.Fail(fails)
			require.NoError(t, err)
		}
		require.NoError(t, c.Ack(fails+3, fails+3))
		require.NoError(t, c.Ack(fails+5, fails+6))
	}
	require.NoError(t, l.Flush(bounded(t)))
	want := positionsOf(t, l)
	require.Equal(t, positions{"": {5, 7, 8}, "audit": {7, 9, 10}}, want)
	for how, left := range map[string]func(*spooltest.Mem) *spooltest.Mem{
		"process": func(disk *spooltest.Mem) *spooltest.Mem { return disk.Crash(nil) },
		"power":   (*spooltest.Mem).Synced,
	} {
		for disk, again := left(disk), 0; again < 3; disk, again = left(disk), again+1 {
			l := open(t, disk, small)
			require.Equal(t, want, positionsOf(t, l), how)
			audit, err := l.Consumer("audit", spool.End())
			require.NoError(t, err)
			require.Equal(t, [2]int{3, 5}, [2]int{l.Queue().Attempts(2), audit.Attempts(4)}, how)
		}
	}
}
