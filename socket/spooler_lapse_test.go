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
)

// readable counts the messages that a reader finds to the end.
func readable(t *testing.T, r *spool.Reader) (n uint64) {
	t.Helper()
	defer r.Close()
	for {
		_, err := r.TryNext()
		switch {
		case err == nil:
			n++
		case !errors.As(err, new(*spool.Gap)):
			return n
		}
	}
}

// Row 10, with nobody there: what the oldest make room with is counted, each message once, by the sender whose spool let it go, or told to the name that missed it. What is said to be kept is there.
func TestSpool_CountsWhatGoesWithNobodyThere(t *testing.T) {
	t.Parallel()
	eachFull(t, spool.DropOldest, func(t *testing.T, f full) {
		const last = 2000
		queue := f.way.kind == spool.Queue
		var told atomic.Uint64
		s := f.way.openFS(t, f.disk, f.Options, socket.WithEventHandler(func(e socket.Event) {
			if e.Kind == socket.Dropped && e.Reason == socket.DropQuota {
				told.Add(e.Count)
			}
		}))
		sendLetters(t, s, 1, fullHandled)
		f.way.takeLetters(t, s, bind(t, s, "tcp://127.0.0.1:0"), 1, fullHandled)
		for n := uint64(fullHandled + 1); n <= last; n++ {
			_, err := s.Enqueue(limit(t), letter(n, 0))
			require.NoError(t, err)
		}
		require.NoError(t, s.Flush(limit(t)))
		figures := func() (there, lost uint64) {
			stats := s.Stats()
			if there, lost = stats.Spool.Messages, stats.Dropped[socket.DropQuota]; !queue {
				require.Len(t, stats.Spool.Durables, 1)
				there, lost = stats.Spool.Durables[0].Lag, stats.Spool.Durables[0].Lost
			}
			return there, lost
		}
		require.Eventually(t, func() bool {
			there, lost := figures()
			return lost > last/2 && there+lost == last-fullHandled && there == readable(t, s.log.Reader(spool.Beginning())) && there == s.log.Stats().Consumers[0].Pending
		}, sockettest.Timeout, time.Millisecond)
		err := s.Close()
		there, lost := s.log.Stats().Consumers[0].Pending, s.Stats().Dropped[socket.DropQuota]
		if !queue {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, socket.ErrSpooled)
			require.ErrorContains(t, err, fmt.Sprintf("stay in the spool: %d of them", there))
			require.Equal(t, lost, told.Load())
		}
		view, err := spool.OpenViewFS(f.disk)
		require.NoError(t, err)
		require.Equal(t, readable(t, view.Reader(spool.Beginning())), there)
		require.Equal(t, view.Stats().Consumers[0].Pending, there)

		s = f.way.openFS(t, f.disk, f.Options)
		receiver := f.way.receiver(swift())
		closing(t, s, receiver)
		require.NoError(t, receiver.Connect(bind(t, s, "tcp://127.0.0.1:0")))
		got := uint64(0)
		for n := uint64(fullHandled); n < last; {
			m, err := receiver.Recv(limit(t))
			if errors.Is(err, socket.ErrMissed) {
				continue
			}
			require.NoError(t, err)
			n, _, _ = openLetterOf(m)
			got++
			requireLetter(t, m, n)
		}
		require.NoError(t, s.waitSettled(limit(t), last))
		stats := s.Stats()
		if queue {
			assert.EqualValues(t, last-fullHandled, lost+got+stats.Dropped[socket.DropQuota])
		} else {
			assert.Equal(t, [2]uint64{last - fullHandled - got, last - fullHandled - got}, [2]uint64{stats.Missed, stats.Spool.Durables[0].Lost})
		}
	})
}
