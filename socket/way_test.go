package socket_test

import (
	"context"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// way is how letters go from one process to another: from a sender with a spool to a receiver that acknowledges.
type way struct {
	kind     spool.Kind
	peer     string // the receiver's type
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
	Stats() socket.Stats
}

type letterReceiver interface {
	connector
	recver
	Stats() socket.Stats
	Messages(context.Context) iter.Seq2[socket.Msg, error]
}

// ways go by the name of the sender's type.
var ways = map[string]way{
	"PUSH": {
		spool.Queue, "PULL", func(o ...socket.Option) letterSender { return socket.NewPush(o...) },
		func(o ...socket.Option) letterReceiver { return socket.NewPull(append(o, socket.WithAck())...) },
	},
	"DEALER": {
		spool.Queue, "ROUTER", func(o ...socket.Option) letterSender { return socket.NewDealer(o...) },
		func(o ...socket.Option) letterReceiver { return socket.NewRouter(append(o, socket.WithAck())...) },
	},
	"PUB": {
		spool.Topic, "SUB", func(o ...socket.Option) letterSender { return socket.NewPub(o...) },
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
	return w.on(log, options...)
}

// openFS is open on a disk of the test, with the options of smallSpool that are not given.
func (w way) openFS(t *testing.T, disk spool.FS, o spool.Options, options ...socket.Option) spooledSender {
	t.Helper()
	o.Kind, o.SegmentSize = w.kind, smallSpool.SegmentSize
	log, err := spool.OpenFS(disk, o)
	require.NoError(t, err)
	require.Empty(t, log.Recovery().Damage)
	return w.on(log, options...)
}

// on is a sender whose letters are in a log.
func (w way) on(log *spool.Log, options ...socket.Option) spooledSender {
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

// waitAlone waits until the sender has noticed that its receivers are gone: before, others would get what is behind the messages that those had.
func (s spooledSender) waitAlone(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { return len(s.Stats().Peers) == 0 }, sockettest.Timeout, time.Millisecond)
}

// floorOf is the number up to which a spool's only consumer has settled all messages; 0 before there is one.
func floorOf(log *spool.Log) uint64 {
	for _, c := range log.Stats().Consumers {
		return c.Floor
	}
	return 0
}

// openLetterOf is openLetter of a message, which a ROUTER has put a frame before. It has the number that the sender gave it.
func openLetterOf(m socket.Msg) (number, life uint64, ok bool) {
	number, life, ok = openLetter(m.Frames[len(m.Frames)-1])
	mark, marked := m.Mark()
	return number, life, ok && marked && mark.Number == number
}

// taker is a raw receiver that acknowledges, with credit for so many.
func (w way) taker(t *testing.T, at string, credit uint64, offer string) *sockettest.RawPeer {
	t.Helper()
	raw := sockettest.DialRaw(t, at)
	raw.Handshake(w.peer, 1, sockettest.Property{Name: zmtp.PropertyAck, Value: offer})
	if strings.Contains(offer, "send") {
		raw.ExpectCommand(zmtp.CommandCredit)
	}
	if w.kind == spool.Topic {
		raw.Subscribe("")
		raw.Write(resume(zmtp.FromBeginning, 0, "letters"))
		raw.ExpectCommand(zmtp.CommandResumed)
	}
	raw.Write(zmtp.AppendCredit(nil, credit, 1<<20))
	return raw
}

// sendLetters sends the letters from..to.
func sendLetters(t *testing.T, s sender, from, to uint64) {
	t.Helper()
	for n := from; n <= to; n++ {
		require.NoError(t, s.Send(limit(t), letter(n, 0)))
	}
}

// takeLetters has a receiver handle the letters from..to, which are the next that it is to get, and leave.
func (w way) takeLetters(t *testing.T, s spooledSender, endpoint string, from, to uint64) {
	t.Helper()
	receiver := w.receiver(socket.WithManualAck(), socket.WithAckDelay(0), swift())
	closing(t, receiver)
	require.NoError(t, receiver.Connect(endpoint))
	for n := from; n <= to; n++ {
		requireLetter(t, recv(t, receiver), n)
	}
	require.NoError(t, receiver.Close())
	s.awaitEnds(t)
}

// awaitEnds waits until the sender knows that all its connections have ended, and so what to send again before anything newer.
func (s spooledSender) awaitEnds(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { return len(s.Stats().Peers) == 0 }, sockettest.Timeout, time.Millisecond)
}

// requireLetter acknowledges a letter, which is to be that of a number.
func requireLetter(t *testing.T, m socket.Msg, want uint64) {
	t.Helper()
	number, life, whole := openLetterOf(m)
	require.Equal(t, [3]any{want, uint64(0), true}, [3]any{number, life, whole})
	require.NoError(t, m.Ack())
}

// requireSound: nothing is damaged in a spool, a log or a window that nobody uses.
func requireSound(t *testing.T, dir string) {
	t.Helper()
	report, err := spool.Verify(dir)
	require.NoError(t, err)
	require.Empty(t, report.Damage)
	require.Empty(t, report.Quarantined)
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
