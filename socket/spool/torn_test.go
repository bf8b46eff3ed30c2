package spool_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// crashed returns a spool of n messages that was not closed, and where its records end.
func crashed(t *testing.T, n, size int) (disk *spooltest.Mem, name string, end int) {
	t.Helper()
	disk = spooltest.NewMem()
	l, err := spool.OpenFS(disk, small)
	require.NoError(t, err)
	for range n { // one commit each
		_, err := l.Append(context.Background(), body(l.Next(), size))
		require.NoError(t, err)
	}
	left := disk.Crash(nil)
	require.NoError(t, l.Close())
	name = fmt.Sprintf("%020d.seg", 1)
	return left, name, len(bytes.TrimRight(left.Bytes(name), "\x00"))
}

// TestTornTail cuts, clears and overwrites the end of a spool at each byte: messages that are not whole are gone, no
// other is, none is wrong, and what is appended afterwards survives the next crash.
func TestTornTail(t *testing.T) {
	t.Parallel()
	const n, size = 60, 90
	whole, name, end := crashed(t, n, size)
	const each = 128 // bytes a record takes
	aligned := (end + 7) &^ 7
	rng := rand.New(rand.NewPCG(7, 8))
	for cut := end - rounds(1000, 4096); cut < end; cut += int(every) {
		for how, hurt := range map[string]func(b []byte) []byte{
			"truncated": func(b []byte) []byte { return b[:cut] },
			"cleared":   func(b []byte) []byte { clear(b[cut:]); return b },
			"garbage": func(b []byte) []byte {
				for i := cut; i < len(b); i++ {
					b[i] = byte(rng.Uint32())
				}
				return b
			},
		} {
			disk := whole.Crash(nil)
			disk.Put(name, hurt(disk.Bytes(name)))
			l, err := spool.OpenFS(disk, small)
			require.NoError(t, err, "%s at %d", how, cut)
			require.Empty(t, l.Recovery().Damage)
			kept, gaps := read(t, l.Reader(spool.Beginning()), size)
			require.Empty(t, gaps)
			require.Equal(t, upTo(uint64(len(kept))), kept)
			require.GreaterOrEqual(t, len(kept), n-(aligned-cut+each-1)/each, "%s at %d", how, cut)
			fill(t, l, 2, size)
			again := disk.Crash(rng)
			require.NoError(t, l.Close())
			l, err = spool.OpenFS(again, small)
			require.NoError(t, err)
			numbers, gaps := read(t, l.Reader(spool.Beginning()), size)
			require.Empty(t, gaps)
			require.Equal(t, upTo(uint64(len(kept)+2)), numbers, "%s at %d", how, cut)
			require.NoError(t, l.Close())
		}
	}
}

// TestStaleRecordsStayGone tears a long write whose messages hold records themselves, then writes less in its place: what
// the first write left must never be read.
func TestStaleRecordsStayGone(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 10))
	source, name, end := crashed(t, 40, 40)
	hostile := source.Bytes(name)[spool.DataStart:end]
	for shift := range 8 {
		disk := spooltest.NewMem()
		payload := append(make([]byte, shift), hostile...)
		l, err := spool.OpenFS(disk, small)
		require.NoError(t, err)
		for range 5 {
			_, err = l.Enqueue(context.Background(), payload)
			require.NoError(t, err)
		}
		torn := disk.Crash(rng)
		require.NoError(t, l.Close())
		for range 3 {
			l, err = spool.OpenFS(torn, small)
			require.NoError(t, err)
			r := l.Reader(spool.Beginning())
			for {
				rec, err := r.TryNext()
				if err != nil {
					break
				}
				require.Contains(t, []string{string(payload), "short"}, string(rec.Frames[0]))
			}
			require.NoError(t, r.Close())
			_, err = l.Enqueue(context.Background(), []byte("short"))
			require.NoError(t, err)
			torn = torn.Crash(rng)
			require.NoError(t, l.Close())
		}
	}
}

// TestWeakPoliciesPromiseOrder crashes logs that do not sync each message: what is left is a beginning of what was
// appended, with all that Flush confirmed.
func TestWeakPoliciesPromiseOrder(t *testing.T) {
	t.Parallel()
	for _, policy := range []spool.Policy{spool.Interval, spool.OS} {
		for seed := range uint64(50) {
			rng := rand.New(rand.NewPCG(seed, 11))
			disk, o := spooltest.NewMem(), small
			o.Policy = policy
			l, err := spool.OpenFS(disk, o)
			require.NoError(t, err)
			fill(t, l, 100, 300)
			require.NoError(t, l.Flush(bounded(t)))
			fill(t, l, 300, 300)
			left, killed := disk.Crash(rng), disk.Crash(nil)
			require.NoError(t, l.Close())
			for i, fs := range []*spooltest.Mem{left, killed} {
				l, err := spool.OpenFS(fs, o)
				require.NoError(t, err)
				numbers, gaps := read(t, l.Reader(spool.Beginning()), 300)
				require.Empty(t, gaps)
				require.Equal(t, upTo(uint64(len(numbers))), numbers)
				assert.GreaterOrEqual(t, len(numbers), []int{100, 400}[i], "the end of the process alone loses nothing")
				require.NoError(t, l.Close())
			}
		}
	}
}

// TestNumbersGivenAgain shows that a number which a crash took back comes again under another incarnation.
func TestNumbersGivenAgain(t *testing.T) {
	t.Parallel()
	disk, o := spooltest.NewMem(), small
	o.Policy = spool.OS
	l, err := spool.OpenFS(disk, o)
	require.NoError(t, err)
	fill(t, l, 10, 20)
	rec, err := l.Reader(spool.At(10)).Next(bounded(t))
	require.NoError(t, err)
	name := fmt.Sprintf("%020d.seg", 1)
	left := disk.Crash(nil)
	require.NoError(t, l.Close())
	left.Put(name, left.Bytes(name)[:spool.DataStart+4096+300]) // what was not synced
	l = open(t, left, o)
	for l.Next() <= 10 {
		fill(t, l, 1, 20)
	}
	again, err := l.Reader(spool.At(10)).Next(bounded(t))
	require.NoError(t, err)
	assert.Greater(t, again.Incarnation, rec.Incarnation)
}
