package zmtp

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Above each test stands the rule of RFC 37 it checks, in our words, behind the title of its section.

// Version Negotiation: a peer that does not downgrade sends all 64 octets at once, with zeros for padding.
func TestRFC37_Greeting(t *testing.T) {
	t.Parallel()
	want := greetingOf(1, 0)
	want[8] = 0
	assert.Equal(t, want, newHandshake(t, Config{SocketType: Pub}).Start())
}

// Version Negotiation: whatever stands in the padding, it is neither read nor checked.
func TestRFC37_PaddingNotSignificant(t *testing.T) {
	t.Parallel()
	for octet := range 256 {
		greeting := greetingOf(1, 0)
		for i := 1; i <= 8; i++ {
			greeting[i] = byte(octet)
		}
		h := newHandshake(t, Config{SocketType: Pull})
		_, _, err := h.Step(append(greeting, readyPush...))
		require.NoError(t, err)
		require.True(t, h.Done())
	}
}

// Version Negotiation: later versions are accepted and spoken to in ours; the earlier ones we do not speak end the
// connection.
func TestRFC37_VersionNegotiation(t *testing.T) {
	t.Parallel()
	for major := range 256 {
		for _, minor := range []byte{0, 1, 2, 255} {
			greeting := greetingOf(minor, 0)
			greeting[10] = byte(major)
			h := newHandshake(t, Config{SocketType: Pull})
			_, _, err := h.Step(append(greeting, readyPush...))
			if major < 3 {
				requireReason(t, OldVersion, err)
				continue
			}
			require.NoError(t, err)
			want := byte(1)
			if major == 3 && minor == 0 {
				want = 0
			}
			require.Equal(t, want, h.Peer().Minor, "a peer of %d.%d", major, minor)
			require.Equal(t, byte(3), h.Peer().Major)
		}
	}
}

// Authentication and Confidentiality: both mechanisms are equal in all their 20 octets, or the connection ends.
func TestRFC37_MechanismMatchesExactly(t *testing.T) {
	t.Parallel()
	for i := 12; i < 32; i++ {
		greeting := greetingOf(1, 0)
		greeting[i] ^= 1
		_, _, err := newHandshake(t, Config{SocketType: Pull}).Step(greeting)
		requireReason(t, MechanismMismatch, err)
	}
}

// The NULL Security Mechanism: a side is done when it has sent READY and received one. Two of ours meet.
func TestRFC37_NullHandshake(t *testing.T) {
	t.Parallel()
	req := newHandshake(t, Config{SocketType: Req, Identity: []byte("me"), Properties: Metadata{{"X-A", []byte("1")}}})
	router := newHandshake(t, Config{SocketType: Router})
	toRouter, toReq := req.Start(), router.Start()
	for rounds := 0; !req.Done() || !router.Done(); rounds++ {
		require.Less(t, rounds, 3)
		_, more, err := req.Step(toReq)
		require.NoError(t, err)
		toRouter = append(toRouter, more...)
		_, toReq, err = router.Step(toRouter)
		require.NoError(t, err)
		toRouter = nil
	}
	assert.Equal(t, Peer{Major: 3, Minor: 1, Mechanism: "NULL", SocketType: Req, Identity: []byte("me"), Metadata: Metadata{
		{"Socket-Type", []byte("REQ")}, {"Identity", []byte("me")}, {"X-A", []byte("1")},
	}}, router.Peer())
	assert.Equal(t, Router, req.Peer().SocketType)
	assert.Empty(t, req.Peer().Identity)
}

