package spool_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// positions are the messages that each consumer has acknowledged; that of Queue has no name.
type positions map[string][]uint64

func positionsOf(t *testing.T, l *spool.Log) positions {
	t.Helper()
	all := positions{}
	for _, info := range l.Stats().Consumers {
		c := l.Queue()
		if info.Name != "" {
			var err error
			c, err = l.Consumer(info.Name, spool.End())
			require.NoError(t, err)
		}
		all[info.Name] = []uint64{}
		for n := uint64(1); n < l.Next(); n++ {
			if c.Acked(n) {
				all[info.Name] = append(all[info.Name], n)
			}
		}
	}
	return all
}

// chapter is a log after one more commit, as SIGKILL leaves it.
type chapter struct {
	disk *spooltest.Mem
	end  int // of the records of its last segment
	positions
}

// acknowledging returns a log of two segments as it was after each commit of the second: names are made in either, one is removed, and they acknowledge, one by one and
// in ranges that lie apart; the first chapter has nothing behind the checkpoint. closed is how Close left it.
func acknowledging(t *testing.T, kind spool.Kind) (chapters []chapter, closed *spooltest.Mem) {
	t.Helper()
	o := small
	o.Kind = kind
	disk := spooltest.NewMem()
	l := open(t, disk, o)
	consumer := func(name string, start spool.Start) *spool.Consumer {
		c, err := l.Consumer(name, start)
		require.NoError(t, err)
		return c
	}
	ack := func(c *spool.Consumer, lo, hi uint64) { require.NoError(t, c.Ack(lo, hi)) }
	fill(t, l, 5, damageBody)
	ack(consumer("early", spool.Beginning()), 1, 2)
	consumer("gone", spool.Beginning())
	require.NoError(t, l.Flush(bounded(t)))
	disk = disk.Crash(nil)
	require.NoError(t, l.Close())

	l = open(t, disk, o)
	first := l.Queue()
	if first == nil {
		first = consumer("early", spool.Beginning())
	}
	for _, commit := range []func(){
		func() {},
		func() { fill(t, l, 3, damageBody) },
		func() { ack(first, 3, 3) },
		func() { ack(consumer("early", spool.Beginning()), 5, 6) },
		func() { consumer("late", spool.At(4)) },
		func() { consumer("silent", spool.At(3)) }, // which nothing speaks of afterwards
		func() { require.NoError(t, l.RemoveConsumer("gone")) },
		func() { ack(consumer("late", spool.End()), 7, 8); ack(first, 1, 1) },
		func() { consumer("last", spool.At(2)); ack(first, 8, 8); fill(t, l, 2, damageBody) },
		func() {
			_, err := consumer("last", spool.End()).Fail(2)
			require.NoError(t, err)
			ack(consumer("late", spool.End()), 4, 4)
		},
	} {
		commit()
		require.NoError(t, l.Flush(bounded(t)))
		left := disk.Crash(nil)
		end := (len(bytes.TrimRight(left.Bytes(slices.Max(segments(t, left))), "\x00")) + 7) &^ 7 // of a record
		chapters = append(chapters, chapter{left, end, positionsOf(t, l)})
	}
	require.NoError(t, l.Close())
	return chapters, disk
}

// TestEveryBit_Positions flips each bit of the checkpoints and acknowledgements of the last segment, and of what lies between them: no consumer goes forward, none is
// forgotten, what comes again is what the record acknowledged that the bit belongs to, and it is said. After a crash the last commit may be gone, as the end that was torn.
func TestEveryBit_Positions(t *testing.T) {
	t.Parallel()
	for _, kind := range []spool.Kind{spool.Queue, spool.Topic} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			chapters, closed := acknowledging(t, kind)
			again := 0
			for i, c := range chapters {
				from, before := spool.DataStart, c.positions
				if i == 0 { // nothing else knows what its checkpoint says
					require.NoError(t, c.disk.Remove(slices.Min(segments(t, c.disk))))
				} else {
					from, before = chapters[i-1].end, chapters[i-1].positions
				}
				for bit := int64(from) * 8; bit < int64(c.end)*8; bit++ {
					zeros := i == 0 && c.disk.Bytes(segments(t, c.disk)[0])[bit/8] == 0
					if bit%every != 0 || zeros && !thorough && bit%1021 != 0 {
						continue
					}
					goesBack(t, c.disk, kind, bit, before, c.positions, true)
					last := chapters[len(chapters)-1]
					sure := without(last.positions, c.positions, before)
					if i < len(chapters)-1 && (thorough || bit%2 == 0) {
						again += goesBack(t, last.disk, kind, bit, sure, last.positions, false)
					}
					if thorough || bit%2 == 1 {
						again += goesBack(t, closed, kind, bit, sure, last.positions, false)
					}
				}
			}
			require.Positive(t, again)
		})
	}
}

