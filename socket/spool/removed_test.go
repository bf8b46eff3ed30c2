package spool_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestLastSegmentMissing_Numbers: of a log that was closed, the file "newest" knows how many messages went with the last segment, whose file is gone, empty or without header. Readers get a
// gap for them, and they are not given again.
func TestLastSegmentMissing_Numbers(t *testing.T) {
	t.Parallel()
	const size = 400
	for how, hurt := range map[string]func(disk *spooltest.Mem, name string){
		"gone":      func(disk *spooltest.Mem, name string) { _ = disk.Remove(name) },
		"empty":     func(disk *spooltest.Mem, name string) { disk.Put(name, nil) },
		"no header": func(disk *spooltest.Mem, name string) { disk.Put(name, make([]byte, 1000)) },
	} {
		for _, kind := range []spool.Kind{spool.Queue, spool.Topic} {
			t.Run(how+" "+kind.String(), func(t *testing.T) {
				t.Parallel()
				o := small
				o.Kind = kind
				disk := spooltest.NewMem()
				l := open(t, disk, o)
				fill(t, l, 500, size)
				last := l.Stats().Segments[len(l.Stats().Segments)-1]
				require.Greater(t, last.From, uint64(1))
				require.NoError(t, l.Close())
				hurt(disk, last.Name)
				report, err := spool.RepairFS(disk)
				require.NoError(t, err)
				assert.Equal(t, fromTo(last.From, 500), lostIn(report))
				report, err = spool.VerifyFS(disk)
				require.NoError(t, err)
				assert.Empty(t, report.Damage)
				l = open(t, disk, o)
				assert.Equal(t, uint64(501), l.Next())
				fill(t, l, 5, size)
				if kind == spool.Queue {
					assert.Equal(t, last.From-1+5, l.Queue().Pending())
				}
				numbers, gaps := read(t, l.Reader(spool.Beginning()), size)
				assert.Equal(t, append(upTo(last.From-1), fromTo(501, 505)...), numbers)
				assert.Equal(t, []*spool.Gap{{From: last.From, To: 500, Damaged: true}}, gaps)
			})
		}
	}
}

// TestFirstSegmentMissing: Verify says what is gone with it, and so does opening, until it is acknowledged, or until Repair has marked it. Readers get the gap each time.
func TestFirstSegmentMissing(t *testing.T) {
	t.Parallel()
	first, second := "00000000000000000001.seg", "00000000000000000002.seg"
	for how, hurt := range map[string]func(disk *spooltest.Mem) (lost uint64){
		"gone":      func(disk *spooltest.Mem) uint64 { _ = disk.Remove(first); return 5 },
		"no header": func(disk *spooltest.Mem) uint64 { disk.Put(first, make([]byte, 1000)); return 5 },
		"two": func(disk *spooltest.Mem) uint64 {
			_ = disk.Remove(first)
			disk.Put(second, nil)
			return 10
		},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			disk := threeSegments(t)
			lost := hurt(disk)
			wantGap := func(l *spool.Log) {
				numbers, gaps := read(t, l.Queue().From(1), damageBody)
				assert.Equal(t, fromTo(lost+1, 15), numbers)
				assert.Equal(t, []*spool.Gap{{From: 1, To: lost, Damaged: true}}, gaps)
				require.NoError(t, l.Close())
			}
			l := open(t, disk.Crash(nil), small)
			require.ErrorIs(t, l.Recovery().Err(), spool.ErrDamaged)
			wantGap(l)

			report, err := spool.RepairFS(disk)
			require.NoError(t, err)
			assert.Equal(t, upTo(lost), lostIn(report))
			for range 2 {
				report, err = spool.VerifyFS(disk)
				require.NoError(t, err)
				assert.Empty(t, report.Damage)
				l = open(t, disk, small)
				require.NoError(t, l.Recovery().Err())
				wantGap(l)
			}
			l = open(t, disk, small)
			require.NoError(t, l.Queue().Ack(1, lost))
			require.NoError(t, l.Release(bounded(t)))
			assert.Equal(t, lost+1, l.First(), "the mark goes with what it stands for")
			require.NoError(t, l.Close())
			report, err = spool.VerifyFS(disk)
			require.NoError(t, err)
			assert.Empty(t, report.Damage)
		})
	}
}

// TestFirstSegmentMissing_Acknowledged: nobody lacks what was in it.
func TestFirstSegmentMissing_Acknowledged(t *testing.T) {
	t.Parallel()
	disk := threeSegments(t)
	require.NoError(t, disk.Remove("00000000000000000001.seg"))
	l := open(t, disk, small)
	require.NoError(t, l.Queue().Ack(1, 5))
	require.NoError(t, l.Close())
	report, err := spool.VerifyFS(disk)
	require.NoError(t, err)
	assert.Empty(t, report.Damage)
	require.NoError(t, open(t, disk, small).Recovery().Err())
}