// The Socket-Type Property: who may talk to whom.
func TestRFC37_SocketTypeTable(t *testing.T) {
	t.Parallel()
	table := map[SocketType]string{
		"REQ": "REP ROUTER", "REP": "REQ DEALER",
		"DEALER": "REP DEALER ROUTER", "ROUTER": "REQ DEALER ROUTER",
		"PUB": "SUB XSUB", "XPUB": "SUB XSUB", "SUB": "PUB XPUB", "XSUB": "PUB XPUB",
		"PUSH": "PULL", "PULL": "PUSH", "PAIR": "PAIR",
		"CLIENT": "SERVER", "SERVER": "CLIENT", "RADIO": "DISH", "DISH": "RADIO",
		"SCATTER": "GATHER", "GATHER": "SCATTER", "PEER": "PEER", "CHANNEL": "CHANNEL",
	}
	require.Len(t, peersOf, len(table))
	for ours, row := range table {
		for theirs := range table {
			want := slices.Contains(strings.Fields(row), string(theirs))
			assert.Equal(t, want, ours.Compatible(theirs), "%s and %s", ours, theirs)
		}
		assert.False(t, ours.Compatible(""))
		assert.False(t, ours.Compatible(SocketType(strings.ToLower(string(ours)))))
		assert.False(t, SocketType("").Compatible(ours))
	}
}

// The Socket-Type Property: a type that does not fit is answered with ERROR before the connection ends.
func TestRFC37_InvalidSocketTypeIsAnswered(t *testing.T) {
	t.Parallel()
	h := newHandshake(t, Config{SocketType: Push})
	_, _, err := h.Step(greetingOf(1, 0))
	require.NoError(t, err)
	_, out, err := h.Step([]byte(readyPush))
	requireReason(t, IncompatibleType, err)
	_, _, header, err := ParseHeader(out)
	require.NoError(t, err)
	name, data, err := ParseCommand(out[header:])
	require.NoError(t, err)
	assert.Equal(t, CommandError, string(name))
	reason, err := ParseError(data)
	require.NoError(t, err)
	assert.Equal(t, "PUSH_cannot_talk_to_PUSH", reason)
	assert.False(t, h.Done())
}

// The Identity Property: REQ, DEALER and ROUTER announce an identity; that of any other type is ignored.
func TestRFC37_IdentityOfSomeTypesOnly(t *testing.T) {
	t.Parallel()
	for ours, peers := range peersOf {
		h := newHandshake(t, Config{SocketType: ours, Identity: []byte("ours")})
		_, out, err := h.Step(greetingOf(1, 0))
		require.NoError(t, err)
		announces := strings.Contains("REQ DEALER ROUTER", string(ours))
		assert.Equal(t, announces, strings.Contains(string(out), "ours"), "sent by %s", ours)

		theirs := Metadata{{PropertySocketType, []byte(peers[0])}, {PropertyIdentity, []byte("theirs")}}
		_, _, err = h.Step(AppendCommand(nil, CommandReady, AppendMetadata(nil, theirs)))
		require.NoError(t, err)
		announces = strings.Contains("REQ DEALER ROUTER", string(peers[0]))
		assert.Equal(t, announces, len(h.Peer().Identity) > 0, "received from %s", peers[0])
	}
}

// Error Handling: ERROR from the peer ends the handshake, whatever comes behind it.
func TestRFC37_ErrorIsFatal(t *testing.T) {
	t.Parallel()
	h := newHandshake(t, Config{SocketType: Pull})
	_, _, err := h.Step(append(greetingOf(1, 0), "\x04\x0a\x05ERROR\x03400"...))
	requireReason(t, PeerError, err)
	assert.EqualError(t, err, `refused by the peer: "400": it does not let us in`)
	n, out, again := h.Step([]byte(readyPush))
	assert.Zero(t, n)
	assert.Empty(t, out)
	assert.Equal(t, err, again)
	assert.False(t, h.Done())
}

// The NULL Security Mechanism: property names are equal without regard to case.
func TestRFC37_PropertyNamesWithoutCase(t *testing.T) {
	t.Parallel()
	m := Metadata{{"X-Mesh-Ack", []byte("1")}, {"Empty", nil}}
	for _, name := range []string{"X-Mesh-Ack", "x-mesh-ack", "X-MESH-ACK"} {
		value, found := m.Get(name)
		assert.True(t, found)
		assert.Equal(t, []byte("1"), value)
	}
	value, found := m.Get("empty")
	assert.True(t, found)
	assert.Empty(t, value)
	_, found = m.Get("X-Mesh")
	assert.False(t, found)
}
