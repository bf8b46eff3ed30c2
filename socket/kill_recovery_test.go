//go:build linux || darwin

package socket_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

// largeSpool has segments that take a while to read, so that a process can be killed meanwhile.
var largeSpool = spool.Options{SegmentSize: 4 << 20}

const (
	killedPerSpool = 10  // processes that are killed while they open the same spool
	largeBatch     = 256 // letters to a receipt
	largeReceipts  = 16  // 2 MB
)

// killOpen opens a spool. Then it writes letters to it until it is killed, or none.
func killOpen(t *testing.T, dir, then string) {
	ctx := untilInputEnds(t)
	say("opening")
	log, err := spool.Open(dir, largeSpool)
	require.NoError(t, err)
	require.Empty(t, log.Recovery().Damage)
	say("open", floorOf(log), log.Next())
	for n := log.Next(); then == "write"; n++ {
		_, err := log.Enqueue(t.Context(), letter(n, 0))
		require.NoError(t, err)
		if n%largeBatch == 0 {
			require.NoError(t, log.Wait(t.Context(), n))
			say("receipt", n)
		}
	}
	<-ctx.Done()
	require.NoError(t, log.Close())
}

// Row 4: a sender is killed, and the next ones while they open its spool, at any moment of the time that takes. Whoever opens it in the end finds what the first would have found.
func TestKill_InRecovery(t *testing.T) {
	t.Parallel()
	n, within, late := kills(3), 0, 0
	var took time.Duration
	for within < n {
		dir, o := filepath.Join(t.TempDir(), "spool"), newOracle(t)
		writer := startChild(t, "open", dir, "write")
		writer.until(t, "receipt", largeReceipts+rand.IntN(largeReceipts/4), o.hear)
		writer.kill(t, o.hear)
		whole := dir + " that one process opens"
		require.NoError(t, os.CopyFS(whole, os.DirFS(dir)))
		took = openingTakes(t, whole, o)
		for end := within + killedPerSpool; within < min(n, end); within++ {
			if killOpening(t, dir, rand.N(took)) {
				late++
				break
			}
		}
		require.Greater(t, requireSame(t, whole, dir), o.promised)
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.RemoveAll(whole))
	}
	t.Logf("%d were killed while they opened the spool, which took %s the last time; %d had opened it before", within, took, late)
	assert.LessOrEqual(t, late, n/2+10)
}

// openingTakes opens a spool in another process, which is killed when it has.
func openingTakes(t *testing.T, dir string, o *oracle) time.Duration {
	t.Helper()
	c := startChild(t, "open", dir, "")
	c.until(t, "opening", 1, o.hear)
	begun := time.Now()
	c.until(t, "open", 1, o.hear)
	took := time.Since(begun)
	c.kill(t, o.hear)
	return took
}

// killOpening kills a process some time after it began to open a spool, and reports whether it had done so.
func killOpening(t *testing.T, dir string, after time.Duration) (opened bool) {
	t.Helper()
	c := startChild(t, "open", dir, "")
	c.until(t, "opening", 1, func(line) {})
	opened = c.says(t, "open", after)
	c.kill(t, func(line) { opened = true })
	return opened
}

// requireSame opens two spools and compares what is in them.
func requireSame(t *testing.T, want, got string) (next uint64) {
	t.Helper()
	var all [2][][]byte
	for i, dir := range []string{want, got} {
		log, err := spool.Open(dir, largeSpool)
		require.NoError(t, err)
		require.Empty(t, log.Recovery().Damage)
		require.Zero(t, log.Queue().Floor())
		all[i] = requireLetters(t, log.Queue().Reader())
		next = log.Next()
		require.Len(t, all[i], int(next-1))
		require.NoError(t, log.Close())
	}
	require.Equal(t, all[0], all[1])
	return next
}
