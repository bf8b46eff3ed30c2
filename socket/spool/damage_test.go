package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

const damageBody = 40

// threeSegments returns a closed spool of three segments with five messages each.
func threeSegments(t *testing.T) *spooltest.Mem {
	t.Helper()
	disk := spooltest.NewMem()
	for i := range 3 {
		l, err := spool.OpenFS(disk, small)
		require.NoError(t, err)
		fill(t, l, 5, damageBody)
		left := disk.Crash(nil) // the next opening begins another segment
		require.NoError(t, l.Close())
		if i < 2 {
			disk = left
		}
	}
	return disk
}

// segments returns the names of the segments, in order.
func segments(t *testing.T, fs spool.FS) (names []string) {
	t.Helper()
	all, err := fs.List(".")
	require.NoError(t, err)
	slices.Sort(all)
	for _, name := range all {
		if path.Ext(name) == ".seg" {
			names = append(names, name)
		}
	}
	return names
}

// TestEveryBit flips each bit of a spool: what is lost is the message the bit belongs to, or nothing, and it is
// reported by the reader and by Verify; and Repair leaves a spool that is sound and has everything else.
func TestEveryBit(t *testing.T) {
	t.Parallel()
	disk := threeSegments(t)
	report, err := spool.VerifyFS(disk)
	require.NoError(t, err)
	require.Empty(t, report.Damage)
	require.Equal(t, uint64(15), report.Messages)
	for _, name := range segments(t, disk) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for bit := range int64(len(ended(disk.Bytes(name), 0))) * 8 {
				inHeader := bit/8%spool.HeaderCopyAt < spool.HeaderSize
				if bit/8 < spool.DataStart && !inHeader && !thorough && bit%1021 != 0 || bit%every != 0 {
					continue
				}
				hurt := disk.Crash(nil)
				hurt.Flip(name, bit)
				oneMessageAtMost(t, hurt, bit, bit%13 == 0)
			}
		})
	}
}

func oneMessageAtMost(t *testing.T, fs *spooltest.Mem, bit int64, repair bool) {
	t.Helper()
	report, err := spool.VerifyFS(fs)
	require.NoError(t, err, "bit %d", bit)
	lost := lostIn(report)
	require.LessOrEqual(t, len(lost), 1, "bit %d", bit)
	if report.Torn == 0 {
		require.Len(t, report.Damage, 1, "bit %d", bit)
		d := report.Damage[0]
		require.True(t, d.Offset <= bit/8 && bit/8 < d.Offset+d.Bytes, "bit %d is not in %v", bit, d)
	}
	if repair {
		_, err := spool.RepairFS(fs)
		require.NoError(t, err, "bit %d", bit)
		again, err := spool.VerifyFS(fs)
		require.NoError(t, err, "bit %d", bit)
		require.Empty(t, again.Damage, "bit %d", bit)
	}
	l, err := spool.OpenFS(fs, small)
	require.NoError(t, err, "bit %d", bit)
	defer l.Close()
	numbers, gaps := read(t, l.Queue().Reader(), damageBody)
	var gone []uint64
	for _, g := range gaps {
		require.True(t, g.Damaged)
		gone = append(gone, fromTo(g.From, g.To)...)
	}
	require.Equal(t, lost, gone, "bit %d", bit)
	require.Len(t, numbers, 15-len(lost), "bit %d", bit)
}

// TestEveryBit_Letters flips each bit of dead letters, and some of the room behind them: what is lost is the letter the bit belongs to, or nothing, it is reported by Letters and by Verify, and no
// message of the spool is. Who opens the spool is told, too: after SIGKILL, of the last letter, that the end was torn.
func TestEveryBit_Letters(t *testing.T) {
	t.Parallel()
	const buried = 5
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	bury(t, l, buried)
	fill(t, l, 5, damageBody)
	require.NoError(t, l.Flush(bounded(t)))
	killed := disk.Crash(nil)
	require.NoError(t, l.Close())
	for how, disk := range map[string]*spooltest.Mem{"closed": disk, "killed": killed} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			names, err := disk.List("dead")
			require.NoError(t, err)
			names = slices.DeleteFunc(names, func(name string) bool { return name == "next" })
			require.Len(t, names, 2, "a segment, and the file that says which is the newest")
			torn := 0
			for _, name := range names {
				name = "dead/" + name
				records := int64(len(bytes.TrimRight(disk.Bytes(name), "\x00"))) * 8
				for bit := range int64(len(disk.Bytes(name))) * 8 {
					if often := int64(rounds(27, 1)); bit%(every*often) != 0 || bit >= records && bit%int64(rounds(1021, unwritten)) != 0 {
						continue
					}
					hurt := disk.Crash(nil)
					hurt.Flip(name, bit)
					torn += oneLetterAtMost(t, hurt, name, bit, buried, bit < records)
				}
			}
			require.Equal(t, how == "killed", torn > 0, "letters that were cut off")
		})
	}
}

