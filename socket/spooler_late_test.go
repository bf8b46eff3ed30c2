package socket_test

import (
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
	t    *testing.T
	push *socket.Push
	log  *spool.Log
	at   string
}

func newLateLink(t *testing.T, dir string) *lateLink {
	log, err := spool.Open(dir, smallSpool)
	require.NoError(t, err)
	push := socket.NewPush(socket.WithSpoolOn(socket.SpoolOf(log)), socket.WithAttempts(0), swiftRetry(), socket.WithHeartbeat(0, 0))
	closing(t, push)
	send(t, push, "1")
	send(t, push, "2")
	return &lateLink{t, push, log, bind(t, push, "tcp://127.0.0.1:0")}
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
	require.Eventually(l.t, func() bool { return l.log.Queue().Pending() == pending }, sockettest.Timeout, time.Millisecond)
	s := l.push.Stats().Acks
	require.Equal(l.t, []uint64{stale, acked, floor}, []uint64{s.StaleAcks, s.AckedOut, l.log.Queue().Floor()})
}

// late is an acknowledgement of tag 2 by itself.
func late() []byte { return zmtp.AppendAck(nil, 0, []zmtp.TagRange{{First: 2, Last: 2}}) }

// Row 20, with a spool: what is said of an older delivery, after the message was delivered again, is ignored and counted, on the same connection and where the message has gone to another; on a
// connection that has ended nobody hears it. No position moves by it, and both messages stay until their last deliveries are acknowledged.
func TestSpool_LateAcknowledgements(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	l := newLateLink(t, dir)
	const offer = "1 receive way=00000000000000ff"
	retry := zmtp.AppendNack(nil, &zmtp.Nack{Tag: 2, After: time.Millisecond})

	old := taker(t, l.at, 2, offer)
	l.gets(old, 1, 1)
	old.ReadMessage()
	old.Write(retry)
	l.gets(old, 2, 2) // tag 3
	old.Write(late())
	old.Write(retry)
	l.stands(old, 2, 0, 0, 2)

	anew := taker(t, l.at, 2, offer)
	old.ExpectClosed()
	_, _ = old.Conn().Write(zmtp.AppendAck(nil, 3, nil)) // there may be nobody to take it
	l.gets(anew, 1, 2)
	l.gets(anew, 2, 3)
	l.stands(anew, 2, 0, 0, 2)

	other := taker(t, l.at, 2, "1 receive")
	l.stands(other, 2, 0, 0, 2)
	anew.Write(retry)
	l.gets(other, 2, 4)
	anew.Write(late())
	l.stands(anew, 3, 0, 0, 2)

	other.Write(zmtp.AppendAck(nil, 1, nil))
	l.stands(other, 3, 1, 0, 1)
	anew.Write(zmtp.AppendAck(nil, 1, nil))
	l.stands(anew, 3, 2, 2, 0)
	require.NoError(t, l.push.WaitAcked(limit(t)))
	other.Close()
	anew.Close()
	require.NoError(t, l.push.Shutdown(limit(t)))
	log, err := spool.Open(dir, smallSpool)
	require.NoError(t, err)
	defer log.Close()
	assert.EqualValues(t, 2, log.Queue().Floor())
}
