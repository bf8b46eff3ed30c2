package socket_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// lateLink is a sender with a spool of two messages, whose receivers say late what became of them.
type lateLink struct {
	t      *testing.T
	sender spooledSender
}

// gets reads a delivery that is not in a row with the one before.
func (l *lateLink) gets(raw *sockettest.RawPeer, number uint64, attempt uint32) {
	l.t.Helper()
	s, err := zmtp.ParseStream(raw.ExpectCommand(zmtp.CommandStream))
	require.NoError(l.t, err)
	require.Equal(l.t, []uint64{number, uint64(attempt)}, []uint64{s.Number, uint64(s.Attempt)})
	raw.ReadMessage()
}

// stands checks what the sender knows, when it has heard all that raw said.
func (l *lateLink) stands(raw *sockettest.RawPeer, stale, acked, floor, pending uint64) {
	l.t.Helper()
	raw.SendCommand("PING", []byte{0, 0, 'x'})
	raw.ExpectCommand("PONG")
	position := func() spool.ConsumerInfo { return l.sender.log.Stats().Consumers[0] }
	require.Eventually(l.t, func() bool { return position().Pending == pending }, sockettest.Timeout, time.Millisecond)
	s := l.sender.Stats().Acks
	require.Equal(l.t, []uint64{stale, acked, floor}, []uint64{s.StaleAcks, s.AckedOut, position().Floor})
}

// late is an acknowledgement of tag 2 by itself.
func late() []byte { return zmtp.AppendAck(nil, 0, []zmtp.TagRange{{First: 2, Last: 2}}) }

// Row 20, with a spool: what is said of an older delivery, after the message was delivered again, is ignored and counted, on the same connection and where the message has gone to another; on a
// connection that has ended nobody hears it. No position moves by it, and both messages stay until their last deliveries are acknowledged.
func TestSpool_LateAcknowledgements(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, name string, w way) {
		options, offer := []socket.Option{socket.WithHeartbeat(0, 0)}, "1 receive"
		if name == "DEALER" { // whose old connection ends for a new one where messages to it are acknowledged, too
			options, offer = append(options, socket.WithAck()), "1 send receive"
		}
		dir := filepath.Join(t.TempDir(), "spool")
		l := &lateLink{t, w.open(t, dir, options...)}
		closing(t, l.sender)
		sendLetters(t, l.sender, 1, 2)
		at := bind(t, l.sender, "tcp://127.0.0.1:0")
		const way = " way=00000000000000ff"
		retry := zmtp.AppendNack(nil, &zmtp.Nack{Tag: 2, After: time.Millisecond})

		other := w.taker(t, at, 0, offer) // a second member of a name, which has one courier so
		old := w.taker(t, at, 2, offer+way)
		l.gets(old, 1, 1)
		old.ReadMessage()
		old.Write(retry)
		l.gets(old, 2, 2) // tag 3
		old.Write(late())
		old.Write(retry)
		l.stands(old, 2, 0, 0, 2)

		anew := w.taker(t, at, 2, offer+way)
		old.ExpectClosed()
		_, _ = old.Conn().Write(zmtp.AppendAck(nil, 3, nil)) // there may be nobody to take it
		l.gets(anew, 1, 2)
		l.gets(anew, 2, 3)
		l.stands(anew, 2, 0, 0, 2)

		other.Write(zmtp.AppendCredit(nil, 2, 1<<20))
		l.stands(other, 2, 0, 0, 2)
		anew.Write(retry)
		l.gets(other, 2, 4)
		anew.Write(late())
		l.stands(anew, 3, 0, 0, 2)

		other.Write(zmtp.AppendAck(nil, 1, nil))
		l.stands(other, 3, 1, 0, 1)
		anew.Write(zmtp.AppendAck(nil, 1, nil))
		l.stands(anew, 3, 2, 2, 0)
		require.NoError(t, l.sender.WaitAcked(limit(t)))
		other.Close()
		anew.Close()
		require.NoError(t, l.sender.Shutdown(limit(t)))
		w.requireDrained(t, dir)
	})
}

// Row 22: a receiver that has lost all it knew gets everything that was not acknowledged, from the first letter on, and none is missing in between. That is so with a window, too, which has
// what was handled and not acknowledged: where it is there still that is dropped, and where its directory was wiped it comes again.
func TestSpool_ReceiverThatForgot(t *testing.T) {
	t.Parallel()
	for _, window := range []string{"none", "wiped", "kept"} {
		t.Run(window, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func(t *testing.T, _ string, w way) { receiverThatForgot(t, w, window) })
		})
	}
}

func receiverThatForgot(t *testing.T, w way, window string) {
	const letters, acked, apart, marked = 100, 30, 50, 70
	dir, marks := filepath.Join(t.TempDir(), "spool"), filepath.Join(t.TempDir(), "window")
	options := []socket.Option{socket.WithManualAck(), socket.WithAckDelay(0)}
	if window != "none" {
		options = append(options, socket.WithWindow(marks, spool.WindowOptions{}))
	}
	s := w.open(t, dir)
	closing(t, s)
	endpoint := bind(t, s, "tcp://127.0.0.1:0")
	sendLetters(t, s, 1, letters)
	settled := func(n uint64) bool { return n <= acked || n == apart }
	first := w.receiver(options...)
	closing(t, first)
	require.NoError(t, first.Connect(endpoint))
	var mark spool.Mark
	for n := uint64(1); n <= letters; n++ {
		m := recv(t, first)
		if settled(n) {
			requireLetter(t, m, n)
		}
		if n == marked {
			mark, _ = m.Mark()
		}
	}
	require.Eventually(t, func() bool { return s.log.Stats().Consumers[0].Pending == letters-acked-1 }, sockettest.Timeout, time.Millisecond)
	require.NoError(t, first.Close())
	s.awaitEnds(t)
	if window != "none" {
		known, err := spool.OpenWindow(marks, spool.WindowOptions{})
		require.NoError(t, err)
		require.NoError(t, known.Mark(limit(t), mark)) // as a receiver does that ends before it says so
		require.NoError(t, known.Close())
	}
	if window == "wiped" {
		require.NoError(t, os.RemoveAll(marks))
	}

	second := w.receiver(options...)
	closing(t, second)
	require.NoError(t, second.Connect(endpoint))
	for n := uint64(1); n <= letters; n++ {
		if settled(n) || n == marked && window == "kept" {
			continue
		}
		m := recv(t, second)
		require.Equal(t, 2, m.Attempt())
		requireLetter(t, m, n)
	}
	require.NoError(t, s.waitSettled(limit(t), letters))
	assert.Equal(t, window == "kept", second.Stats().Acks.DuplicatesIn == 1)
	require.NoError(t, s.Shutdown(limit(t)))
	w.requireDrained(t, dir)
}
