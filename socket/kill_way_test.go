//go:build linux || darwin

package socket_test

import (
	"context"
	"io"
	"iter"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// What the processes do that are killed. From killCredit and killStride follows how many messages may come twice.
const (
	killCredit = 50
	killBatch  = 16  // messages to a receipt
	killStride = 256 // messages after which a sender waits until all are settled, durably
	unsettled  = killStride + killBatch
)

// way is how letters go from one process to another: from a sender with a spool to a receiver that acknowledges.
type way struct {
	kind     spool.Kind
	sender   func(...socket.Option) letterSender
	receiver func(...socket.Option) letterReceiver
}

type letterSender interface {
	connector
	sender
	Enqueue(context.Context, ...[]byte) (uint64, error)
	WaitSpooled(context.Context, uint64) error
	WaitAcked(context.Context) error
	Flush(context.Context) error
	Shutdown(context.Context) error
}

type letterReceiver interface {
	connector
	Messages(context.Context) iter.Seq2[socket.Msg, error]
}

// ways go by the name of the sender's type.
var ways = map[string]way{
	"PUSH": {
		spool.Queue, func(o ...socket.Option) letterSender { return socket.NewPush(o...) },
		func(o ...socket.Option) letterReceiver { return socket.NewPull(append(o, socket.WithAck())...) },
	},
	"DEALER": {
		spool.Queue, func(o ...socket.Option) letterSender { return socket.NewDealer(o...) },
		func(o ...socket.Option) letterReceiver { return socket.NewRouter(append(o, socket.WithAck())...) },
	},
	"PUB": {
		spool.Topic, func(o ...socket.Option) letterSender { return socket.NewPub(o...) },
		func(o ...socket.Option) letterReceiver {
			sub := socket.NewSub(append(o, socket.WithDurable("letters", spool.Beginning()))...)
			_ = sub.Subscribe("") // what is wrong with the options Connect or Bind says
			return sub
		},
	},
}

// eachWay runs a test for each of them.
func eachWay(t *testing.T, test func(t *testing.T, name string, w way)) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, name, w)
		})
	}
}

func (w way) options() spool.Options {
	o := smallSpool
	o.Kind = w.kind
	return o
}

// spooledSender is a sender, and what it keeps.
type spooledSender struct {
	letterSender
	log *spool.Log
}

func (w way) open(t *testing.T, dir string, options ...socket.Option) spooledSender {
	t.Helper()
	log, err := spool.Open(dir, w.options())
	require.NoError(t, err)
	require.Empty(t, log.Recovery().Damage)
	options = append(options, socket.WithSpoolOn(socket.SpoolOf(log)), socket.WithAttempts(0), swiftRetry(), swift())
	return spooledSender{w.sender(options...), log}
}

// waitSettled waits until all letters up to a number are settled. WaitAcked of a publisher is not that: it waits for nobody who is away.
func (s spooledSender) waitSettled(ctx context.Context, number uint64) error {
	err := s.WaitAcked(ctx)
	for err == nil && floorOf(s.log) < number {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return err
}

// floorOf is the number up to which a spool's only consumer has settled all messages; 0 before there is one.
func floorOf(log *spool.Log) uint64 {
	for _, c := range log.Stats().Consumers {
		return c.Floor
	}
	return 0
}

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

// killReceive handles letters, which is to tell of them, until its input ends. It does not ask for the next when it has handled as many as it is told.
func killReceive(t *testing.T, w way, how, endpoint, enough string) {
	ctx := untilInputEnds(t)
	stop, err := strconv.Atoi(enough)
	require.NoError(t, err)
	s := w.receiver(socket.WithAckCredit(killCredit, 1<<20), swift())
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

// openLetterOf is openLetter of a message, which a ROUTER has put a frame before. It has the number that the sender gave it.
func openLetterOf(m socket.Msg) (number, life uint64, ok bool) {
	number, life, ok = openLetter(m.Frames[len(m.Frames)-1])
	mark, marked := m.Mark()
	return number, life, ok && marked && mark.Number == number
}

// requireDrained: nothing is left in a spool that nobody uses, and nothing is damaged. A queue takes two segments then; a topic has all letters still.
func (w way) requireDrained(t *testing.T, dir string) {
	t.Helper()
	report, err := spool.Verify(dir)
	require.NoError(t, err)
	assert.Empty(t, report.Damage)
	log, err := spool.Open(dir, w.options())
	require.NoError(t, err)
	defer log.Close()
	assert.Equal(t, log.Next()-1, floorOf(log))
	if w.kind == spool.Queue {
		assert.Zero(t, log.Queue().Pending())
		require.Eventually(t, func() bool { return log.Stats().Bytes <= 2*smallSpool.SegmentSize }, sockettest.Timeout, time.Millisecond)
		return
	}
	replay, err := log.Consumer("replay", spool.Beginning())
	require.NoError(t, err)
	requireLetters(t, replay.Reader())
}

// requireLetters reads letters from number 1 to the end, and returns them.
func requireLetters(t *testing.T, r *spool.Reader) (all [][]byte) {
	t.Helper()
	defer r.Close()
	for n := uint64(1); ; n++ {
		record, err := r.TryNext()
		if err == io.EOF {
			return all
		}
		require.NoError(t, err)
		number, _, whole := openLetter(record.Frames[0])
		require.True(t, whole && number == n && record.Number == n)
		all = append(all, append([]byte(nil), record.Frames[0]...))
	}
}
