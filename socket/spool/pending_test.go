package spool_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestPendingIsThere: what damage took is not pending, before and after Repair, be it acknowledged or not.
func TestPendingIsThere(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	fill(t, l, 100, damageBody)
	require.NoError(t, l.Queue().Ack(3, 5))
	require.NoError(t, l.Queue().Ack(90, 100))
	require.NoError(t, l.Close())
	name := segments(t, disk)[0]
	b := disk.Bytes(name)
	copy(b[len(ended(b, 0))/2:], make([]byte, 1000)) // one gap, then the end
	disk.Put(name, b[:len(ended(b, 0))*3/4])
	want := uint64(0)
	for _, how := range []string{"damaged", "repaired"} {
		v, err := spool.OpenViewFS(disk)
		require.NoError(t, err)
		r, err := v.Pending("")
		require.NoError(t, err)
		numbers, gaps := read(t, r, damageBody)
		require.NotEmpty(t, numbers)
		require.NotEmpty(t, gaps)
		assert.Equal(t, uint64(len(numbers)), v.Stats().Consumers[0].Pending, how)
		want = uint64(len(numbers))
		require.NoError(t, v.Close())
		_, err = spool.RepairFS(disk)
		require.NoError(t, err)
	}
	l = open(t, disk, small)
	assert.Equal(t, want, l.Queue().Pending())
	assert.Equal(t, want, l.Stats().Consumers[0].Pending)
	assert.Equal(t, want, l.Queue().ThereIn(1, l.Next()))
	assert.Greater(t, l.Queue().PendingIn(1, l.Next()), want, "until it is told and acknowledged")
	fill(t, l, 5, damageBody)
	assert.Equal(t, want+5, l.Queue().Pending())
	require.NoError(t, l.Queue().Ack(1, l.Next()-1))
	assert.Zero(t, l.Queue().Pending())
}

// TestPendingIsThere_Read: what opening does not read is known when it has been read.
func TestPendingIsThere_Read(t *testing.T) {
	t.Parallel()
	disk := threeSegments(t)
	l := open(t, disk, small)
	require.Equal(t, uint64(15), l.Queue().Pending())
	require.NoError(t, l.Close())
	name := "00000000000000000001.seg"
	disk.Flip(name, int64(bytes.Index(disk.Bytes(name), []byte("message 3 ")))*8)
	l = open(t, disk, small)
	numbers, _ := read(t, l.Queue().Reader(), damageBody)
	require.Len(t, numbers, 14)
	assert.Equal(t, uint64(14), l.Queue().Pending())
}

// TestPendingIsThere_Repaired: what Repair found to be lost is known at once, and whenever the log is opened after that: in the middle, with a segment that is gone,
// and of dead letters.
func TestPendingIsThere_Repaired(t *testing.T) {
	t.Parallel()
	for name, sick := range ailing(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := sick.FS.(*spooltest.Mem)
			_, err := spool.RepairFS(sick)
			require.NoError(t, err)
			want, gaps := read(t, open(t, disk.Crash(nil), small).Queue().Reader(), damageBody)
			require.Equal(t, len(gaps) > 0, disk.Bytes("lost") != nil)
			lost := uint64(0)
			for _, gap := range gaps {
				lost += gap.To - gap.From + 1
			}
			check := func(how string, c spool.ConsumerInfo, more uint64) {
				t.Helper()
				assert.Equal(t, uint64(len(want))+more, c.Pending, how)
				assert.Equal(t, lost, c.Gone, how)
			}
			v, err := spool.OpenViewFS(disk)
			require.NoError(t, err)
			check("repaired", v.Stats().Consumers[0], 0)
			require.NoError(t, v.Close())
			for more := uint64(0); more <= 10; more += 10 {
				l := open(t, disk, small)
				check("opened", l.Stats().Consumers[0], more)
				assert.Equal(t, uint64(len(want))+more, l.Queue().Pending())
				fill(t, l, 10, 10_000) // so that another segment is the last
				require.NoError(t, l.Close())
			}
			report, err := spool.RepairFS(disk)
			require.NoError(t, err)
			require.Empty(t, report.Damage)
			l := open(t, disk, small)
			check("repaired again", l.Stats().Consumers[0], 20)
			require.NoError(t, l.Queue().Ack(1, l.Next()-1))
			assert.Equal(t, spool.ConsumerInfo{Floor: l.Next() - 1}, l.Stats().Consumers[0])
		})
	}
}

// TestPendingIsThere_Letters: of dead letters too.
func TestPendingIsThere_Letters(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	fill(t, l, 100, 1000)
	dead, err := l.Dead()
	require.NoError(t, err)
	r := l.Queue().Reader()
	for range 100 {
		rec, err := r.TryNext()
		require.NoError(t, err)
		require.NoError(t, dead.Bury(t.Context(), l.Queue(), rec, "no good"))
	}
	require.NoError(t, l.Close())
	names, err := disk.List("dead")
	require.NoError(t, err)
	name := "dead/00000000000000000001.seg"
	require.Contains(t, names, "00000000000000000002.seg", "else opening reads it")
	disk.Flip(name, int64(bytes.Index(disk.Bytes(name), []byte("message 3 ")))*8)
	_, err = spool.RepairFS(disk)
	require.NoError(t, err)
	v, err := spool.OpenViewFS(disk)
	require.NoError(t, err)
	letters, err := v.Dead()
	require.NoError(t, err)
	assert.Equal(t, uint64(99), letters.Consumers[0].Pending)
}
