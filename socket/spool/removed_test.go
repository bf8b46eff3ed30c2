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
