package spool_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// bury appends n messages and gives all of them up, after one failure each.
func bury(t *testing.T, l *spool.Log, n int) {
	t.Helper()
	dead, err := l.Dead()
	require.NoError(t, err)
	fill(t, l, n, damageBody)
	r := l.Queue().Reader()
	defer r.Close()
	for range n {
		rec, err := r.TryNext()
		require.NoError(t, err)
		_, err = l.Queue().Fail(rec.Number)
		require.NoError(t, err)
		require.NoError(t, dead.Bury(bounded(t), l.Queue(), rec, "no good"))
	}
}

// TestViewOfDeadLetters: they can be looked at while their spool is in use, or was never.
func TestViewOfDeadLetters(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	v, err := spool.OpenViewFS(disk)
	require.NoError(t, err)
	s, err := v.Dead()
	require.NoError(t, err)
	assert.Empty(t, s.Segments)
	for range v.Letters() {
		assert.Fail(t, "there is none")
	}
	bury(t, l, 3)
	require.NoError(t, l.Flush(bounded(t)))
	v, err = spool.OpenViewFS(disk)
	require.NoError(t, err)
	s, err = v.Dead()
	require.NoError(t, err)
	assert.Equal(t, uint64(3), s.Consumers[0].Pending)
	n := uint64(0)
	for letter, err := range v.Letters() {
		require.NoError(t, err)
		n++
		assert.Equal(t, [4]any{n, n, 1, "no good"}, [4]any{letter.Number, letter.Origin, letter.Attempts, letter.Reason})
		assert.Equal(t, [][]byte{body(n, damageBody)}, letter.Frames)
	}
	assert.Equal(t, uint64(3), n)
}

func TestPendingFrom(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	fill(t, l, 20, damageBody)
	require.NoError(t, l.Queue().Ack(1, 5))
	require.NoError(t, l.Queue().Ack(8, 9))
	_, err := l.Queue().Fail(7)
	require.NoError(t, err)
	require.NoError(t, l.Flush(bounded(t)))
	v, err := spool.OpenViewFS(disk)
	require.NoError(t, err)
	for start, want := range map[uint64][]uint64{1: append([]uint64{6, 7}, fromTo(10, 20)...), 8: fromTo(10, 20), 15: fromTo(15, 20)} {
		r, err := v.PendingFrom("", spool.At(start))
		require.NoError(t, err)
		numbers, gaps := read(t, r, damageBody)
		assert.Equal(t, want, numbers)
		assert.Empty(t, gaps)
	}
	assert.Equal(t, 1, v.Attempts("", 7))
	assert.Zero(t, v.Attempts("", 6))
	assert.Zero(t, v.Attempts("nobody", 7))
}

// TestDamagedDeadLetters: Verify and Repair look at them as at the spool they are in.
func TestDamagedDeadLetters(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	bury(t, l, 3)
	require.NoError(t, l.Close())
	name := "dead/00000000000000000001.seg"
	hurt := disk.Bytes(name)
	hurt[bytes.Index(hurt, []byte("message 2 "))] ^= 1
	disk.Put(name, hurt)
	report, err := spool.RepairFS(disk)
	require.NoError(t, err)
	require.Len(t, report.Damage, 1)
	assert.Equal(t, name, report.Damage[0].Segment)
	assert.Equal(t, []string{name + ".bad"}, report.Aside)
	assert.Equal(t, hurt, disk.Bytes(name+".bad"))
	report, err = spool.VerifyFS(disk)
	require.NoError(t, err)
	assert.Empty(t, report.Damage)
	assert.Equal(t, report.Quarantined, []string{name + ".bad"})
	assert.Equal(t, uint64(2), report.Letters)
}

// TestNothingReadable: what has no readable header is put aside, and another spool may begin.
func TestNothingReadable(t *testing.T) {
	t.Parallel()
	disk := threeSegments(t)
	names := segments(t, disk)
	for _, name := range names {
		disk.Put(name, make([]byte, 1000))
	}
	_, err := spool.OpenFS(disk, small)
	require.ErrorIs(t, err, spool.ErrDamaged)
	report, err := spool.RepairFS(disk)
	require.NoError(t, err)
	assert.Len(t, report.Damage, 3)
	assert.Contains(t, report.Damage[0].String(), "its messages are lost")
	assert.Len(t, report.Aside, 3)
	_, err = spool.VerifyFS(disk)
	require.ErrorIs(t, err, spool.ErrNotSpool)
	fill(t, open(t, disk, small), 1, damageBody)
}

// TestLastSegmentMissing: it is no crash before that segment was begun. Verify says which messages are gone, and after Repair numbers are given again only where nobody
// can take them for the old ones.
func TestLastSegmentMissing(t *testing.T) {
	t.Parallel()
	disk := threeSegments(t)
	require.NoError(t, disk.Remove("00000000000000000003.seg"))
	_, err := spool.OpenFS(disk, small)
	require.ErrorIs(t, err, spool.ErrDamaged)
	report, err := spool.RepairFS(disk)
	require.NoError(t, err)
	require.Len(t, report.Damage, 1)
	assert.Equal(t, "00000000000000000003.seg: bytes 0 to 0: the file is missing: messages 11 to 15 lost", report.Damage[0].String())
	report, err = spool.VerifyFS(disk)
	require.NoError(t, err)
	assert.Empty(t, report.Damage)
	l := open(t, disk, small)
	numbers, _ := read(t, l.Queue().Reader(), damageBody)
	assert.Equal(t, upTo(10), numbers)
	assert.Greater(t, l.Incarnation(), uint32(1<<16))
	require.NoError(t, l.Close())

	disk.Put("newest", []byte("of no use")) // it may be lost, or torn
	require.NoError(t, open(t, disk, small).Close())
	require.NoError(t, disk.Remove("newest"))
	require.NoError(t, open(t, disk, small).Close())
}

func TestRelease(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	fill(t, l, 4000, 100)
	require.Greater(t, len(segments(t, disk)), 3)
	require.NoError(t, l.Queue().Ack(1, 4000))
	require.NoError(t, l.Release(bounded(t)))
	assert.Len(t, segments(t, disk), 1)
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Release(bounded(t)), spool.ErrClosed)
}

// TestDeadFolderIsNoSpool: its lock is that of the spool it is in.
func TestDeadFolderIsNoSpool(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	l, err := spool.Open(dir, small)
	require.NoError(t, err)
	bury(t, l, 1)
	require.NoError(t, l.Close())
	dead := filepath.Join(dir, "dead")
	_, err = spool.Inspect(dead)
	require.ErrorIs(t, err, spool.ErrKind)
	_, err = spool.Repair(dead)
	require.ErrorIs(t, err, spool.ErrKind)
	_, err = os.Stat(filepath.Join(dead, "LOCK"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestLookingKeepsNobodyOut: who looks has the lock for a moment, which neither an owner nor another who looks
// takes for one who means to keep it.
func TestLookingKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	l, err := spool.Open(dir, small)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	var looking sync.WaitGroup
	for range 2 {
		looking.Go(func() {
			for range 50 {
				s, err := spool.Inspect(dir)
				if assert.NoError(t, err) {
					assert.Nil(t, s.Holder)
				}
			}
		})
	}
	looking.Wait()
}
