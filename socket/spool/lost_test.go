package spool_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

const secondSegment = "00000000000000000002.seg"

// there returns what is pending when the log is opened, and how many messages a reader finds.
func there(t *testing.T, disk *spooltest.Mem) (pending, found uint64) {
	t.Helper()
	l := open(t, disk.Crash(nil), small)
	defer l.Close()
	pending = l.Queue().Pending()
	numbers, _ := read(t, l.Queue().Reader(), damageBody)
	return pending, uint64(len(numbers))
}

// before returns the log as it was before what is behind its first n segments.
func before(t *testing.T, disk *spooltest.Mem, n int) *spooltest.Mem {
	t.Helper()
	early := disk.Crash(nil)
	require.NoError(t, early.Remove("newest"))
	for _, name := range segments(t, early)[n:] {
		require.NoError(t, early.Remove(name))
	}
	return early.Crash(nil)
}

// TestLostIsOfNoUse: what the file of what is lost says counts for the log it was written for, as long as that goes on behind it. One of no use is as none at all.
func TestLostIsOfNoUse(t *testing.T) {
	t.Parallel()
	disk := ailing(t)["no last segment"].FS.(*spooltest.Mem)
	_, err := spool.RepairFS(disk)
	require.NoError(t, err)
	lost := disk.Bytes("lost")
	pending := func(disk *spooltest.Mem, lost []byte) uint64 {
		disk.Put("lost", lost)
		l := open(t, disk, small)
		defer l.Close()
		return l.Queue().Pending()
	}
	require.Equal(t, uint64(10), pending(disk.Crash(nil), lost))
	require.Equal(t, uint64(15), pending(threeSegments(t), lost), "of another")
	middle := ailing(t)["no header"].FS.(*spooltest.Mem) // where opening alone does not find out
	_, err = spool.RepairFS(middle)
	require.NoError(t, err)
	of := middle.Bytes("lost")
	for bit := range len(of) * 8 {
		bad := bytes.Clone(of)
		bad[bit/8] ^= 1 << (bit % 8)
		require.Equal(t, uint64(15), pending(middle.Crash(nil), bad))
	}

	early := before(t, disk, 2)
	require.Equal(t, uint64(10), pending(early, lost))
	l := open(t, early, small)
	fill(t, l, 20, damageBody)
	require.NoError(t, l.Close())
	pendingNow, found := there(t, early)
	assert.Equal(t, uint64(30), pendingNow, "numbers that were given again are not lost")
	assert.Equal(t, uint64(30), found)
}

// TestLostIsWrittenAnew: Repair puts one that is of use in the place of one that is not, though both name the same messages, and adds what has been lost since.
func TestLostIsWrittenAnew(t *testing.T) {
	t.Parallel()
	repaired := func(disk *spooltest.Mem) *spooltest.Mem {
		_, err := spool.RepairFS(disk)
		require.NoError(t, err)
		return disk
	}
	disk := repaired(ailing(t)["no header"].FS.(*spooltest.Mem))
	later := disk.Crash(nil)
	l := open(t, later, small)
	fill(t, l, 10, damageBody)
	require.NoError(t, l.Close())
	require.NoError(t, later.Remove("lost"))
	for name, of := range map[string]*spooltest.Mem{"of another": ailing(t)["no header"].FS.(*spooltest.Mem), "of then": later} {
		left := disk.Crash(nil)
		left.Put("lost", repaired(of).Bytes("lost"))
		pending, _ := there(t, left)
		require.Equal(t, uint64(15), pending, name)
		pending, _ = there(t, repaired(left))
		assert.Equal(t, uint64(10), pending, name)
	}
	first := segments(t, disk)[0]
	disk.Flip(first, int64(bytes.Index(disk.Bytes(first), []byte("message 3 ")))*8)
	pending, found := there(t, repaired(disk))
	assert.Equal(t, []uint64{9, 9}, []uint64{pending, found})
}

// TestLostDoesNotComeBack: a file of no use that Open or Repair has removed stays away when the power fails, for numbers are given again then.
func TestLostDoesNotComeBack(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(disk *spooltest.Mem){
		"open":   func(*spooltest.Mem) {},
		"repair": func(disk *spooltest.Mem) { _, err := spool.RepairFS(disk); require.NoError(t, err) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := ailing(t)["no header"].FS.(*spooltest.Mem)
			early := before(t, disk, 1)
			l := open(t, early, small)
			require.NoError(t, l.Close()) // the next opening goes on in the same segment: it need not sync the folder
			_, err := spool.RepairFS(disk)
			require.NoError(t, err)
			early.Put("lost", disk.Bytes("lost"))
			remove(early)
			require.Equal(t, name == "open", early.Synced().Bytes("lost") != nil)
			fill(t, open(t, early, small), 20, damageBody)
			pending, found := there(t, early.Synced())
			assert.Equal(t, uint64(25), found)
			assert.Equal(t, found, pending)
		})
	}
}