// without returns all but what is in one and was not before.
func without(all, one, before positions) positions {
	left := positions{}
	for name, acked := range all {
		left[name] = slices.DeleteFunc(slices.Clone(acked), func(n uint64) bool {
			return slices.Contains(one[name], n) && !slices.Contains(before[name], n)
		})
	}
	return left
}

// goesBack opens the log with a bit of its last segment flipped. What it knows is at least what is sure, and at most all; with torn that may be because its end was
// torn. It returns how many messages come again.
func goesBack(t *testing.T, whole *spooltest.Mem, kind spool.Kind, bit int64, sure, all positions, torn bool) (again int) {
	t.Helper()
	disk, o := whole.Crash(nil), small
	o.Kind = kind
	disk.Flip(slices.Max(segments(t, disk)), bit)
	report, err := spool.VerifyFS(disk)
	require.NoError(t, err, "bit %d", bit)
	require.True(t, len(report.Damage) > 0 || report.Torn > 0, "bit %d is told by nobody", bit)
	l, err := spool.OpenFS(disk, o)
	require.NoError(t, err, "bit %d", bit)
	defer l.Close()
	r, is := l.Stats().Recovery, positionsOf(t, l)
	for name, acked := range all {
		require.Subset(t, acked, is[name], "bit %d: %s", bit, name)
		if _, known := sure[name]; known {
			require.Contains(t, is, name, "bit %d", bit)
			require.Subset(t, is[name], sure[name], "bit %d: %s", bit, name)
		}
		again += len(acked) - len(is[name])
	}
	if again == 0 && len(is) == len(all) {
		return 0
	}
	require.True(t, r.AcksLost() || torn && r.Torn > 0, "bit %d: %+v", bit, r)
	return again
}

// TestNameLostWithItsMaking: where the disk took what says that a name was made, what it acknowledged afterwards is enough to know that there is one. It begins anew, but for that.
func TestNameLostWithItsMaking(t *testing.T) {
	t.Parallel()
	for _, kind := range []spool.Kind{spool.Queue, spool.Topic} {
		chapters, disk := acknowledging(t, kind)
		const made = 4
		require.NotContains(t, chapters[made-1].positions, "late")
		require.Contains(t, chapters[made].positions, "late")
		name := slices.Max(segments(t, disk))
		b := disk.Bytes(name)
		clear(b[chapters[made-1].end:chapters[made].end])
		disk.Put(name, b)
		o := small
		o.Kind = kind
		l := open(t, disk, o)
		require.True(t, l.Recovery().AcksLost())
		want := maps.Clone(chapters[len(chapters)-1].positions)
		want["late"] = []uint64{4, 7, 8}
		require.Equal(t, want, positionsOf(t, l))
	}
}

// TestCheckpointLostOfADrainedQueue: what a queue has let go was acknowledged, and nobody says that it was lost, also where the disk took what said so.
func TestCheckpointLostOfADrainedQueue(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	_, err := l.Consumer("named", spool.Beginning())
	require.NoError(t, err)
	fill(t, l, 1000, 500)
	ack := func(lo, hi uint64) {
		for _, name := range []string{"", "named"} {
			c := l.Queue()
			if name != "" {
				c, err = l.Consumer(name, spool.End())
				require.NoError(t, err)
			}
			require.NoError(t, c.Ack(lo, hi))
		}
		require.NoError(t, l.Release(bounded(t)))
	}
	ack(1, 1000)
	fill(t, l, 200, 500) // the next segment begins with that
	ack(1001, 1100)
	require.Len(t, l.Stats().Segments, 2)
	ack(1101, 1195)
	require.Len(t, l.Stats().Segments, 1)
	first := l.Stats().First
	require.Greater(t, first, uint64(1000))
	require.NoError(t, l.Flush(bounded(t)))

	hurt := disk.Crash(nil)
	name := slices.Max(segments(t, hurt))
	for _, copy := range []int64{0, 4096} {
		hurt.Flip(name, (spool.DataStart+copy+20)*8)
	}
	report, err := spool.VerifyFS(hurt)
	require.NoError(t, err)
	require.NotEmpty(t, report.Damage)
	assert.Empty(t, lostIn(report))
	l = open(t, hurt, small)
	assert.True(t, l.Recovery().AcksLost())
	require.Len(t, l.Stats().Consumers, 2)
	for _, c := range l.Stats().Consumers {
		assert.GreaterOrEqual(t, c.Floor, first-1, c.Name)
		assert.LessOrEqual(t, c.Pending, 1200-(first-1), c.Name)
	}
	numbers, gaps := read(t, l.Queue().Reader(), 500)
	assert.Subset(t, numbers, fromTo(1196, 1200))
	assert.Empty(t, gaps)
}
