package spool_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

const (
	windowMarks = 15 // of the window whose bits are flipped, five in each of its segments
	windowCount = 12 // of those, how many count
)

var bitWindow = spool.WindowOptions{Count: windowCount, SegmentSize: 64 << 10}

// bitMark has all that a mark can have.
func bitMark(n uint64) spool.Mark {
	return spool.Mark{Stream: spool.ID{1}, Incarnation: 1, Number: n, Sum: uint32(n), ID: strings.Repeat("i", int(n)), Body: uint32(n)}
}

// threeOfAWindow returns a window of three segments, as SIGKILL leaves it and as Close does.
func threeOfAWindow(t *testing.T) (killed, closed *spooltest.Mem) {
	t.Helper()
	disk := spooltest.NewMem()
	for i := range uint64(3) {
		w, err := spool.OpenWindowFS(disk, bitWindow)
		require.NoError(t, err)
		for n := 5*i + 1; n <= 5*i+5; n++ {
			require.NoError(t, w.Mark(bounded(t), bitMark(n)))
		}
		killed = disk.Crash(nil) // the next opening begins another segment
		require.NoError(t, w.Close())
		if closed = disk; i < 2 {
			disk = killed.Crash(nil)
		}
	}
	return killed, closed
}

// TestEveryBit_Window flips each bit of a window, and some of the room behind it, its headers and the file that says which segment is the newest too: one mark is missing at most, and counted, or told as the
// end that was torn, which after Close it never is; none is there that is not what was marked.
func TestEveryBit_Window(t *testing.T) {
	t.Parallel()
	killed, closed := threeOfAWindow(t)
	for how, disk := range map[string]*spooltest.Mem{"closed": closed, "killed": killed} {
		for _, name := range append(segments(t, disk), "newest") {
			t.Run(how+"-"+name, func(t *testing.T) {
				t.Parallel()
				missing, torn := 0, 0
				all := disk.Bytes(name)
				if how == "closed" && name != "newest" {
					all = ended(all, 0)
				}
				written := int64(len(bytes.TrimRight(all, "\x00"))) * 8
				for bit := range int64(len(all)) * 8 {
					inHeader := bit/8%spool.HeaderCopyAt < spool.HeaderSize
					rare := bit/8 < spool.DataStart && !inHeader || all[bit/8] == 0
					if bit >= written && bit%unwritten != 0 {
						continue
					}
					if name != "newest" && (bit%every != 0 || rare && !thorough && bit%1021 != 0) {
						continue
					}
					hurt := disk.Crash(nil)
					hurt.Flip(name, bit)
					m, cut := oneMarkAtMost(t, hurt, name, bit)
					missing, torn = missing+m, torn+cut
				}
				last := name == slices.Max(segments(t, disk))
				require.Equal(t, name != "newest", missing > 0, "marks that were counted")
				require.Equal(t, last && how == "killed", torn > 0, "marks that were cut off")
			})
		}
	}
}

// oneMarkAtMost returns how many marks are missing, and counted, and how many were cut off.
func oneMarkAtMost(t *testing.T, fs *spooltest.Mem, name string, bit int64) (missing, torn int) {
	t.Helper()
	report, err := spool.VerifyFS(fs)
	require.NoError(t, err, "bit %d", bit)
	require.True(t, len(report.Damage) > 0 || report.Torn > 0 || name == "newest", "bit %d", bit)
	w, err := spool.OpenWindowFS(fs, bitWindow)
	require.NoError(t, err, "bit %d", bit)
	defer w.Close()
	r, there := w.Recovery(), 0
	require.Equal(t, report.Torn, r.Torn, "bit %d", bit)
	lost := 0
	for n := uint64(1); n <= windowMarks; n++ {
		m := bitMark(n)
		byPlace, byID := w.Seen(spool.Mark{Stream: m.Stream, Incarnation: m.Incarnation, Number: n}), w.Seen(spool.Mark{ID: m.ID})
		require.Equal(t, byPlace, byID, "bit %d: mark %d", bit, n)
		switch {
		case byPlace:
			there++
			place, _ := w.Clash(m)
			_, id := w.Clash(spool.Mark{ID: m.ID, Sum: 99, Body: m.Body})
			require.Equal(t, [2]bool{}, [2]bool{place, id}, "bit %d: mark %d has other sums", bit, n)
		case n > windowMarks-windowCount:
			lost++
		}
	}
	require.Equal(t, there, w.Len(), "bit %d: marks that nobody made", bit)
	require.LessOrEqual(t, lost, 1, "bit %d", bit)
	if lost > int(r.Missing) {
		require.Zero(t, r.Missing, "bit %d", bit)
		require.Positive(t, r.Torn, "bit %d", bit)
		return 0, lost
	}
	require.EqualValues(t, lost, r.Missing, "bit %d", bit)
	if lost > 0 {
		require.ErrorIs(t, r.Err(), spool.ErrDamaged, "bit %d", bit)
	}
	return lost, 0
}