// oneLetterAtMost returns how many letters were cut off as a torn end.
func oneLetterAtMost(t *testing.T, fs *spooltest.Mem, name string, bit int64, buried int, written bool) (torn int) {
	t.Helper()
	report, err := spool.VerifyFS(fs)
	require.NoError(t, err, "%s, bit %d", name, bit)
	lost := lostIn(report)
	require.LessOrEqual(t, len(lost), 1, "%s, bit %d", name, bit)
	if strings.HasSuffix(name, ".seg") && report.Torn == 0 && written {
		require.Len(t, report.Damage, 1, "bit %d", bit)
		require.Equal(t, name, report.Damage[0].Segment)
	}
	view, err := spool.OpenViewFS(fs)
	require.NoError(t, err, "%s, bit %d", name, bit)
	defer view.Close()
	l, err := spool.OpenFS(fs, small)
	require.NoError(t, err, "%s, bit %d", name, bit)
	defer l.Close()
	r := l.Stats().Recovery
	require.Equal(t, view.Stats().Recovery, r, "%s, bit %d", name, bit)
	require.Equal(t, report.Torn, r.TornLetters, "%s, bit %d", name, bit)
	require.Zero(t, r.Torn, "it is not of the spool")
	require.False(t, r.AcksLost(), "nor are what it acknowledges")
	numbers, gaps := read(t, l.Queue().Reader(), damageBody)
	require.Equal(t, fromTo(uint64(buried)+1, uint64(buried)+5), numbers)
	require.Empty(t, gaps)
	dead, err := l.Dead()
	require.NoError(t, err, "%s, bit %d", name, bit)
	var gone []uint64
	there := 0
	for letter, err := range dead.Letters() {
		var gap *spool.Gap
		if errors.As(err, &gap) {
			require.True(t, gap.Damaged)
			gone = append(gone, fromTo(gap.From, gap.To)...)
			continue
		}
		require.NoError(t, err, "%s, bit %d", name, bit)
		require.Equal(t, string(body(letter.Origin, damageBody)), string(letter.Frames[0]))
		require.Equal(t, "no good", letter.Reason)
		there++
	}
	require.Equal(t, lost, gone, "%s, bit %d", name, bit)
	require.LessOrEqual(t, buried-there, 1, "%s, bit %d", name, bit)
	if torn = buried - len(lost) - there; torn > 0 {
		require.Positive(t, r.TornLetters, "%s, bit %d", name, bit)
		again, err := spool.VerifyFS(fs)
		require.NoError(t, err, "%s, bit %d", name, bit)
		require.Zero(t, again.Torn, "it is cut off, and told once")
	} else if len(lost) > 0 {
		require.Equal(t, name, r.Damage[0].Segment, "%s, bit %d", name, bit)
		require.ErrorIs(t, r.Err(), spool.ErrDamaged)
	}
	return torn
}

func lostIn(r spool.Report) (lost []uint64) {
	for _, d := range r.Damage {
		if d.To > 0 {
			lost = append(lost, fromTo(d.From, d.To)...)
		}
	}
	return lost
}

// TestBadSectorTakesWhatItTouches: of messages of about its size a bad sector takes three at most, next to each other, which are named, and no other.
func TestBadSectorTakesWhatItTouches(t *testing.T) {
	t.Parallel()
	const sector, size, n = 4096, 3000, 60
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	fill(t, l, n, size)
	require.NoError(t, l.Close())
	first := slices.Min(segments(t, disk))
	taken := map[uint64]bool{}
	for at := 0; at < len(disk.Bytes(first)); at += sector {
		hurt := disk.Crash(nil)
		b := hurt.Bytes(first)
		clear(b[at:min(at+sector, len(b))])
		hurt.Put(first, b)
		report, err := spool.VerifyFS(hurt)
		require.NoError(t, err)
		lost := lostIn(report)
		l := open(t, hurt, small)
		numbers, gaps := read(t, l.Queue().Reader(), size)
		require.Len(t, numbers, n-len(lost), "the sector at %d", at)
		if len(lost) == 0 {
			require.Empty(t, gaps)
			continue
		}
		require.LessOrEqual(t, len(lost), 3, "the sector at %d", at)
		require.Equal(t, []*spool.Gap{{From: lost[0], To: lost[len(lost)-1], Damaged: true}}, gaps)
		for _, m := range lost {
			taken[m] = true
		}
	}
	for m := range uint64(len(taken)) {
		require.True(t, taken[m+1], "each is on some sector of the first segment")
	}
	require.Greater(t, len(taken), 15)
}

