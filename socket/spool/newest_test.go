package spool_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestEveryBit_Newest flips each bit of the file that says which segment is the newest: it says nothing then, which in a log that was closed is damage of itself, and all messages are there.
func TestEveryBit_Newest(t *testing.T) {
	t.Parallel()
	closed := threeSegments(t)
	used := closed.Crash(nil)
	l := open(t, used, small)
	killed := used.Crash(nil)
	require.NoError(t, l.Close())
	for disk, want := range map[*spooltest.Mem][]spool.Damage{killed: nil, closed: {{Segment: "newest", Bytes: 32, What: "differs from its sum"}}} {
		require.Len(t, disk.Bytes("newest"), 32)
		for bit := range int64(32 * 8) {
			hurt := disk.Crash(nil)
			hurt.Flip("newest", bit)
			report, err := spool.VerifyFS(hurt)
			require.NoError(t, err, "bit %d", bit)
			require.Equal(t, want, report.Damage, "bit %d", bit)
			repaired := hurt.Crash(nil)
			report, err = spool.RepairFS(repaired)
			require.NoError(t, err, "bit %d", bit)
			if want != nil {
				require.Equal(t, []string{"newest.bad"}, report.Aside, "bit %d", bit)
				require.Equal(t, hurt.Bytes("newest"), repaired.Bytes("newest.bad"), "nothing is deleted")
			}
			for _, fs := range []*spooltest.Mem{hurt, repaired} {
				l := open(t, fs, small)
				numbers, gaps := read(t, l.Queue().Reader(), damageBody)
				require.Equal(t, upTo(15), numbers, "bit %d", bit)
				require.Empty(t, gaps, "bit %d", bit)
				require.Equal(t, fs == hurt && want != nil, l.Recovery().Err() != nil, "bit %d", bit)
				require.NoError(t, l.Close())
				report, err := spool.VerifyFS(fs)
				require.NoError(t, err, "bit %d", bit)
				require.Empty(t, report.Damage, "Close wrote it anew")
			}
		}
	}
}

// TestNewest_OldOnes: a spool whose file says nothing but which segment is the newest, or that is closed without one, opens as it always did.
func TestNewest_OldOnes(t *testing.T) {
	t.Parallel()
	old := binary.LittleEndian.AppendUint64(nil, 1)
	old = binary.LittleEndian.AppendUint32(old, crc32.Checksum(old, crc32.MakeTable(crc32.Castagnoli)))
	for _, newest := range [][]byte{nil, {}, old, old[:8], append(slices.Clone(old), 0), append(slices.Clone(old), make([]byte, 20)...)} { // the last written over a longer one
		disk := closedLog(t, small)
		require.NoError(t, disk.Remove("newest"))
		if newest != nil {
			disk.Put("newest", newest)
		}
		cut := disk.Crash(nil)
		report, err := spool.VerifyFS(disk)
		require.NoError(t, err)
		require.Empty(t, report.Damage)
		l := open(t, disk, small)
		require.True(t, l.Recovery().Clean)
		require.NoError(t, l.Recovery().Err())
		require.NoError(t, l.Close())
		require.Len(t, disk.Bytes("newest"), 32, "from now on it says more")

		cut.Put(closedSegment, cut.Bytes(closedSegment)[:15000])
		l = open(t, cut, small)
		require.NoError(t, l.Recovery().Err(), "nothing says that there was more")
		require.Positive(t, l.Recovery().Torn)
	}
}

// TestNewest_CannotBeWritten: where closing cannot say how far all is durable, it says nothing, and the log is closed all the same. Where that, too, is refused it is not.
func TestNewest_CannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, refused := range [][]string{{"open"}, {"write"}, {"sync"}, {"close"}, {"write", "remove"}} {
		disk := spooltest.NewMem()
		var closing atomic.Bool
		l := open(t, &spooltest.Faulty{FS: disk, Before: func(_ int64, op, name string) error {
			if name == "newest" && slices.Contains(refused, op) && closing.Load() {
				return spooltest.ErrInjected
			}
			return nil
		}}, small)
		fill(t, l, 5, damageBody)
		closing.Store(true)
		closed := len(refused) == 1
		require.Equal(t, closed, l.Close() == nil, "%v", refused)
		require.Equal(t, closed, disk.Bytes("newest") == nil, "%v", refused)
		report, err := spool.VerifyFS(disk)
		require.NoError(t, err)
		require.Empty(t, report.Damage, "%v", refused)
		l = open(t, disk, small)
		require.Equal(t, closed, l.Recovery().Clean, "%v", refused)
		numbers, _ := read(t, l.Reader(spool.Beginning()), damageBody)
		require.Equal(t, upTo(5), numbers)
		require.NoError(t, l.Close())
	}
}

// FuzzNewest has the file that says which segment is the newest say anything, about the last segment too: what is there is read all the same, and numbers go on behind it.
func FuzzNewest(f *testing.F) {
	whole := spooltest.NewMem()
	l, err := spool.OpenFS(whole, small)
	require.NoError(f, err)
	for n := range uint64(5) {
		_, err := l.Append(f.Context(), body(n+1, damageBody))
		require.NoError(f, err)
	}
	killed := whole.Crash(nil)
	require.NoError(f, l.Close())
	f.Add(whole.Bytes("newest"), true)
	f.Add(whole.Bytes("newest"), false)
	f.Add(killed.Bytes("newest")[:12], true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, b []byte, closed bool) {
		disk := killed
		if closed {
			disk = whole
		}
		disk = disk.Crash(nil)
		if b = slices.Clone(b); len(b) == 32 {
			copy(b[8:16], disk.Bytes(closedSegment)[32:40]) // it is about that segment
			b[26], b[27] = b[26]&1, 0                       // and a file in memory
		}
		if end := len(b) - 4; end >= 0 {
			binary.LittleEndian.PutUint32(b[end:], crc32.Checksum(b[:end], crc32.MakeTable(crc32.Castagnoli)))
		}
		disk.Put("newest", b)
		_, err := spool.VerifyFS(disk)
		require.NoError(t, err)
		l, err := spool.OpenFS(disk, small)
		if errors.Is(err, spool.ErrDamaged) {
			require.Greater(t, binary.LittleEndian.Uint64(b), uint64(1), "another segment is missing")
			return
		}
		require.NoError(t, err)
		defer l.Close()
		numbers, _ := read(t, l.Reader(spool.Beginning()), damageBody)
		require.Equal(t, upTo(5), numbers)
		require.Greater(t, l.Next(), uint64(5))
	})
}
