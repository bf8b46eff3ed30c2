package spool_test

import (
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