// again is the number that the next message gets, and whether it cannot be taken for one that had it before.
func again(t *testing.T, disk *spooltest.Mem, before uint32) (next uint64, another bool) {
	t.Helper()
	l := open(t, disk, small)
	defer func() { require.NoError(t, l.Close()) }()
	next = l.Next()
	fill(t, l, 1, damageBody)
	r := l.Reader(spool.At(next))
	defer r.Close()
	rec, err := r.TryNext()
	require.NoError(t, err)
	require.Equal(t, next, rec.Number)
	return next, rec.Incarnation > before
}

// TestLastSegmentMissing_NobodyKnowsHowMany: without the file "newest", or where that is an old one which says no numbers, Repair goes on behind what there is, in another incarnation.
func TestLastSegmentMissing_NobodyKnowsHowMany(t *testing.T) {
	t.Parallel()
	newest := threeSegments(t).Bytes("newest")
	old := binary.LittleEndian.AppendUint32(newest[:8:8], crc32.Checksum(newest[:8], crc32.MakeTable(crc32.Castagnoli)))
	for how, hurt := range map[string]func(disk *spooltest.Mem, name string){
		"no header, no newest":  func(disk *spooltest.Mem, name string) { disk.Put(name, make([]byte, 1000)); _ = disk.Remove("newest") },
		"no header, old newest": func(disk *spooltest.Mem, name string) { disk.Put(name, make([]byte, 1000)); disk.Put("newest", old) },
		"gone, old newest":      func(disk *spooltest.Mem, name string) { _ = disk.Remove(name); disk.Put("newest", old) },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			disk := threeSegments(t)
			hurt(disk, segments(t, disk)[2])
			_, err := spool.OpenFS(disk, small)
			require.ErrorIs(t, err, spool.ErrDamaged)
			_, err = spool.RepairFS(disk)
			require.NoError(t, err)
			report, err := spool.VerifyFS(disk)
			require.NoError(t, err)
			assert.Empty(t, report.Damage)
			next, another := again(t, disk, 1<<16)
			assert.EqualValues(t, 11, next)
			assert.True(t, another)
			l := open(t, disk, small)
			numbers, gaps := read(t, l.Queue().Reader(), damageBody)
			assert.Equal(t, upTo(11), numbers)
			assert.Empty(t, gaps)
		})
	}
}

// TestLastSegmentCutShort before or within what it begins with: it is said where the file ends, as long as that is no more than the headers, and which messages are gone, as far as the file "newest" knows.
func TestLastSegmentCutShort(t *testing.T) {
	t.Parallel()
	const name, begins, endMark = "00000000000000000003.seg", spool.DataStart, 32
	for size, what := range map[int64]string{
		80: "the file ends at byte 80", begins - 1: "the file ends at byte 8191", begins: "the file ends at byte 8192", begins + 1: "no readable checkpoint",
	} {
		for known, want := range map[bool]spool.Damage{
			true:  {Segment: name, Offset: begins, Bytes: int64(len(ended(threeSegments(t).Bytes(name), 0))) - begins - endMark, From: 11, To: 15, Acks: true, What: what},
			false: {Segment: name, Offset: min(begins, size), From: 11, Acks: true, What: what},
		} {
			t.Run(fmt.Sprint(size, " ", known), func(t *testing.T) {
				t.Parallel()
				disk := threeSegments(t)
				disk.Put(name, disk.Bytes(name)[:size])
				if !known {
					require.NoError(t, disk.Remove("newest"))
				}
				report, err := spool.VerifyFS(disk)
				require.NoError(t, err)
				assert.Equal(t, []spool.Damage{want}, report.Damage)
				l := open(t, disk.Crash(nil), small)
				assert.Equal(t, []spool.Damage{want}, l.Recovery().Damage)
				_, err = spool.RepairFS(disk)
				require.NoError(t, err)
				next, another := again(t, disk, 3)
				assert.Equal(t, max(want.From, want.To+1), next)
				assert.True(t, another || known)
			})
		}
	}
}

// TestCheckpointLost_NoMessageIs: none is said to be lost with it where the file "newest" knows that there was none, or where all that there were can be read.
func TestCheckpointLost_NoMessageIs(t *testing.T) {
	t.Parallel()
	empty := spooltest.NewMem()
	l := open(t, empty, small)
	fill(t, l, 5, damageBody)
	empty = empty.Crash(nil) // the next opening begins another segment
	require.NoError(t, l.Close())
	require.NoError(t, open(t, empty, small).Close())
	last := segments(t, empty)[1]
	empty.Put(last, empty.Bytes(last)[:spool.DataStart])

	readable := threeSegments(t)
	for copies := range int64(2) { // a sector apart
		readable.Flip(segments(t, readable)[2], (spool.DataStart+4096*copies)*8)
	}
	require.NoError(t, readable.Remove("newest"))
	for disk, what := range map[*spooltest.Mem]string{empty: "the file ends at byte 8192", readable: "no readable checkpoint"} {
		report, err := spool.VerifyFS(disk)
		require.NoError(t, err)
		for _, found := range [][]spool.Damage{report.Damage, open(t, disk, small).Recovery().Damage} {
			require.Len(t, found, 1)
			assert.Contains(t, found[0].String(), what+": no message lost, but acknowledgements may be")
		}
	}
}
