package conformance

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/nacl/box"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// byHand is one side of CURVE written down from RFC 26 with nacl/box, and nothing of ours. Capital letters in the RFC are public keys, small ones
// secret; those with a prime are of the connection.
type byHand struct {
	*sockettest.RawPeer
	t              *testing.T
	keys           keyPair // ours: C, c or S, s
	passing        keyPair // of the connection
	peer           *[32]byte
	peerPassing    *[32]byte
	sent, received uint64 // short nonces
}

type keyPair struct{ public, secret *[32]byte }

func newKeyPair(t *testing.T) keyPair {
	t.Helper()
	public, secret, err := box.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return keyPair{public, secret}
}

func nonceOf(prefix string, end []byte) *[24]byte {
	n := [24]byte([]byte(prefix + string(end)))
	return &n
}

func randomly(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// short returns the next short nonce.
func (p *byHand) short() []byte {
	p.sent++
	return binary.BigEndian.AppendUint64(nil, p.sent)
}

// fresh requires that a short nonce counts up.
func (p *byHand) fresh(end []byte) {
	p.t.Helper()
	n := binary.BigEndian.Uint64(end)
	require.Greater(p.t, n, p.received)
	p.received = n
}

func (p *byHand) open(sealed []byte, nonce *[24]byte, public, secret *[32]byte) []byte {
	p.t.Helper()
	inside, ok := box.Open(nil, sealed, nonce, public, secret)
	require.True(p.t, ok, "the box does not open")
	return inside
}

// hello is HELLO of a client.
func (p *byHand) hello() []byte {
	end := p.short()
	b := append([]byte{1, 0}, make([]byte, 72)...)
	b = append(append(b, p.passing.public[:]...), end...)
	return box.Seal(b, make([]byte, 64), nonceOf("CurveZMQHELLO---", end), p.peer, p.passing.secret)
}

// initiate is INITIATE of a client that was given a cookie.
func (p *byHand) initiate(cookie []byte, metadata string) []byte {
	vouched, end := randomly(16), p.short()
	inside := append(bytes.Clone(p.keys.public[:]), vouched...)
	inside = box.Seal(inside, append(bytes.Clone(p.passing.public[:]), p.peer[:]...), nonceOf("VOUCH---", vouched), p.peerPassing, p.keys.secret)
	inside = append(inside, metadata...)
	return box.Seal(append(bytes.Clone(cookie), end...), inside, nonceOf("CurveZMQINITIATE", end), p.peerPassing, p.passing.secret)
}

// message is the body of a MESSAGE.
func (p *byHand) message(prefix string, flags byte, text string) []byte {
	end := p.short()
	return box.Seal(append([]byte("\x07MESSAGE"), end...), append([]byte{flags}, text...), nonceOf(prefix, end), p.peerPassing, p.passing.secret)
}

// readMessage reads MESSAGEs up to the first that is no command, as PING is.
func (p *byHand) readMessage(prefix string) string {
	p.t.Helper()
	for {
		body := p.ReadFrame().Body
		require.GreaterOrEqual(p.t, len(body), 33)
		require.Equal(p.t, "\x07MESSAGE", string(body[:8]))
		p.fresh(body[8:16])
		inside := p.open(body[16:], nonceOf(prefix, body[8:16]), p.peerPassing, p.passing.secret)
		if inside[0] == 0 {
			return string(inside[1:])
		}
		require.Equal(p.t, byte(2), inside[0]) // libzmq's flag for a command
	}
}

// clientByHand connects one to a server whose key it knows, and says HELLO.
func clientByHand(t *testing.T, endpoint string, server socket.PublicKey) *byHand {
	t.Helper()
	p := &byHand{RawPeer: dialRaw(t, endpoint), t: t, keys: newKeyPair(t), passing: newKeyPair(t), peer: (*[32]byte)(&server)}
	p.SendGreeting(1, "CURVE")
	require.True(t, p.ReadGreeting().AsServer)
	p.SendCommand("HELLO", p.hello())
	return p
}

// takeWelcome reads WELCOME and returns its parts.
func (p *byHand) takeWelcome() (nonce, cookie []byte) {
	p.t.Helper()
	welcome := p.ExpectCommand("WELCOME")
	require.Len(p.t, welcome, 168-len("\x07WELCOME"))
	inside := p.open(welcome[16:], nonceOf("WELCOME-", welcome[:16]), p.peer, p.passing.secret)
	p.peerPassing = (*[32]byte)(inside)
	return welcome[:16], inside[32:]
}

// serverByHand waits for a client on a listener, and for its HELLO.
func serverByHand(t *testing.T, l *rawListener, keys keyPair) *byHand {
	t.Helper()
	p := &byHand{RawPeer: l.Accept(), t: t, keys: keys, passing: newKeyPair(t)}
	var greeting [64]byte
	copy(greeting[:], "\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7f\x03\x01CURVE")
	greeting[32] = 1 // as-server
	p.Write(greeting[:])
	require.False(t, p.ReadGreeting().AsServer)
	hello := p.ExpectCommand("HELLO")
	require.Len(t, hello, 200-len("\x05HELLO"))
	require.Equal(t, append([]byte{1, 0}, make([]byte, 72)...), hello[:74])
	p.peerPassing = (*[32]byte)(hello[74:106])
	p.fresh(hello[106:114])
	require.Equal(t, make([]byte, 64), p.open(hello[114:], nonceOf("CurveZMQHELLO---", hello[106:114]), p.peerPassing, keys.secret))
	return p
}

// welcome is WELCOME of a server.
func (p *byHand) welcome(cookie []byte) []byte {
	end := randomly(16)
	return box.Seal(end, append(bytes.Clone(p.passing.public[:]), cookie...), nonceOf("WELCOME-", end), p.peerPassing, p.keys.secret)
}

// takeInitiate reads INITIATE and returns the metadata. C and the vouch are as they should be.
func (p *byHand) takeInitiate(cookie []byte, client socket.PublicKey) (metadata string) {
	p.t.Helper()
	initiate := p.ExpectCommand("INITIATE")
	require.GreaterOrEqual(p.t, len(initiate), 257-len("\x08INITIATE"))
	require.Equal(p.t, cookie, initiate[:96])
	p.fresh(initiate[96:104])
	inside := p.open(initiate[104:], nonceOf("CurveZMQINITIATE", initiate[96:104]), p.peerPassing, p.passing.secret)
	require.Equal(p.t, client[:], inside[:32])
	vouch := p.open(inside[48:128], nonceOf("VOUCH---", inside[32:48]), (*[32]byte)(&client), p.passing.secret)
	require.Equal(p.t, append(bytes.Clone(p.peerPassing[:]), p.keys.public[:]...), vouch)
	return string(inside[128:])
}

// ready is READY of a server.
func (p *byHand) ready(metadata string) []byte {
	end := p.short()
	return box.Seal(end, []byte(metadata), nonceOf("CurveZMQREADY---", end), p.peerPassing, p.passing.secret)
}
