//go:build linux || darwin

package socket_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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
	_, err = log.Dead()
	require.NoError(t, err)
	say("open", log.Queue().Floor(), log.Next())
	for n := log.Next(); then == "write"; n++ {
		_, err := log.Enqueue(t.Context(), letter(n, 0))
		require.NoError(t, err)
		if n%largeBatch == 0 {
			require.NoError(t, log.Wait(t.Context(), n))
			say("receipt", n) // what consumers said before the first of these letters is on disk with them
			settleLetters(t, log, n-largeBatch+1, n)
		}
	}
	<-ctx.Done()
	require.NoError(t, log.Close())
}

// consumersOf returns the consumers of a spool whose opening is killed: that of the queue, and one with a name.
func consumersOf(t *testing.T, log *spool.Log) []*spool.Consumer {
	t.Helper()
	audit, err := log.Consumer("audit", spool.Beginning())
	require.NoError(t, err)
	return []*spool.Consumer{log.Queue(), audit}
}

// settled reports whether the i-th consumer acknowledges a letter, and failures how often it fails before that: some apart from each other, the second also all of the first batch.
func settled(i int, n uint64) bool { return i == 1 && n <= largeBatch || n%8 == 3 }

func failures(i int, n uint64) int {
	if settled(i, n) || n%16 != 5 {
		return 0
	}
	return 1 + int(n/16+uint64(i))%3
}

// settleLetters has the consumers acknowledge and fail letters, and one of them buried.
func settleLetters(t *testing.T, log *spool.Log, from, to uint64) {
	t.Helper()
	for i, c := range consumersOf(t, log) {
		for n := from; n <= to; n++ {
			if settled(i, n) {
				require.NoError(t, c.Ack(n, n))
			}
			for range failures(i, n) {
				_, err := c.Fail(n)
				require.NoError(t, err)
			}
		}
	}
	dead, err := log.Dead()
	require.NoError(t, err)
	r := log.Queue().From(to)
	defer r.Close()
	record, err := r.TryNext()
	require.NoError(t, err)
	require.Equal(t, to, record.Number)
	require.NoError(t, dead.Bury(t.Context(), log.Queue(), record, "of no use"))
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
		requireSame(t, whole, dir, o.promised)
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

// found is what is in a spool.
type found struct {
	next     uint64
	letters  [][]byte
	floors   [2]uint64
	acked    [2][]uint64
	attempts [2]map[uint64]int
	dead     []uint64
}

// requireSame opens two spools and compares what is in them: all letters, and of their consumers and dead letters at least what was on disk with those that were promised.
func requireSame(t *testing.T, want, got string, promised uint64) {
	t.Helper()
	all := [2]found{findAll(t, want), findAll(t, got)}
	require.Equal(t, all[0], all[1])
	f := all[1]
	require.Greater(t, f.next, promised)
	require.Len(t, f.letters, int(f.next-1))
	require.Zero(t, f.floors[0])
	require.GreaterOrEqual(t, f.floors[1], uint64(largeBatch))
	safe, buried := promised-largeBatch, []uint64(nil)
	for n := uint64(1); n <= safe; n++ {
		for i := range f.acked {
			lost := slices.Contains(f.acked[i], n) != (settled(i, n) || i == 0 && n%largeBatch == 0)
			require.False(t, lost || f.attempts[i][n] != failures(i, n), "letter %d, consumer %d: failed %d times", n, i, f.attempts[i][n])
		}
		if n%largeBatch == 0 {
			buried = append(buried, n)
		}
	}
	require.Equal(t, buried, f.dead[:len(buried)])
}

func findAll(t *testing.T, dir string) (f found) {
	t.Helper()
	log, err := spool.Open(dir, largeSpool)
	require.NoError(t, err)
	require.Empty(t, log.Recovery().Damage)
	f.next, f.letters = log.Next(), requireLetters(t, log.Reader(spool.Beginning()))
	for i, c := range consumersOf(t, log) {
		f.floors[i], f.attempts[i] = c.Floor(), map[uint64]int{}
		for n := uint64(1); n < f.next; n++ {
			if c.Acked(n) {
				f.acked[i] = append(f.acked[i], n)
			}
			if attempts := c.Attempts(n); attempts > 0 {
				f.attempts[i][n] = attempts
			}
		}
	}
	dead, err := log.Dead()
	require.NoError(t, err)
	for letter, err := range dead.Letters() {
		require.NoError(t, err)
		f.dead = append(f.dead, letter.Origin)
	}
	require.NoError(t, log.Close())
	return f
}
