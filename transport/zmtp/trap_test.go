package zmtp

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The traps are what peers in use, libzmq above all, do beside the RFC. Not here: trap 6, subscriptions are sent
// on the first and the last of equal ones only, is tested with Sub and XSub in socket; traps 7, 8 and 9 are about
// CURVE, which this package does not have.

// greetingOf is a peer's greeting, written down here so that it does not come from the code under test.
func greetingOf(minor byte, asServer byte) []byte {
	g := append([]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, minor}, "NULL"...)
	g = append(g, make([]byte, 48)...)
	g[32] = asServer
	return g
}

const (
	readyPush = "\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH"
	readyPull = "\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PULL"
)

func newHandshake(t testing.TB, c Config) *Handshake {
	t.Helper()
	h, err := NewHandshake(c)
	require.NoError(t, err)
	return h
}

// Trap 1: libzmq sends ten octets, and the rest of its greeting only after it has seen ours; one that waits for
// the peer before sending would wait for ever.
func TestTrap01_WholeGreetingAtOnce(t *testing.T) {
	t.Parallel()
	h := newHandshake(t, Config{SocketType: Pull})
	assert.Len(t, h.Start(), GreetingSize)
	greeting := greetingOf(1, 0)
	for _, piece := range [][]byte{greeting[:10], greeting[10:11], greeting[11:]} {
		n, out, err := h.Step(piece)
		require.NoError(t, err)
		assert.Equal(t, len(piece), n)
		if last := len(piece) == 53; last {
			assert.Equal(t, readyPull, string(out))
		} else {
			assert.Empty(t, out)
		}
	}
}

// Trap 2: libzmq takes a message that arrives before its own READY is out for a handshake command and hangs up.
// Done, which lets the engine send, is true only behind the peer's last octet of READY.
func TestTrap02_NotDoneBeforeThePeersReady(t *testing.T) {
	t.Parallel()
	h := newHandshake(t, Config{SocketType: Pull})
	in := append(greetingOf(1, 0), readyPush...)
	for i := range in {
		assert.False(t, h.Done(), "after %d octets", i)
		_, _, err := h.Step(in[i : i+1])
		require.NoError(t, err)
	}
	assert.True(t, h.Done())
}

// Trap 3: libzmq's as-server octet is 0 in every role, so nothing follows from a peer's.
func TestTrap03_AsServerIgnored(t *testing.T) {
	t.Parallel()
	for _, asServer := range []byte{0, 1, 0xff} {
		h := newHandshake(t, Config{SocketType: Pull})
		assert.Zero(t, h.Start()[32], "NULL has no server")
		_, _, err := h.Step(append(greetingOf(1, asServer), readyPush...))
		require.NoError(t, err)
		assert.True(t, h.Done())
	}
}

// Trap 4: libzmq knows the properties only in this exact case.
func TestTrap04_PropertyNamesInExactCase(t *testing.T) {
	t.Parallel()
	h := newHandshake(t, Config{SocketType: Dealer, Identity: []byte("id")})
	_, out, err := h.Step(greetingOf(1, 0))
	require.NoError(t, err)
	assert.Equal(t, "\x04\x2b\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x02id", string(out))
	// Received, any case will do: an incompatible type in lower case is still refused.
	lower := strings.Replace(readyPush, "Socket-Type", "socket-type", 1)
	_, _, err = h.Step([]byte(lower))
	requireReason(t, IncompatibleType, err)
}

// Trap 5: the form of a subscription follows the version both speak. Accepting both forms is the part of the
// socket, which alone knows the first frame of a message.
func TestTrap05_SubscriptionFormFollowsTheVersion(t *testing.T) {
	t.Parallel()
	for minor, want := range map[byte]string{
		0: "\x00\x02\x01t" + "\x00\x02\x00t",
		1: "\x04\x0b\x09SUBSCRIBEt" + "\x04\x08\x06CANCELt",
		9: "\x04\x0b\x09SUBSCRIBEt" + "\x04\x08\x06CANCELt",
	} {
		h := newHandshake(t, Config{SocketType: Pull})
		_, _, err := h.Step(append(greetingOf(minor, 0), readyPush...))
		require.NoError(t, err)
		spoken := h.Peer().Minor
		got := AppendCancel(AppendSubscribe(nil, spoken, []byte("t")), spoken, []byte("t"))
		assert.Equal(t, want, string(got), "a peer of 3.%d", minor)
	}
}

// Trap 10: libzmq wraps a time to live above 65.5 s and cuts a context at 16 octets.
func TestTrap10_PingWithinWhatLibzmqKeeps(t *testing.T) {
	t.Parallel()
	context := []byte("0123456789abcdefg")
	frame := AppendPing(nil, time.Hour, context)
	assert.Equal(t, "\x04\x17\x04PING\x02\x8f0123456789abcdef", string(frame))
	_, _, err := ParsePing(append([]byte{0, 0}, context...))
	require.ErrorIs(t, err, ErrCommand)
}

// Trap 11: a libzmq connector gives up for good after an ERROR command. It is sent only for what the peer's owner
// has to mend, never for octets that came out of step. What comes after the refusal is tested in socket.
func TestTrap11_ErrorCommandOnlyForWhatStaysWrong(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		frame string
		told  bool
	}{
		"incompatible type": {readyPull, true},
		"bad identity":      {"\x04\x14\x05READY\x08Identity\x00\x00\x00\x01\x00", true},
		"malformed frame":   {"\xff", false},
		"malformed command": {"\x04\x00", false},
		"unexpected":        {"\x04\x05\x04PONG", false},
		"cut metadata":      {"\x04\x0a\x05READY\x01X\x00\x00", false},
		"too large":         {"\x06\x00\x00\x00\x00\x00\x10\x00\x00", false},
		"refused":           {"\x04\x0a\x05ERROR\x03400", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHandshake(t, Config{SocketType: Pull})
			_, _, err := h.Step(greetingOf(1, 0))
			require.NoError(t, err)
			_, out, err := h.Step([]byte(test.frame))
			require.Error(t, err)
			assert.Equal(t, test.told, bytes.Contains(out, []byte("\x05ERROR")), "sent %q", out)
		})
	}
}

// Trap 12: libzmq holds handshake commands to its message limit, so our READY is small; ours has a limit of its own.
func TestTrap12_ReadyIsSmallAndHasItsOwnLimit(t *testing.T) {
	t.Parallel()
	longest := newHandshake(t, Config{SocketType: Dealer, Identity: bytes.Repeat([]byte("i"), 255)})
	_, out, err := longest.Step(greetingOf(1, 0))
	require.NoError(t, err)
	assert.Less(t, len(out), 320)

	_, err = NewHandshake(Config{SocketType: Push, Properties: Metadata{{"X-Big", make([]byte, defaultMaxCommand)}}})
	require.ErrorContains(t, err, "want at most 4096")

	h := newHandshake(t, Config{SocketType: Push, MaxCommand: 100})
	_, _, err = h.Step(append(greetingOf(1, 0), 0x04, 101))
	requireReason(t, TooLarge, err)
}

func requireReason(t testing.TB, want Reason, err error) {
	t.Helper()
	var refused *HandshakeError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, want, refused.Reason, "%v", err)
}