// TestLostIsWhatIsNotThere: a sector that fails while Repair looks and can be read afterwards loses nothing that is there, whichever reads of it fail; nor does a file that is put back.
func TestLostIsWhatIsNotThere(t *testing.T) {
	t.Parallel()
	whole := threeSegments(t)
	at := int64(bytes.Index(whole.Bytes(secondSegment), []byte("message 8 ")))
	seen := map[uint64]bool{}
	for which := range 64 {
		disk, failures := whole.Crash(nil), which
		_, err := spool.RepairFS(&spooltest.Faulty{FS: disk, Unreadable: func(name string, off, n int64) bool {
			if name != secondSegment || off > at || off+n <= at {
				return false
			}
			fails := failures&1 != 0
			failures >>= 1
			return fails
		}})
		require.NoError(t, err)
		pending, found := there(t, disk)
		require.GreaterOrEqual(t, pending, found, "reads %b", which)
		seen[found] = seen[found] || pending == found
		_, err = spool.RepairFS(disk)
		require.NoError(t, err)
		pending, found = there(t, disk)
		require.Equal(t, found, pending, "reads %b", which)

		disk.Put(secondSegment, whole.Bytes(secondSegment))
		_, err = spool.RepairFS(disk)
		require.NoError(t, err)
		pending, found = there(t, disk.Synced())
		require.Equal(t, []uint64{15, 15}, []uint64{pending, found}, "put back")
	}
	require.True(t, seen[15], "read at last")
	require.Greater(t, len(seen), 1, "and not")
	for found, known := range seen {
		require.True(t, known, "%d are there, which is known at once where nothing fails afterwards", found)
	}
}

// TestRepairIsDurable: a loss of power takes nothing of what Repair has done, and what another had begun is not in its way.
func TestRepairIsDurable(t *testing.T) {
	t.Parallel()
	for name, sick := range ailing(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := sick.FS.(*spooltest.Mem).Crash(nil) // all that is there is durable
			sick := &spooltest.Faulty{FS: disk, Unreadable: sick.Unreadable}
			for range 2 {
				disk.Put("compact.tmp", []byte("begun"))
				_, err := spool.RepairFS(sick)
				require.NoError(t, err)
				left := files(t, disk.Synced())
				for name, b := range files(t, disk) {
					require.True(t, left[name] == b || name == "newest", name) // which may say less
					delete(left, name)
				}
				require.Empty(t, left)
				_ = disk.Remove("lost") // is all that the next one has to do
			}
		})
	}
}

// TestLostHasNotFailed: a message that failed and is lost is not among those that failed.
func TestLostHasNotFailed(t *testing.T) {
	t.Parallel()
	disk := threeSegments(t)
	l := open(t, disk, small)
	for _, n := range []uint64{7, 8} {
		_, err := l.Queue().Fail(n)
		require.NoError(t, err)
	}
	require.NoError(t, l.Close())
	disk.Flip(secondSegment, int64(bytes.Index(disk.Bytes(secondSegment), []byte("message 8 ")))*8)
	_, err := spool.RepairFS(disk)
	require.NoError(t, err)
	assert.Equal(t, 1, open(t, disk, small).Stats().Consumers[0].Failed)
}

// TestLeftOutIsNotGivenAgain: where what follows a segment that Repair has written is lost, and "newest" with it, the numbers of those it left out are not given again: readers take them for
// lost, and would pass over what was confirmed.
func TestLeftOutIsNotGivenAgain(t *testing.T) {
	t.Parallel()
	disk := ailing(t)["no header"].FS.(*spooltest.Mem)
	_, err := spool.RepairFS(disk)
	require.NoError(t, err)
	early := before(t, disk, 1)
	l := open(t, early, small)
	assert.Equal(t, uint64(11), l.Next())
	fill(t, l, 20, damageBody)
	for _, left := range []*spooltest.Mem{early.Crash(nil), early.Synced()} {
		l := open(t, left, small)
		numbers, gaps := read(t, l.Queue().Reader(), damageBody)
		assert.Equal(t, append(upTo(5), fromTo(11, 30)...), numbers)
		assert.Equal(t, []*spool.Gap{{From: 6, To: 10, Damaged: true}}, gaps)
	}
}