func TestBothHeadersLost(t *testing.T) {
	t.Parallel()
	for i, want := range [][]uint64{fromTo(6, 15), append(upTo(5), fromTo(11, 15)...), upTo(10)} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			disk := threeSegments(t)
			name := fmt.Sprintf("%020d.seg", i+1)
			b := disk.Bytes(name)
			clear(b[:spool.DataStart])
			disk.Put(name, b)
			if i == 2 {
				_, err := spool.OpenFS(disk, small)
				require.ErrorIs(t, err, spool.ErrDamaged)
			}
			report, err := spool.RepairFS(disk)
			require.NoError(t, err)
			require.Contains(t, fmt.Sprint(report.Damage), "no readable header")
			again, err := spool.VerifyFS(disk)
			require.NoError(t, err)
			assert.Empty(t, again.Damage)
			l := open(t, disk, small)
			numbers, _ := read(t, l.Queue().Reader(), damageBody)
			assert.Equal(t, want, numbers)
			assert.Equal(t, b, disk.Bytes(name+".bad"), "nothing is deleted")
			fill(t, l, 1, damageBody)
			r := l.Reader(spool.At(l.Next() - 1))
			rec, err := r.TryNext()
			require.NoError(t, err)
			assert.Equal(t, i == 2, rec.Incarnation > 1<<16, "numbers of a lost last segment are not given again")
			require.NoError(t, r.Close())
		})
	}
}

func TestDamagedDirectory(t *testing.T) {
	t.Parallel()
	name := func(n int) string { return fmt.Sprintf("%020d.seg", n) }
	for what, c := range map[string]struct {
		hurt func(t *testing.T, disk *spooltest.Mem)
		err  error
		gap  []uint64
	}{
		"first missing":  {hurt: func(t *testing.T, d *spooltest.Mem) { require.NoError(t, d.Remove(name(1))) }, gap: upTo(5)},
		"middle missing": {hurt: func(t *testing.T, d *spooltest.Mem) { require.NoError(t, d.Remove(name(2))) }, gap: fromTo(6, 10)},
		"last missing":   {hurt: func(t *testing.T, d *spooltest.Mem) { require.NoError(t, d.Remove(name(3))) }, err: spool.ErrDamaged},
		"swapped": {hurt: func(t *testing.T, d *spooltest.Mem) {
			a, b := d.Bytes(name(1)), d.Bytes(name(2))
			d.Put(name(1), b)
			d.Put(name(2), a)
		}, err: spool.ErrForeign},
		"duplicated": {hurt: func(t *testing.T, d *spooltest.Mem) { d.Put(name(9), d.Bytes(name(1))) }, err: spool.ErrForeign},
		"of another spool": {hurt: func(t *testing.T, d *spooltest.Mem) {
			d.Put(name(2), threeSegments(t).Bytes(name(2)))
		}, err: spool.ErrForeign},
		"another version": {hurt: func(t *testing.T, d *spooltest.Mem) {
			b := d.Bytes(name(3))
			b[6], b[spool.HeaderCopyAt+6] = 9, 9
			d.Put(name(3), b)
		}, err: spool.ErrVersion},
		"last header lost": {hurt: func(t *testing.T, d *spooltest.Mem) {
			b := d.Bytes(name(3))
			clear(b[:spool.DataStart])
			d.Put(name(3), b)
		}, err: spool.ErrDamaged},
		"no header left": {hurt: func(t *testing.T, d *spooltest.Mem) {
			for i := range 3 {
				d.Put(name(i+1), make([]byte, 1000))
			}
		}, err: spool.ErrDamaged},
		"empty file": {hurt: func(t *testing.T, d *spooltest.Mem) { d.Put(name(4), nil) }, err: spool.ErrDamaged},
		"cut short":  {hurt: func(t *testing.T, d *spooltest.Mem) { d.Put(name(2), d.Bytes(name(2))[:spool.DataStart+4096+150]) }, gap: fromTo(7, 10)},
	} {
		t.Run(strings.ReplaceAll(what, " ", "-"), func(t *testing.T) {
			t.Parallel()
			disk := threeSegments(t)
			c.hurt(t, disk)
			if c.err != nil {
				dir := onDisk(t, disk)
				refused(t, dir, dir, small, c.err)
				return
			}
			l := open(t, disk, small)
			_, gaps := read(t, l.Queue().Reader(), damageBody)
			var gone []uint64
			for _, g := range gaps {
				gone = append(gone, fromTo(g.From, g.To)...)
			}
			assert.Equal(t, c.gap, gone)
		})
	}
}
