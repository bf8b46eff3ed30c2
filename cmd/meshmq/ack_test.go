package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// keeping is a raw PUSH peer that keeps what is not acknowledged, connected to a program, and the credit it was given.
func keeping(t *testing.T, p *program) (raw *sockettest.RawPeer, credit uint64) {
	t.Helper()
	raw = sockettest.DialRaw(t, p.endpoint())
	raw.Handshake("PUSH", 1, sockettest.Property{Name: zmtp.PropertyAck, Value: "1 send"})
	credit, _, err := zmtp.ParseCredit(raw.ExpectCommand(zmtp.CommandCredit))
	require.NoError(t, err)
	return raw, credit
}

// awaitAck reads until all messages up to floor are acknowledged.
func awaitAck(t *testing.T, raw *sockettest.RawPeer, floor uint64) {
	t.Helper()
	for {
		a, err := zmtp.ParseAck(raw.ExpectCommand(zmtp.CommandAck))
		require.NoError(t, err)
		require.LessOrEqual(t, a.Floor, floor)
		if a.Floor == floor {
			return
		}
	}
}

// TestPullAck: what is printed is acknowledged, without waiting for more; what an interrupt leaves unprinted is not.
func TestPullAck(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	printed, err := os.Create(filepath.Join(t.TempDir(), "printed"))
	require.NoError(t, err)
	defer printed.Close()
	pull := startInto(t, printed, "pull", "-b", anyPort, "--ack")
	raw, credit := keeping(t, pull)
	assert.Equal(t, uint64(32768), credit)
	for _, text := range []string{"one", "two", "three"} {
		raw.SendMessage(text)
	}
	awaitAck(t, raw, 3)
	text, err := os.ReadFile(printed.Name())
	require.NoError(t, err)
	assert.Equal(t, "one\ntwo\nthree\n", string(text), "all that is acknowledged was written out")
	pull.signal(os.Interrupt)
	raw.ExpectClosed()
	raw.Close()
	r := pull.wait()
	assert.Equal(t, 130, r.code, r.stderr)
	assert.NotContains(t, r.stderr, "discarded")
}

// TestPullAckCount: what came and was not counted is left to others; what was printed is acknowledged before it ends.
func TestPullAckCount(t *testing.T) {
	t.Parallel()
	pull := start(t, "pull", "-b", anyPort, "--ack", "--prefetch", "3", "--count", "2")
	raw, credit := keeping(t, pull)
	assert.Equal(t, uint64(3), credit)
	for _, text := range []string{"one", "two", "three"} {
		raw.SendMessage(text)
	}
	awaitAck(t, raw, 2)
	raw.ExpectClosed()
	raw.Close()
	r := pull.wait()
	assert.Equal(t, result{0, "one\ntwo\n", r.stderr}, r)
	assert.NotContains(t, r.stderr, "discarded")
}

// TestPushAckGivenUp: what a peer rejects is lost, and so exit code 1; in a spool it is a dead letter, and done with.
func TestPushAckGivenUp(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "outbox")
	push := func(flags ...string) result {
		push := start(t, append([]string{"push", "-b", anyPort, "--ack", "one", "two", "three"}, flags...)...)
		raw := sockettest.DialRaw(t, push.endpoint())
		raw.Handshake("PULL", 1, sockettest.Property{Name: zmtp.PropertyAck, Value: "1 receive"})
		raw.Write(zmtp.AppendCredit(nil, 3, 1<<20))
		raw.ExpectCommand(zmtp.CommandStream)
		for range 3 {
			raw.ReadMessage()
		}
		raw.Write(zmtp.AppendAck(zmtp.AppendNack(nil, &zmtp.Nack{Tag: 2, Reject: true, Reason: "never"}), 3, nil))
		raw.ExpectClosed()
		raw.Close()
		return push.wait()
	}
	r := push()
	assert.Equal(t, 1, r.code, r.stderr)
	assert.Contains(t, r.stderr, "never")
	assert.Contains(t, r.stderr, "1 of 3 messages lost")
	r = push("--spool", dir)
	assert.Zero(t, r.code, r.stderr)
	assert.Contains(t, r.stderr, "never")
	assert.Contains(t, ok(t, "spool", "stats", dir), "pending 0\n")
	assert.Contains(t, ok(t, "spool", "dead", dir), "\tnever\ttwo\n")
}
