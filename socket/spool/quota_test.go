package spool_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestQuotaIsKept_ByLargeMessages: one that takes six segments finds no room where nine of ten are used, nor where the disk has one more than its reserve; where
// the oldest go instead, those it needs have gone before.
func TestQuotaIsKept_ByLargeMessages(t *testing.T) {
	t.Parallel()
	for kind, name := range map[spool.Kind]string{spool.Queue: "queue", spool.Topic: "topic"} {
		for full, as := range map[spool.Full]string{spool.Block: "block", spool.Reject: "reject", spool.DropOldest: "drop the oldest"} {
			for limit, reserve := range map[string]int64{"quota": 0, "reserve": 1 << 20} {
				t.Run(name+", "+as+", "+limit, func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						o := small
						o.Kind, o.Full, o.Reserve = kind, full, reserve
						largeMessages(t, o)
					})
				})
			}
		}
	}
}

func largeMessages(t *testing.T, o spool.Options) {
	t.Helper()
	const quota = 10
	disk := measure(quota*o.SegmentSize + 1<<20)
	if o.Reserve == 0 {
		o.Quota = quota * o.SegmentSize
	}
	l, err := spool.OpenFS(disk, o)
	require.NoError(t, err)
	defer l.Close()
	for disk.peak.Load() <= (quota-2)*o.SegmentSize {
		fill(t, l, 1, roomBody)
	}
	before := l.Next() - 1
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = l.Append(ctx, body(before+1, int(6*o.SegmentSize)))
	dropped := l.Stats().Dropped
	if o.Full == spool.DropOldest {
		require.NoError(t, err)
		require.Positive(t, dropped)
		require.Less(t, dropped, before)
	} else {
		require.ErrorIs(t, err, spool.ErrFull)
		require.Zero(t, dropped)
		require.Equal(t, before+1, l.Next())
	}
	numbers, _ := readSized(t, l.Reader(spool.At(1)), func(n uint64) int {
		if n > before {
			return int(6 * o.SegmentSize)
		}
		return roomBody
	})
	assert.Equal(t, fromTo(dropped+1, l.Next()-1), numbers)
	require.NoError(t, l.Close())
	assert.LessOrEqual(t, disk.peak.Load(), quota*o.SegmentSize)
	assert.Greater(t, disk.peak.Load(), (quota-2)*o.SegmentSize)
}

// usersQuota is a disk of which not all is used up but what this user may have of it.
type usersQuota struct{ *spooltest.Mem }

type usersFile struct{ spool.File }

func (u usersQuota) Open(name string, flag int) (spool.File, error) {
	f, err := u.Mem.Open(name, flag)
	return usersFile{f}, err
}

func usedUpForUser(err error) error {
	if errors.Is(err, spooltest.ErrNoSpace) {
		return syscall.EDQUOT
	}
	return err
}

func (f usersFile) Allocate(size int64) error { return usedUpForUser(f.File.Allocate(size)) }

func (f usersFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(b, off)
	return n, usedUpForUser(err)
}

// TestUsersQuotaIsAFullDisk: the quota that a user has of a disk is no error but a lack of room, for a new spool, for Repair, where the oldest go, and where there is less than a segment.
func TestUsersQuotaIsAFullDisk(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	disk.SetRoom(1000)
	_, err := spool.OpenFS(usersQuota{disk}, small)
	require.ErrorIs(t, err, spool.ErrFull)
	require.ErrorIs(t, err, syscall.EDQUOT)

	disk = threeSegments(t)
	disk.Flip(segments(t, disk)[0], 8*(spool.DataStart+4096+100))
	disk.SetRoom(1000)
	_, err = spool.RepairFS(usersQuota{disk})
	require.ErrorIs(t, err, spool.ErrFull)
	require.ErrorIs(t, err, syscall.EDQUOT)

	o := small
	o.Full = spool.DropOldest
	disk = spooltest.NewMem()
	disk.SetRoom(4 * o.SegmentSize)
	l := open(t, usersQuota{disk}, o)
	fill(t, l, 2000, roomBody)
	require.Positive(t, l.Stats().Dropped)
	require.NoError(t, l.Close())

	disk = spooltest.NewMem()
	disk.SetRoom(8 << 20)
	l = open(t, usersQuota{disk}, spool.Options{}) // of which one segment takes more
	fill(t, l, 1000, roomBody)
	require.NoError(t, l.Close())
}
