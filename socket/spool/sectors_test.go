package spool_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// fourSegments returns a closed spool of 20 messages. The queue has acknowledged two of them and so has another consumer, who was made late; records in
// the third segment say so, and the checkpoint of the fourth.
func fourSegments(t *testing.T) *spooltest.Mem {
	t.Helper()
	disk := threeSegments(t)
	l, err := spool.OpenFS(disk, small)
	require.NoError(t, err)
	_, err = l.Consumer("audit", spool.At(3))
	require.NoError(t, err)
	require.NoError(t, l.Queue().Ack(1, 2))
	require.NoError(t, l.Flush(bounded(t)))
	whole := disk.Crash(nil) // what the crash leaves opens as a fourth segment, which knows both
	require.NoError(t, l.Close())
	l, err = spool.OpenFS(whole, small)
	require.NoError(t, err)
	fill(t, l, 5, damageBody)
	require.NoError(t, l.Close())
	return whole
}

// TestBothCheckpointsLost overwrites both copies of the checkpoint of the last segment, and of those before: what they said is found out from the segments
// before. No consumer goes forward, and none is forgotten; back goes nobody but for the first checkpoint of all.
func TestBothCheckpointsLost(t *testing.T) {
	t.Parallel()
	for lost := 1; lost <= 4; lost++ {
		disk := fourSegments(t)
		for n := 5 - lost; n <= 4; n++ {
			name := fmt.Sprintf("%020d.seg", n)
			b := disk.Bytes(name)
			for i := spool.DataStart; i < bytes.Index(b, body(uint64(5*n-4), damageBody))-32; i++ {
				b[i] = 0xFF
			}
			disk.Put(name, b)
		}
		l, err := spool.OpenFS(disk.Crash(nil), small)
		require.NoError(t, err)
		require.Contains(t, fmt.Sprint(l.Recovery().Damage), "no readable checkpoint")
		audit, err := l.Consumer("audit", spool.End())
		require.NoError(t, err)
		assert.Equal(t, uint64(2), audit.Floor())
		if lost < 4 {
			assert.Equal(t, uint64(2), l.Queue().Floor())
		}
		numbers, gaps := read(t, audit.Reader(), damageBody)
		assert.Equal(t, fromTo(3, 20), numbers)
		assert.Empty(t, gaps)
		require.NoError(t, l.Close())
		badSector(t, &spooltest.Faulty{FS: disk}, nil, fmt.Sprint(lost, " checkpoints"))
	}
}

// TestBadSectors overwrites each sector of a spool, and lets each be unreadable: the messages in it are lost and said to
// be, no other is, and no consumer goes forward or is forgotten.
func TestBadSectors(t *testing.T) {
	t.Parallel()
	whole := fourSegments(t)
	const sector = 4096
	for _, name := range segments(t, whole) {
		for at := 0; at < len(ended(whole.Bytes(name), 0)); at += sector {
			for how, hurt := range map[string]byte{"zeros": 0, "ones": 0xFF, "unreadable": 1} {
				left := whole.Crash(nil)
				fs := &spooltest.Faulty{FS: left}
				if how == "unreadable" {
					fs.Unreadable = func(in string, off, n int64) bool {
						return in == name && off < int64(at+sector) && int64(at) < off+n
					}
				} else {
					b := left.Bytes(name)
					for i := at; i < min(at+sector, len(b)); i++ {
						b[i] = hurt
					}
					left.Put(name, b)
				}
				lost := messagesIn(whole.Bytes(name), at, at+sector)
				report := badSector(t, fs, lost, fmt.Sprintf("%s %s at %d", how, strings.TrimLeft(name, "0"), at))
				require.NotContains(t, fmt.Sprint(report.Damage), "no readable checkpoint", "it is there twice")
			}
		}
	}
}

// messagesIn returns the numbers of the messages, but for those that all have acknowledged, of which some bytes lie from lo to hi.
func messagesIn(b []byte, lo, hi int) (numbers []uint64) {
	for n := uint64(3); n <= 20; n++ {
		at := bytes.Index(b, body(n, damageBody))
		if at > 0 && at-32 < hi && at+damageBody > lo {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// badSector repairs what is hurt, and wants these messages alone to be lost.
func badSector(t *testing.T, fs *spooltest.Faulty, lost []uint64, what string) spool.Report {
	t.Helper()
	report, err := spool.RepairFS(fs)
	require.NoError(t, err, what)
	require.NotEmpty(t, report.Damage, what)
	fs.Unreadable = nil // the file that had it has been put aside
	again, err := spool.VerifyFS(fs)
	require.NoError(t, err, what)
	require.Empty(t, again.Damage, what)
	l, err := spool.OpenFS(fs, small)
	require.NoError(t, err, what)
	defer l.Close()
	require.NoError(t, l.Recovery().Err(), what)
	require.Equal(t, []string{"audit"}, l.Consumers(), what)
	for name, floor := range map[string]uint64{"audit": 2, "": 2} {
		c := l.Queue()
		if name != "" {
			c, err = l.Consumer(name, spool.End())
			require.NoError(t, err)
		}
		require.LessOrEqual(t, c.Floor(), floor, what)
		numbers, gaps := read(t, c.Reader(), damageBody)
		there := make(map[uint64]bool)
		for _, n := range numbers {
			there[n] = true
		}
		for _, g := range gaps {
			for n := g.From; n <= g.To; n++ {
				there[n] = true
			}
		}
		for n := uint64(3); n <= 20; n++ {
			require.True(t, there[n], "%s: message %d neither read nor reported", what, n)
		}
	}
	numbers, gaps := read(t, l.Reader(spool.At(3)), damageBody)
	var gone []uint64
	for _, g := range gaps {
		gone = append(gone, fromTo(g.From, g.To)...)
	}
	require.Equal(t, lost, gone, what)
	require.Len(t, numbers, 18-len(lost), what)
	_, err = l.Reader(spool.End()).TryNext()
	require.ErrorIs(t, err, io.EOF)
	return report
}

// TestBothCheckpointsLost_OfTheSecond: what is known of a consumer is in records of the first segment, and in both checkpoints of the second, which are lost.
func TestBothCheckpointsLost_OfTheSecond(t *testing.T) {
	t.Parallel()
	for _, kind := range []spool.Kind{spool.Queue, spool.Topic} {
		o := small
		o.Kind = kind
		disk := spooltest.NewMem()
		l := open(t, disk, o)
		fill(t, l, 5, damageBody)
		audit, err := l.Consumer("audit", spool.Beginning())
		require.NoError(t, err)
		require.NoError(t, audit.Ack(1, 3))
		require.NoError(t, l.Flush(bounded(t)))
		disk = disk.Crash(nil)
		l = open(t, disk, o)
		fill(t, l, 5, damageBody)
		require.NoError(t, l.Close())
		name := segments(t, disk)[1]
		b := disk.Bytes(name)
		for i := spool.DataStart; i < bytes.Index(b, body(6, damageBody))-32; i++ {
			b[i] = 0xFF
		}
		disk.Put(name, b)
		l = open(t, disk, o)
		require.Contains(t, fmt.Sprint(l.Recovery().Damage), "no readable checkpoint")
		require.Equal(t, []string{"audit"}, l.Consumers())
		audit, err = l.Consumer("audit", spool.End())
		require.NoError(t, err)
		numbers, gaps := read(t, audit.Reader(), damageBody)
		require.Equal(t, fromTo(4, 10), numbers)
		require.Empty(t, gaps)
	}
}
