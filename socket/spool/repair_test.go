package spool_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// ailing are spools to repair, each in another way, and what their disk cannot read.
func ailing(t *testing.T) map[string]*spooltest.Faulty {
	t.Helper()
	all := make(map[string]*spooltest.Faulty)
	ail := func(name string, hurt func(disk *spooltest.Mem, names []string)) *spooltest.Faulty {
		disk := threeSegments(t)
		hurt(disk, segments(t, disk))
		all[name] = &spooltest.Faulty{FS: disk}
		return all[name]
	}
	flip := func(disk *spooltest.Mem, name string) {
		disk.Flip(name, int64(len(ended(disk.Bytes(name), 0))-damageBody)*8)
	}
	ail("two segments", func(disk *spooltest.Mem, names []string) { flip(disk, names[0]); flip(disk, names[2]) })
	ail("no header", func(disk *spooltest.Mem, names []string) { disk.Put(names[1], make([]byte, 1000)) })
	ail("no last header", func(disk *spooltest.Mem, names []string) { disk.Put(names[2], make([]byte, 1000)) })
	ail("no last segment", func(disk *spooltest.Mem, names []string) { _ = disk.Remove(names[2]) })
	ail("no first segment", func(disk *spooltest.Mem, names []string) { _ = disk.Remove(names[0]) })
	ail("newest", func(disk *spooltest.Mem, _ []string) { disk.Flip("newest", 0) })
	ail("bad sector", func(*spooltest.Mem, []string) {}).Unreadable = func(name string, off, n int64) bool {
		return name == "00000000000000000002.seg" && off < spool.DataStart+9000 && off+n > spool.DataStart+8600
	}
	return all
}

func files(t *testing.T, disk *spooltest.Mem) map[string]string {
	t.Helper()
	names, err := disk.List(".")
	require.NoError(t, err)
	all := make(map[string]string)
	for _, name := range names {
		all[name] = string(disk.Bytes(name))
	}
	return all
}

// TestRepairFails has each call of Repair fail, and from each on the disk be full: each file is then as it was, or repaired and put aside, and what was begun is
// gone. The next Repair brings it to its end.
func TestRepairFails(t *testing.T) {
	t.Parallel()
	for name, sick := range ailing(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := &spooltest.Faulty{FS: sick.FS.(*spooltest.Mem).Crash(nil), Unreadable: sick.Unreadable}
			_, err := spool.RepairFS(whole)
			require.NoError(t, err)
			want, wantGaps := read(t, open(t, whole.FS, small).Queue().Reader(), damageBody)
			failed := 0
			for call := range whole.Calls() {
				for _, full := range []bool{false, true} {
					if repairFailsAt(t, sick, call+1, full, want, wantGaps) {
						failed++
					}
				}
			}
			assert.Greater(t, failed, 10)
		})
	}
}

func repairFailsAt(t *testing.T, sick *spooltest.Faulty, call int64, full bool, want []uint64, wantGaps []*spool.Gap) (failed bool) {
	t.Helper()
	at := fmt.Sprintf("call %d, full: %v", call, full)
	disk := sick.FS.(*spooltest.Mem).Crash(nil)
	before := files(t, disk)
	fs := &spooltest.Faulty{FS: disk, Unreadable: sick.Unreadable, Before: func(n int64, op, _ string) error {
		switch {
		case full && n >= call && (op == "write" || op == "allocate"):
			return spooltest.ErrNoSpace
		case !full && n == call:
			return spooltest.ErrInjected
		}
		return nil
	}}
	report, err := spool.RepairFS(fs)
	if failed = err != nil; failed && full {
		require.ErrorIs(t, err, spool.ErrFull, at)
		require.ErrorContains(t, err, " bytes", at)
	}
	asItWasOrRepaired(t, before, files(t, disk), at)
	for _, name := range report.Aside {
		require.NotNil(t, disk.Bytes(name), at)
	}

	again := &spooltest.Faulty{FS: disk, Unreadable: sick.Unreadable}
	_, err = spool.RepairFS(again)
	require.NoError(t, err, at)
	report, err = spool.VerifyFS(again)
	require.NoError(t, err, at)
	require.Empty(t, report.Damage, at)
	l := open(t, disk, small)
	require.Equal(t, uint64(len(want)), l.Queue().Pending(), at)
	numbers, gaps := read(t, l.Queue().Reader(), damageBody)
	require.Equal(t, want, numbers, at)
	require.Equal(t, wantGaps, gaps, at)
	require.NoError(t, l.Close())
	return failed
}

// asItWasOrRepaired wants each file to be what it was, or that to be aside, and nothing else to be there but a segment to go on in.
func asItWasOrRepaired(t *testing.T, before, after map[string]string, at string) {
	t.Helper()
	for name, b := range before {
		aside, ok := after[name+".bad"]
		if name != "newest" {
			require.True(t, after[name] == b != ok, "%s: %s is neither, or both", at, name)
		}
		if ok {
			require.True(t, aside == b, "%s: what is aside of %s is not what it was", at, name)
		}
	}
	for name := range after {
		if of, ok := strings.CutSuffix(name, ".bad"); ok {
			require.Contains(t, before, of, at)
		} else if name != "lost" && !regexp.MustCompile(`^0{19}[134]\.seg$`).MatchString(name) {
			require.Contains(t, before, name, at)
		}
	}
}
