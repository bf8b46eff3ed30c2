package pushpull_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// Refund is another type than Order, in the same spool.
type Refund struct{ Cents int }

// refuser takes messages as they are, and rejects them.
func refuser(t *testing.T, p interface{ Connect(string) error }) *socket.Pull {
	t.Helper()
	pull := socket.NewPull(socket.WithAck(), socket.WithManualAck())
	t.Cleanup(func() { pull.Close() })
	addr, err := pull.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, p.Connect(addr))
	return pull
}

// takeAll returns the frames of n messages, which it answers with say.
func takeAll(t *testing.T, pull *socket.Pull, n int, say func(socket.Msg) error) (all [][][]byte) {
	t.Helper()
	for range n {
		m, err := pull.Recv(within(t))
		require.NoError(t, err)
		all = append(all, m.Clone().Frames)
		require.NoError(t, say(m))
	}
	return all
}

// Dead letters of any type, and those that are none of ours, are sent again as they were, all or those of a type, by a producer of whatever type has the spool.
func TestReplay_LettersOfAnyType(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keep := patterns.WithSpool(dir, small)
	orders := pushpull.NewProducer[Order](keep)
	id := codec.NewID()
	require.NoError(t, orders.Send(within(t), Order{Item: "tea"}, patterns.WithID(id), patterns.WithHeader("tenant", "acme")))
	require.NoError(t, orders.Push.Send(within(t), []byte("no envelope"), []byte{0, 1}))
	require.ErrorIs(t, orders.Close(), socket.ErrSpooled)
	refunds := pushpull.NewProducer[Refund](keep)
	t.Cleanup(func() { refunds.Close() })
	require.NoError(t, refunds.Send(within(t), Refund{5}))
	pull := refuser(t, refunds)
	reject := func(m socket.Msg) error { return m.Nack(socket.Reject("no")) }
	sent := takeAll(t, pull, 3, reject)
	require.NoError(t, refunds.WaitAcked(within(t)))

	n, err := refunds.Replay(within(t), 1000, refunds.Holds)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	ack := func(m socket.Msg) error { return m.Ack() }
	assert.Equal(t, sent[2:], takeAll(t, pull, 1, ack))
	n, err = refunds.Replay(within(t), 1000, nil)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	again := takeAll(t, pull, 2, ack)
	assert.Equal(t, sent[:2], again)
	var e codec.Envelope
	require.NoError(t, e.Decode(again[0][0]))
	assert.Equal(t, []string{id.String(), "Order", "acme"}, []string{e.ID.String(), e.Type, e.Header("tenant")})
}

// Where there is no spool, what WithDeadLetters is told of can be sent again as it was.
func TestResend_AsItWas(t *testing.T) {
	t.Parallel()
	died, dead := graves()
	p := pushpull.NewProducer[Order](assured, died)
	t.Cleanup(func() { p.Close() })
	pull := refuser(t, p)
	require.NoError(t, p.Send(within(t), Order{Item: "tea"}, patterns.WithHeader("tenant", "acme")))
	sent := takeAll(t, pull, 1, func(m socket.Msg) error { return m.Nack(socket.Reject("no")) })
	d := <-dead
	assert.True(t, p.Holds(d))
	assert.False(t, pushpull.NewProducer[Refund]().Holds(d))
	require.NoError(t, p.Resend(within(t), d))
	assert.Equal(t, sent, takeAll(t, pull, 1, func(m socket.Msg) error { return m.Ack() }))
	require.ErrorIs(t, p.Resend(within(t), patterns.DeadLetter{}), patterns.ErrMalformed)
}

// Letters that are lost to damage hold up no others, and are told of until they are let go of.
func TestReplay_SaysWhatIsLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keep := patterns.WithSpool(dir, small)
	p := pushpull.NewProducer[Order](keep)
	pull := refuser(t, p)
	items := []string{"first", "spoilt-item", "last"}
	for _, item := range items {
		require.NoError(t, p.Send(within(t), Order{Item: item}))
	}
	takeAll(t, pull, len(items), func(m socket.Msg) error { return m.Nack(socket.Reject("no")) })
	require.NoError(t, p.WaitAcked(within(t)))
	require.NoError(t, p.Close())
	spoil(t, filepath.Join(dir, "dead"), "spoilt-item")

	p = pushpull.NewProducer[Order](keep)
	t.Cleanup(func() { p.Close() })
	pull = refuser(t, p)
	n, err := p.Replay(within(t), 1000, nil)
	assert.Equal(t, 2, n)
	var gap *spool.Gap
	require.ErrorAs(t, err, &gap)
	assert.Equal(t, &spool.Gap{From: 2, To: 2, Damaged: true}, gap)
	takeAll(t, pull, 2, func(m socket.Msg) error { return m.Ack() })
	_, err = p.Replay(within(t), 1000, nil)
	require.ErrorAs(t, err, &gap)
	n, err = p.Purge(nil)
	require.NoError(t, err)
	assert.Zero(t, n)
	_, err = p.Replay(within(t), 1000, nil)
	require.NoError(t, err)
}

// spoil changes a byte of text, wherever a file of the folder has it.
func spoil(t *testing.T, dir, text string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	spoilt := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		if i := bytes.Index(b, []byte(text)); i >= 0 {
			b[i] ^= 1
			require.NoError(t, os.WriteFile(f, b, 0o600))
			spoilt++
		}
	}
	require.Positive(t, spoilt)
}
