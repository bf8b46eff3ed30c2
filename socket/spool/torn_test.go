package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

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

// TestStaleRecordsStayGone tears a long write whose messages hold records themselves, also such as had the right sums in this
// place, then writes less there: what the first write left must never be read. The records lie at each offset in a sector,
// and of the write each sector is missing, alone, or with all before it or all behind it, or is all there is. Nor when the message that
// holds them is damaged later.
func TestStaleRecordsStayGone(t *testing.T) {
	t.Parallel()
	other, name, end := crashed(t, 20, 40)
	foreign := other.Bytes(name)[spool.DataStart+4096 : end]
	for what, hostile := range map[string]func(closed []byte) []byte{
		"of another spool":          func([]byte) []byte { return foreign },
		"of this segment":           func(closed []byte) []byte { return closed[spool.DataStart+4096:] },
		"the last of this segment":  func(closed []byte) []byte { return bytes.Repeat(closed[len(closed)-40:], 20) },
		"the first of this segment": func(closed []byte) []byte { return closed[spool.DataStart : spool.DataStart+600] },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for shift := 0; shift < 512; shift += rounds(97, 1) {
				staleRecords(t, name, shift, hostile)
			}
		})
	}
}

func staleRecords(t *testing.T, name string, shift int, hostile func([]byte) []byte) {
	t.Helper()
	rng, disk, o, sent := rand.New(rand.NewPCG(9, uint64(shift))), spooltest.NewMem(), small, make(map[uint64]string)
	o.Policy = spool.OS
	l, err := spool.OpenFS(disk, o)
	require.NoError(t, err)
	send := func(b []byte) {
		n, err := l.Append(context.Background(), b)
		require.NoError(t, err)
		sent[n] = string(b)
	}
	for range 3 {
		send(make([]byte, shift*3%512))
	}
	require.NoError(t, l.Queue().Ack(2, 2))
	require.NoError(t, l.Close())
	closed := ended(disk.Bytes(name), 0)
	records := hostile(closed)
	payload := append(make([]byte, shift), records...)
	l, err = spool.OpenFS(disk, o)
	require.NoError(t, err)
	for range 3 {
		send(payload)
	}
	was, is := disk.Synced(), disk.Crash(nil).Bytes(name)
	require.NoError(t, l.Close())
	damaged := disk.Bytes(name)
	const header = 32 // of the first message that holds records
	damaged[len(closed)+bytes.Index(damaged[len(closed):], records)-shift-header] ^= 1
	disk.Put(name, damaged)
	onlyLost(t, disk, sent, 4)
	for _, torn := range tears(was.Bytes(name), is) {
		was.Put(name, torn)
		left, now := was.Crash(nil), maps.Clone(sent)
		for confirmed := uint64(3); confirmed < 6; {
			l, err := spool.OpenFS(left, small)
			require.NoError(t, err)
			nothingStale(t, l, now, confirmed)
			n, err := l.Append(context.Background(), []byte("short"))
			require.NoError(t, err)
			confirmed, now[n] = n, "short"
			left = left.Crash(rng)
			require.NoError(t, l.Close())
		}
	}
}

// onlyLost wants all of a spool to be read that was sent, but for one message, which is a gap.
func onlyLost(t *testing.T, fs spool.FS, sent map[uint64]string, lost uint64) {
	t.Helper()
	l, err := spool.OpenFS(fs, small)
	require.NoError(t, err)
	defer l.Close()
	r := l.Reader(spool.Beginning())
	defer r.Close()
	for n := uint64(1); n < l.Next(); n++ {
		rec, err := r.TryNext()
		if n == lost {
			require.Equal(t, &spool.Gap{From: n, To: n, Damaged: true}, err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, n, rec.Number)
		require.Equal(t, sent[n], string(rec.Frames[0]))
	}
	require.Equal(t, uint64(7), l.Next())
}

// tears returns what may be left of a write that made is of was.
func tears(was, is []byte) (all [][]byte) {
	const sector = 512
	first, last := len(is), 0
	for at := 0; at < len(is); at += sector {
		if !bytes.Equal(was[at:at+sector], is[at:at+sector]) {
			first, last = min(first, at), at
		}
	}
	for at := first; at <= last; at += sector {
		for _, written := range []func(i int) bool{
			func(i int) bool { return i != at }, func(i int) bool { return i == at }, func(i int) bool { return i < at }, func(i int) bool { return i > at },
		} {
			torn := slices.Clone(was)
			for i := first; i <= last; i += sector {
				if written(i) {
					copy(torn[i:i+sector], is[i:])
				}
			}
			all = append(all, torn)
		}
	}
	return all
}

// nothingStale wants a log to have what was confirmed, and otherwise nothing but what was sent under its number.
func nothingStale(t *testing.T, l *spool.Log, sent map[uint64]string, confirmed uint64) {
	t.Helper()
	require.Empty(t, l.Recovery().Damage)
	require.Equal(t, l.Next()-2, l.Queue().Pending(), "2 is acknowledged, and nothing else")
	r := l.Reader(spool.Beginning())
	defer r.Close()
	for n := uint64(1); ; n++ {
		rec, err := r.TryNext()
		if errors.Is(err, io.EOF) {
			require.Greater(t, n, confirmed)
			return
		}
		require.NoError(t, err)
		require.Equal(t, n, rec.Number)
		require.Len(t, rec.Frames, 1)
		require.Equal(t, sent[n], string(rec.Frames[0]))
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

// TestRotBehindTheLastSync: of a log that was not closed a message that rots is lost alone if a later record says that it had been synced, else with all behind it, as a torn end. With
// Always that is what the last commit wrote; with other policies all since the last sync.
func TestRotBehindTheLastSync(t *testing.T) {
	t.Parallel()
	for _, policy := range []spool.Policy{spool.Always, spool.Interval, spool.OS} {
		for _, rots := range []uint64{8, 13, 20} {
			disk, o := spooltest.NewMem(), small
			o.Policy, o.Interval = policy, time.Hour
			l := open(t, disk, o)
			for range 2 {
				require.NoError(t, l.Flush(bounded(t)))
				for range 10 {
					_, err := l.Append(bounded(t), body(l.Next(), 100))
					require.NoError(t, err)
				}
			}
			left := disk.Crash(nil)
			name := segments(t, left)[0]
			left.Flip(name, int64(bytes.Index(left.Bytes(name), body(rots, 100)))*8)
			l = open(t, left, o)
			numbers, gaps := read(t, l.Reader(spool.Beginning()), 100)
			r := l.Recovery()
			if rots < 10 || rots < 20 && policy == spool.Always {
				require.Equal(t, append(upTo(rots-1), fromTo(rots+1, 20)...), numbers)
				require.Equal(t, []*spool.Gap{{From: rots, To: rots, Damaged: true}}, gaps)
				require.ErrorIs(t, r.Err(), spool.ErrDamaged)
				require.Zero(t, r.Torn)
				continue
			}
			require.Equal(t, upTo(rots-1), numbers)
			require.Empty(t, gaps)
			require.NoError(t, r.Err())
			require.EqualValues(t, (20-rots+1)*136, r.Torn)
		}
	}
}
