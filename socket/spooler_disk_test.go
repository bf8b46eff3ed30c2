package socket_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// Row 8 of the fault plan: a sync fails once. Each Send says so from then on, and what was confirmed is delivered still, also to who connects after that. It is there, and nothing
// else, when the spool is opened again.
func TestSpool_StopsAtAFailedDisk(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _ string, w way) {
		const handled, confirmed, later = 10, 100, 110
		broken := errors.New("no more")
		var fails atomic.Bool
		mem := spooltest.NewMem()
		s := w.openFS(t, &spooltest.Faulty{FS: mem, Before: func(_ int64, op, _ string) error {
			if op == "sync" && fails.CompareAndSwap(true, false) {
				return broken
			}
			return nil
		}}, spool.Options{})
		endpoint := bind(t, s, "tcp://127.0.0.1:0")
		sendLetters(t, s, 1, confirmed)
		w.takeLetters(t, s, endpoint, 1, handled)
		require.Eventually(t, func() bool { return floorOf(s.log) == handled }, sockettest.Timeout, time.Millisecond)
		require.NoError(t, s.Flush(limit(t)))

		fails.Store(true)
		for range 2 {
			err := s.Send(limit(t), letter(confirmed+1, 1))
			require.ErrorIs(t, err, spool.ErrFailed)
			require.ErrorIs(t, err, broken)
			require.ErrorIs(t, s.Flush(limit(t)), spool.ErrFailed)
		}
		assert.ErrorIs(t, s.Stats().Spool.Broken, spool.ErrFailed)
		w.takeLetters(t, s, endpoint, handled+1, confirmed)
		assert.ErrorIs(t, s.Close(), spool.ErrFailed)

		s = w.openFS(t, mem.Synced(), spool.Options{})
		sendLetters(t, s, confirmed+1, later)
		w.takeLetters(t, s, bind(t, s, "tcp://127.0.0.1:0"), handled+1, later)
		require.NoError(t, s.waitSettled(limit(t), later))
		require.NoError(t, s.Shutdown(limit(t)))
	})
}

// full is a spool that has no room for all that is sent.
type full struct {
	way  way
	disk *spooltest.Mem
	spool.Options
	why string // it has no room
}

const (
	fullRoom    = 256 << 10 // some hundred letters
	fullHandled = 10        // letters that are handled before
)

// eachFull runs a test with a quota that is used up, and with a disk that is.
func eachFull(t *testing.T, policy spool.Full, test func(t *testing.T, f full)) {
	eachWay(t, func(t *testing.T, _ string, w way) {
		for why, quota := range map[string]int64{"the quota is used up": fullRoom, spooltest.ErrNoSpace.Error(): 0} {
			t.Run(why, func(t *testing.T) {
				t.Parallel()
				f := full{w, spooltest.NewMem(), spool.Options{Full: policy, Quota: quota}, why}
				if quota == 0 {
					f.disk.SetRoom(fullRoom)
				}
				test(t, f)
			})
		}
	})
}

// Rows 9 and 10: while a spool has no room Send says why, at once or when its time is up, as configured. What is in it is delivered, and Send goes on when there is room: a queue has
// some then, a publisher's log when the disk has, or when it is opened with a larger quota.
func TestSpool_FullOnes(t *testing.T) {
	t.Parallel()
	for _, policy := range []spool.Full{spool.Block, spool.Reject} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			t.Parallel()
			eachFull(t, policy, fullOne)
		})
	}
}

func fullOne(t *testing.T, f full) {
	s := f.way.openFS(t, f.disk, f.Options)
	endpoint := bind(t, s, "tcp://127.0.0.1:0")
	sendLetters(t, s, 1, fullHandled)
	f.way.takeLetters(t, s, endpoint, 1, fullHandled)
	last := fillUp(t, s)
	says := func() {
		t.Helper()
		err := s.Send(soon(t), letter(last+1, 1))
		require.ErrorIs(t, err, socket.ErrFull)
		require.ErrorContains(t, err, f.why)
		require.Equal(t, f.Full == spool.Block, errors.Is(err, socket.ErrTimeout))
	}
	says()
	f.way.takeLetters(t, s, endpoint, fullHandled+1, last)
	require.NoError(t, s.waitSettled(limit(t), last))
	if f.way.kind == spool.Topic {
		says()
		f.disk.SetRoom(2 * fullRoom)
		if f.Quota > 0 { // it is what the log was opened with
			require.NoError(t, s.Close())
			f.Quota *= 2
			s = f.way.openFS(t, f.disk, f.Options)
			endpoint = bind(t, s, "tcp://127.0.0.1:0")
		}
	}
	require.Eventually(t, func() bool { // the disk is given back, or looked at again, a moment later
		err := s.Send(limit(t), letter(last+1, 0))
		return err == nil || !assert.ErrorIs(t, err, socket.ErrFull)
	}, sockettest.Timeout, time.Millisecond)
	f.way.takeLetters(t, s, endpoint, last+1, last+1)
	require.NoError(t, s.waitSettled(limit(t), last+1))
	require.NoError(t, s.Shutdown(limit(t)))
}

// fillUp sends letters until the spool has no room, and returns the number of the last that has a place.
func fillUp(t *testing.T, s spooledSender) uint64 {
	t.Helper()
	for {
		_, err := s.Enqueue(soon(t), letter(s.log.Next(), 0))
		if err != nil && s.Stats().Spool.Full != nil {
			require.ErrorIs(t, err, socket.ErrFull)
			require.NoError(t, s.Flush(limit(t)))
			return s.log.Next() - 1
		}
	}
}

// Row 10, where the oldest go: each letter is received, or counted as lost, and the members of a publisher's log are told which.
func TestSpool_DropsTheOldest(t *testing.T) {
	t.Parallel()
	eachFull(t, spool.DropOldest, func(t *testing.T, f full) {
		const last = 2000
		s := f.way.openFS(t, f.disk, f.Options)
		receiver := f.way.receiver(socket.WithManualAck(), socket.WithAckCredit(fullHandled, 1<<20), swift())
		closing(t, s, receiver)
		require.NoError(t, receiver.Connect(bind(t, s, "tcp://127.0.0.1:0")))
		sendLetters(t, s, 1, fullHandled)
		var held []socket.Msg
		for range fullHandled {
			held = append(held, recv(t, receiver))
		}
		for n := uint64(fullHandled + 1); n <= last; n++ {
			_, err := s.Enqueue(limit(t), letter(n, 0))
			require.NoError(t, err)
		}
		require.NoError(t, s.Flush(limit(t)))
		for n, m := range held {
			requireLetter(t, m, uint64(n+1))
		}

		lost, told := uint64(0), uint64(0)
		for n := uint64(fullHandled); n < last; {
			m, err := receiver.Recv(limit(t))
			var missed *socket.MissedError
			if errors.As(err, &missed) {
				told += missed.To - missed.From + 1
				continue
			}
			require.NoError(t, err)
			number, _, _ := openLetterOf(m)
			lost += number - n - 1
			n = number
			requireLetter(t, m, n)
		}
		require.NotZero(t, lost)
		require.NoError(t, s.waitSettled(limit(t), last))
		stats := s.Stats()
		assert.Equal(t, lost, stats.Dropped[socket.DropQuota]+stats.Missed)
		if f.way.kind == spool.Topic {
			assert.Equal(t, [2]uint64{lost, lost}, [2]uint64{told, receiver.Stats().Missed})
		}
		require.NoError(t, s.Shutdown(limit(t)))
	})
}
