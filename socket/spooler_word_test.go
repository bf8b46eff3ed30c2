package socket_test

import (
	"context"
	"sync"
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

// TestSpool_UnconfirmedMayBeThere: who does not wait for the disk is told that the message may be in the spool, and not that there was no room for it. It is delivered.
func TestSpool_UnconfirmedMayBeThere(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _ string, w way) {
		var shut atomic.Bool
		var once sync.Once
		gate, entered := make(chan struct{}), make(chan struct{})
		s := w.openFS(t, &spooltest.Faulty{FS: spooltest.NewMem(), Before: func(_ int64, op, _ string) error {
			if op == "sync" && shut.Load() {
				once.Do(func() { close(entered) })
				<-gate
			}
			return nil
		}}, spool.Options{})
		closing(t, s)
		shut.Store(true)
		held := make(chan error, 1)
		go func() { held <- s.Send(limit(t), letter(1, 0)) }() // ends with the gate
		<-entered
		number := uint64(0)
		for _, call := range []func() error{
			func() error { return s.Send(try(), letter(2, 0)) },
			func() (err error) { number, err = s.Enqueue(try(), letter(3, 0)); return err },
			func() error { return s.WaitSpooled(try(), number) },
			func() error { return s.Flush(try()) },
		} {
			err := call()
			if number == 3 && err == nil { // Enqueue, which waits for no disk
				continue
			}
			assert.ErrorIs(t, err, socket.ErrUnconfirmed)
			assert.NotErrorIs(t, err, socket.ErrFull)
			assert.ErrorIs(t, err, context.Canceled)
		}
		assert.Equal(t, uint64(3), number)
		close(gate)
		require.NoError(t, <-held)
		w.takeLetters(t, s, bind(t, s, "tcp://127.0.0.1:0"), 1, 3)
		require.NoError(t, s.waitSettled(limit(t), 3))
	})
}

// TestSpool_ReplayedKeepsItsPlace: row 31, across crashes. However often a message dies and is replayed, it is told to receivers, and to who hears of dead letters, as the one that it was at first.
func TestSpool_ReplayedKeepsItsPlace(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _ string, w way) {
		o := w.options()
		disk, letters := spooltest.NewMem(), make(chan socket.DeadLetter, 10)
		crash := func(end func() error) { // who opens it next is of the next incarnation
			left := disk.Crash(nil)
			require.NoError(t, end())
			disk = left
		}
		log, err := spool.OpenFS(disk, o)
		require.NoError(t, err)
		_, err = log.Append(limit(t), letter(1, 0))
		require.NoError(t, err)
		if w.kind == spool.Queue {
			require.NoError(t, log.Queue().Ack(1, 1))
		}
		require.NoError(t, log.Flush(limit(t)))
		crash(log.Close)

		var first spool.Mark
		dies := func(sends bool) {
			s := w.openFS(t, disk, o, socket.WithDeadLetter(func(d socket.DeadLetter) { letters <- d }))
			receiver := w.receiver(socket.WithManualAck(), socket.WithAckDelay(0))
			closing(t, receiver)
			require.NoError(t, receiver.Connect(bind(t, s, "tcp://127.0.0.1:0")))
			if sends {
				sendLetters(t, s, 2, 2)
			}
			m := recv(t, receiver)
			mark, ok := m.Mark()
			require.True(t, ok)
			if mark.Number == 1 { // which a topic has still
				require.NoError(t, m.Ack())
				m = recv(t, receiver)
				mark, _ = m.Mark()
			}
			if sends {
				first = mark
				require.Equal(t, uint64(2), mark.Number)
				require.Greater(t, mark.Incarnation, uint32(1))
			}
			assert.Equal(t, first, mark)
			require.NoError(t, m.Nack(socket.Reject("no")))
			select {
			case d := <-letters:
				assert.Equal(t, first.Number, d.Number)
			case <-limit(t).Done():
				require.Fail(t, "no dead letter")
			}
			require.NoError(t, s.WaitAcked(limit(t)))
			require.NoError(t, s.Flush(limit(t)))
			crash(func() error { return s.Shutdown(limit(t)) })
			require.NoError(t, receiver.Close())
		}
		dies(true)
		for range 2 {
			log, err := spool.OpenFS(disk, o)
			require.NoError(t, err)
			dead, err := log.Dead()
			require.NoError(t, err)
			require.Equal(t, uint64(1), dead.Len())
			for l, err := range dead.Letters() {
				require.NoError(t, err)
				_, err = dead.Replay(limit(t), l)
				require.NoError(t, err)
			}
			require.NoError(t, log.Close()) // a crash might leave the letter, too
			dies(false)
		}
	})
}

// TestAssured_WaitsForWhatIsPutOff: a message that a receiver has put off is not acknowledged, so WaitAcked waits, in memory and with a spool, until it is.
func TestAssured_WaitsForWhatIsPutOff(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, name string, w way) {
		for keeps, open := range map[string]func() letterSender{
			"in memory":  func() letterSender { return w.sender(socket.WithAck()) },
			"in a spool": func() letterSender { return w.openFS(t, spooltest.NewMem(), spool.Options{}) },
		} {
			if keeps == "in memory" && w.kind == spool.Topic { // there is no such thing
				continue
			}
			t.Run(keeps, func(t *testing.T) {
				t.Parallel()
				s, receiver := open(), w.receiver(socket.WithManualAck(), socket.WithAckDelay(0))
				closing(t, receiver)
				require.NoError(t, receiver.Connect(bind(t, s, "tcp://127.0.0.1:0")))
				sendLetters(t, s, 1, 2)
				m := recv(t, receiver)
				require.NoError(t, m.Nack(socket.RetryAfter(time.Hour)))
				m = recv(t, receiver)
				require.NoError(t, m.Ack())
				require.Eventually(t, func() bool { a := s.Stats().Acks; return a.NackedOut == 1 && a.AckedOut == 1 }, sockettest.Timeout, time.Millisecond)
				require.ErrorIs(t, s.WaitAcked(soon(t)), socket.ErrTimeout)
				require.ErrorIs(t, s.WaitAcked(try()), context.Canceled)
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				_ = s.Shutdown(ctx)
			})
		}
	})
}
