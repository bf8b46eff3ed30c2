//go:build linux || darwin

package socket_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// What the processes do that are killed. From killCredit and killStride follows how many messages may come twice.
const (
	killCredit = 50
	killBatch  = 16  // messages to a receipt
	killStride = 256 // messages after which a sender waits until all are settled, durably

	killBacklog = 20_000 // messages that wait when a sender with a backlog begins
	killWide    = 500    // credit with which they go at full speed
	killRecent  = 4096   // messages that the end of a sender brings again besides those in flight: GUARANTEES.md
)

// lifeProperty is how a sender says which of its lives it is.
const lifeProperty = "X-Life"

// killSend sends letters from a spool until its input ends, and then waits until all are settled. Every batch but for its last letter ends with
// WaitSpooled, and that with Send.
func killSend(t *testing.T, w way, dir, endpoint, life string) {
	ctx := untilInputEnds(t)
	whose, err := strconv.ParseUint(life, 10, 64)
	require.NoError(t, err)
	s := w.open(t, dir, socket.WithProperty(lifeProperty, life))
	n := s.log.Next()
	say("open", floorOf(s.log), n, whose)
	require.NoError(t, s.Connect(endpoint))
	for batch := 0; ctx.Err() == nil; batch++ {
		for range killBatch - 1 {
			number, err := s.Enqueue(t.Context(), letter(n, whose))
			require.NoError(t, err)
			require.Equal(t, n, number)
			n++
		}
		require.NoError(t, s.WaitSpooled(t.Context(), n-1))
		require.NoError(t, s.Send(t.Context(), letter(n, whose)))
		say("receipt", n)
		n++
		if (batch+1)%(killStride/killBatch) == 0 && s.waitSettled(ctx, n-1) == nil {
			require.NoError(t, s.Flush(t.Context()))
			say("settled", n-1)
		}
	}
	require.NoError(t, s.waitSettled(limit(t), n-1)) // with a receiver that may be about to start
	require.NoError(t, s.Shutdown(limit(t)))
}

// killDrain has as many letters as killBacklog in a spool before it sends the first, and sends until its input ends, and then until all are settled.
func killDrain(t *testing.T, w way, dir, endpoint, life string) {
	ctx := untilInputEnds(t)
	whose, err := strconv.ParseUint(life, 10, 64)
	require.NoError(t, err)
	s := w.open(t, dir, socket.WithProperty(lifeProperty, life))
	n, floor := s.log.Next(), floorOf(s.log)
	say("open", floor, n, whose)
	for ; n <= floor+killBacklog; n++ {
		_, err := s.Enqueue(t.Context(), letter(n, whose))
		require.NoError(t, err)
	}
	require.NoError(t, s.Flush(t.Context()))
	say("receipt", n-1)
	require.NoError(t, s.Connect(endpoint))
	<-ctx.Done()
	require.NoError(t, s.waitSettled(limit(t), n-1))
	require.NoError(t, s.Shutdown(limit(t)))
}

// killReceive handles letters, which is to tell of them, until its input ends. It does not ask for the next when it has handled as many as it is told. It may have a window, in a directory.
func killReceive(t *testing.T, w way, how, endpoint, enough string, window ...string) {
	ctx := untilInputEnds(t)
	stop, err := strconv.Atoi(enough)
	require.NoError(t, err)
	options := []socket.Option{socket.WithAckCredit(killCredit, 1<<20), swift()}
	if len(window) > 0 && window[0] != "" {
		w, err := spool.OpenWindow(window[0], spool.WindowOptions{Count: 1 << 14, SegmentSize: 64 << 10})
		require.NoError(t, err)
		defer w.Close()
		options = append(options, socket.WithWindowOn(teller{w}))
	}
	s := w.receiver(options...)
	if how == "bind" {
		_, err = rebind(s, endpoint)
	} else {
		err = s.Connect(endpoint)
	}
	require.NoError(t, err)
	for m, err := range s.Messages(ctx) {
		if err != nil {
			break
		}
		number, life, whole := openLetterOf(m)
		if !whole {
			say("broken")
		}
		say("handled", number, life, lifeOf(m))
		if stop--; stop == 0 {
			<-t.Context().Done() // it is killed here: after the handler, before the acknowledgement
		}
	}
	require.NoError(t, s.Close())
}

// steady handles what comes until the test ends.
func (o *oracle) steady(s letterReceiver) {
	for m := range s.Messages(o.t.Context()) {
		number, life, whole := openLetterOf(m)
		assert.True(o.t, whole, "message %d", number)
		o.handle(number, life, lifeOf(m))
	}
}

// lifeOf returns which life of its sender a message came from.
func lifeOf(m socket.Msg) uint64 {
	said, _ := m.Peer().Property(lifeProperty)
	n, _ := strconv.ParseUint(said, 10, 64)
	return n
}
