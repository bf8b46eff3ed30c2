package socket_test

import (
	"context"
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

// breaking returns a sender whose disk writes nothing any more once fail was called, a receiver that has its first letters, and what is said of trouble.
func breaking(t *testing.T, w way, last int, o spool.Options, as func(*spool.Log) socket.Spool) (s spooledSender, r letterReceiver, held []socket.Msg, events <-chan socket.Event, fail func()) {
	t.Helper()
	var fails atomic.Bool
	events, told := troubles(socket.SpoolTrouble)
	o.Kind, o.SegmentSize = w.kind, smallSpool.SegmentSize
	log, err := spool.OpenFS(&spooltest.Faulty{FS: spooltest.NewMem(), Before: func(_ int64, op, _ string) error {
		if op == "write" && fails.Load() {
			return spooltest.ErrInjected
		}
		return nil
	}}, o)
	require.NoError(t, err)
	s = spooledSender{w.sender(socket.WithSpoolOn(as(log)), told), log}
	r = w.receiver(socket.WithManualAck(), socket.WithAckDelay(0), swift())
	closing(t, r)
	require.NoError(t, r.Connect(bind(t, s, "tcp://127.0.0.1:0")))
	sendLetters(t, s, 1, uint64(last))
	for range last {
		held = append(held, recv(t, r))
	}
	return s, r, held, events, func() { fails.Store(true) }
}

// Row 8: who waits for a spool, for room or for what is in it to be handled, is told when it fails, also where it fails at an acknowledgement and nobody calls it; so is who asks it for
// something after that, and one event says so. What peers then say is no news.
func TestSpool_FailsUnderWhoWaits(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _ string, w way) {
		s, r, held, events, fail := breaking(t, w, 3, spool.Options{Full: spool.Block, Quota: fullRoom}, socket.SpoolOf)
		last := fillUp(t, s)
		waits := []func(context.Context) error{
			s.WaitAcked,
			func(ctx context.Context) error { return s.Send(ctx, letter(last+1, 0)) },
			func(ctx context.Context) error { _, err := s.Enqueue(ctx, letter(last+1, 0)); return err },
		}
		errs := make(chan error)
		for _, wait := range waits {
			require.ErrorIs(t, wait(try()), context.Canceled, "it waits")
			go func() { errs <- wait(limit(t)) }() // ends with its limit
		}
		fail()
		require.NoError(t, held[0].Ack()) // which is written a moment later
		for range waits {
			require.ErrorIs(t, <-errs, spool.ErrFailed)
		}
		for _, call := range append(waits, s.Flush) {
			require.ErrorIs(t, call(limit(t)), spool.ErrFailed)
		}
		e := nextOf(t, events)
		require.ErrorIs(t, e.Err, spool.ErrFailed)
		require.ErrorIs(t, e.Err, spooltest.ErrInjected)

		require.NoError(t, held[1].Ack())
		require.NoError(t, held[2].Nack(socket.Nack{Reject: true})) // a dead letter cannot be written either
		failed := func() uint64 {
			stats := s.Stats().Spool
			for _, d := range stats.Durables {
				return d.Failed
			}
			return stats.Failed
		}
		require.Eventually(t, func() bool { return failed() == 1 }, sockettest.Timeout, time.Millisecond)
		require.NoError(t, r.Close())
		s.awaitEnds(t)
		if pub, ok := s.letterSender.(*socket.Pub); ok {
			require.ErrorIs(t, pub.RemoveDurable("letters"), spool.ErrFailed)
		}
		require.ErrorIs(t, s.Shutdown(limit(t)), spool.ErrFailed)
		assert.Empty(t, events, "it is said once")
	})
}

// Shutdown waits for peers no longer than the spool can take note of what they say. A Spool that does not say when it fails is looked at.
func TestSpool_FailsUnderShutdown(t *testing.T) {
	t.Parallel()
	for name, as := range map[string]func(*spool.Log) socket.Spool{
		"that says so":  socket.SpoolOf,
		"that does not": func(l *spool.Log) socket.Spool { return struct{ socket.Spool }{socket.SpoolOf(l)} },
	} {
		for _, typ := range []string{"PUSH", "DEALER"} {
			t.Run(typ+" on a Spool "+name, func(t *testing.T) {
				t.Parallel()
				s, _, held, events, fail := breaking(t, ways[typ], 2, spool.Options{}, as)
				ended := make(chan error)
				go func() { ended <- s.Shutdown(limit(t)) }() // ends with its limit
				require.Eventually(t, func() bool { return s.Flush(limit(t)) != nil }, sockettest.Timeout, time.Millisecond)
				fail()
				require.NoError(t, held[0].Ack())
				err := <-ended
				require.ErrorIs(t, err, spool.ErrFailed)
				require.ErrorIs(t, err, socket.ErrSpooled)
				require.NotErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorIs(t, nextOf(t, events).Err, spool.ErrFailed)
			})
		}
	}
}
