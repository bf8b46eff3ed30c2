package zmtp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/nacl/box"
)

// random is a source of octets that are the same in each run.
func random(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

// keysOf are the long-term keys of somebody.
func keysOf(seed byte) (k CurveKeys) {
	_, _ = random(seed).Read(k.Secret[:])
	k.Public = CurvePublic(k.Secret)
	return k
}

// The seeds of the long-term keys, and of what is made for the connection.
const (
	clientKeys = 1 + iota
	serverKeys
	clientRandom
	serverRandom
)

func curveClientOf(t testing.TB, server [32]byte) *Handshake {
	m, err := CurveClient(keysOf(clientKeys), server, random(clientRandom))
	require.NoError(t, err)
	return secureHandshake(t, Push, m)
}

func curveServerOf(t testing.TB) *Handshake {
	return secureHandshake(t, Pull, CurveServer(keysOf(serverKeys), random(serverRandom)))
}

func secureHandshake(t testing.TB, socketType SocketType, m Mechanism) *Handshake {
	h, err := NewHandshake(Config{SocketType: socketType, Mechanism: m})
	require.NoError(t, err)
	return h
}

// said is what one side sent at a time.
type said struct {
	who    string
	octets []byte
}

// converse has two sides talk until both are done or one fails. Each hears the other through mend, which may be nil; questions are answered with the verdict.
func converse(client, server *Handshake, v Verdict, mend func(said) []byte) (all []said, clientErr, serverErr error) {
	toServer, toClient := client.Start(), server.Start()
	hear := func(who string, h *Handshake, in []byte) (out []byte, err error) {
		_, out, err = h.Step(in)
		if _, pending := h.Pending(); pending {
			var more []byte
			more, err = h.Answer(v)
			out = append(out, more...)
		}
		return out, err
	}
	for len(toServer)+len(toClient) > 0 {
		c, s := said{"client", toServer}, said{"server", toClient}
		for _, x := range []*said{&c, &s} {
			if len(x.octets) > 0 {
				all = append(all, *x)
			}
			if mend != nil && len(x.octets) > 0 {
				x.octets = mend(*x)
			}
		}
		toClient, serverErr = hear("server", server, c.octets)
		toServer, clientErr = hear("client", client, s.octets)
	}
	return all, clientErr, serverErr
}

// TestCurve_Golden holds a whole conversation against testdata/curve.golden: nothing of it may change by accident.
func TestCurve_Golden(t *testing.T) {
	t.Parallel()
	client, server := curveClientOf(t, keysOf(serverKeys).Public), curveServerOf(t)
	all, clientErr, serverErr := converse(client, server, Verdict{Decision: Allow, UserID: "somebody"}, nil)
	require.NoError(t, clientErr)
	require.NoError(t, serverErr)
	require.True(t, client.Done() && server.Done())
	assert.Equal(t, keysOf(clientKeys).Public, server.Peer().PublicKey)
	assert.Equal(t, keysOf(serverKeys).Public, client.Peer().PublicKey)
	assert.Equal(t, "somebody", server.Peer().UserID)
	assert.Equal(t, Push, server.Peer().SocketType)
	assert.Equal(t, Pull, client.Peer().SocketType)

	clientSeals, clientOpens := client.Traffic()
	serverSeals, serverOpens := server.Traffic()
	frames := AppendFrame(nil, FlagMore, []byte("topic"))
	frames = AppendFrame(frames, 0, bytes.Repeat([]byte("body "), 60))
	frames = AppendPing(frames, 0, []byte("hi"))
	for _, way := range []struct {
		who  string
		seal *Sealer
		open *Opener
	}{{"client", clientSeals, serverOpens}, {"server", serverSeals, clientOpens}} {
		sealed, used, err := way.seal.Append(nil, frames, 1<<20)
		require.NoError(t, err)
		require.Equal(t, len(frames), used)
		all = append(all, said{way.who, sealed})
		plain := make([]byte, len(frames)+MaxHeaderSize)
		n, opened, err := way.open.Open(plain, sealed)
		require.NoError(t, err)
		require.Equal(t, len(sealed), opened)
		require.Equal(t, hex.Dump(frames), hex.Dump(plain[:n]))
	}
	var text strings.Builder
	for _, s := range all {
		fmt.Fprintf(&text, "%s\n%s\n", s.who, hex.Dump(s.octets))
	}
	const golden = "testdata/curve.golden"
	if *rewrite {
		require.NoError(t, os.WriteFile(golden, []byte(text.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), text.String())
}

// What Sealer makes is what box makes, in the form of libzmq: frames without flags, nonces that go on from the handshake.
func TestSealer_IsBox(t *testing.T) {
	t.Parallel()
	shared := [32]byte{7, 8, 9}
	s := &session{shared: shared, sent: 2}
	seal, _ := newTraffic(s, clientNonce, serverNonce)
	for i, size := range []int{0, 1, 191, 192, 222, 223, 224, 225, 255, 256, 447, 479, 480, 1000, 70000} {
		body := bytes.Repeat([]byte{byte(size)}, size)
		sealed, _, err := seal.Append(nil, AppendFrame(nil, 0, body), 1)
		require.NoError(t, err)
		flags, n, h, err := ParseHeader(sealed)
		require.NoError(t, err)
		assert.Zero(t, flags)
		require.EqualValues(t, len(sealed)-h, n)
		require.Equal(t, "\x07MESSAGE\x00\x00\x00\x00\x00\x00\x00"+string(rune(3+i)), string(sealed[h:h+16]))
		nonce := nonceOf(clientNonce, sealed[h+8:h+16])
		plain, ok := box.OpenAfterPrecomputation(nil, sealed[h+16:], &nonce, &shared)
		require.True(t, ok, "%d octets", size)
		require.Equal(t, append([]byte{0}, body...), plain)
	}
}

// Each rule about the commands of the handshake, broken. RFC 26, and attacks on libzmq.
func TestCurve_Refusals(t *testing.T) {
	t.Parallel()
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 1; return b }
	}
	low := make([]byte, 32)
	set := func(at int, with ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], with); return b }
	}
	cut := func(b []byte) []byte { return b[:len(b)-1] }
	longer := func(b []byte) []byte { return append(b, 0) }
	// Offsets are those of the data, behind the name.
	for _, tc := range []struct {
		name, command, by string
		change            func(data []byte) []byte
		want              Reason
	}{
		{"short", CommandHello, "client", cut, MalformedCommand},
		{"long", CommandHello, "client", longer, MalformedCommand},
		{"empty", CommandHello, "client", func([]byte) []byte { return nil }, MalformedCommand},
		{"major version", CommandHello, "client", set(0, 2), MalformedCommand},
		{"minor version", CommandHello, "client", set(1, 1), MalformedCommand},
		{"padding", CommandHello, "client", flip(2 + 71), MalformedCommand},
		{"null key", CommandHello, "client", set(74, low...), BadKey},
		{"low order key", CommandHello, "client", set(74, append([]byte{1}, low[1:]...)...), BadKey},
		{"other key", CommandHello, "client", flip(74), BadKey},
		{"null nonce", CommandHello, "client", set(106, low[:8]...), Replayed},
		{"other nonce", CommandHello, "client", flip(106), BadKey},
		{"box", CommandHello, "client", flip(193), BadKey},

		{"short", CommandWelcome, "server", cut, MalformedCommand},
		{"long", CommandWelcome, "server", longer, MalformedCommand},
		{"nonce", CommandWelcome, "server", flip(15), BadKey},
		{"box", CommandWelcome, "server", flip(159), BadKey},

		{"too short", CommandInitiate, "client", func(b []byte) []byte { return b[:247] }, MalformedCommand},
		{"short", CommandInitiate, "client", cut, BadKey},
		{"long", CommandInitiate, "client", longer, BadKey},
		{"cookie", CommandInitiate, "client", flip(95), BadKey},
		{"nonce of the cookie", CommandInitiate, "client", flip(0), BadKey},
		{"old nonce", CommandInitiate, "client", set(96+7, 1), Replayed},
		{"other nonce", CommandInitiate, "client", set(96+7, 9), BadKey},
		{"box", CommandInitiate, "client", flip(104), BadKey},

		{"empty", CommandReady, "server", func([]byte) []byte { return nil }, MalformedCommand},
		{"short", CommandReady, "server", cut, BadKey},
		{"null nonce", CommandReady, "server", set(7, 0), Replayed},
		{"box", CommandReady, "server", flip(30), BadKey},
	} {
		t.Run(tc.command+" "+tc.name, func(t *testing.T) {
			t.Parallel()
			client, server := curveClientOf(t, keysOf(serverKeys).Public), curveServerOf(t)
			changed := false
			_, clientErr, serverErr := converse(client, server, Verdict{Decision: Allow}, func(s said) []byte {
				_, size, h, err := ParseHeader(s.octets)
				if len(s.octets) == GreetingSize || err != nil || uint64(h)+size != uint64(len(s.octets)) {
					return s.octets
				}
				name, data, err := ParseCommand(s.octets[h:])
				if err != nil || string(name) != tc.command || s.who != tc.by {
					return s.octets
				}
				changed = true
				return AppendCommand(nil, tc.command, tc.change(bytes.Clone(data)))
			})
			require.True(t, changed)
			err := serverErr
			if tc.by == "server" {
				err = clientErr
			}
			requireReason(t, tc.want, err)
			assert.False(t, server.Done() && client.Done())
		})
	}
}

// A vouch is good for one server and one connection. libzmq does not look at the server in it.
func TestCurve_Vouch(t *testing.T) {
	t.Parallel()
	elsewhere := keysOf(9)
	for name, tc := range map[string]struct {
		change func(c *curveClient)
		want   string
	}{
		"another server":     {func(c *curveClient) { c.server = elsewhere.Public }, "wrong key: the vouch of INITIATE is for another server"},
		"another connection": {func(c *curveClient) { c.public = elsewhere.Public }, "wrong key: the vouch of INITIATE is for another connection"},
		"another's key":      {func(c *curveClient) { c.keys.Public = elsewhere.Public }, "wrong key: the vouch of INITIATE does not open"},
		"another's secret":   {func(c *curveClient) { c.keys.private = privateOf(elsewhere.Secret) }, "wrong key: the vouch of INITIATE does not open"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, server := curveClientOf(t, keysOf(serverKeys).Public), curveServerOf(t)
			_, _, err := converse(client, server, Verdict{Decision: Allow}, func(s said) []byte {
				if m := client.mechanism.(*curveClient); s.who == "server" && len(s.octets) == 2+8+welcomeSize {
					// WELCOME is opened with the right keys, INITIATE made with others.
					inner := *m
					require.NoError(t, inner.takeWelcome(&Handshake{mechanism: m, metadata: client.metadata, maxCommand: 4096}, s.octets[10:]))
					tc.change(m)
					h := &Handshake{metadata: client.metadata}
					opened, err := openFrom(s.octets[10+longNonce:], nonceOf(welcomeNonce, s.octets[10:10+longNonce]), inner.secret, &inner.server, "")
					require.NoError(t, err)
					theirs := [32]byte(opened)
					m.shared, m.sent = inner.shared, 1
					require.NoError(t, m.initiate(h, &theirs, opened[keySize:]))
					_, _, err = server.Step(h.out)
					require.EqualError(t, err, tc.want)
					return nil
				}
				return s.octets
			})
			require.EqualError(t, err, tc.want)
		})
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		verdict        Verdict
		server, client string
	}{
		{Verdict{}, "denied: the authenticator does not let the peer in", `refused by the peer: "400": it does not let us in`},
		{Verdict{Decision: Deny, Reason: "no\nsuch key"}, "denied: no?such key", `refused by the peer: "400": it does not let us in`},
		{Verdict{Decision: Fail, Reason: "database down"}, "could not decide: database down", `refused by the peer: "500": it failed to find out whether to let us in`},
		{Verdict{Decision: TryLater}, "told to try later: the authenticator has the peer try later", ""},
	} {
		for name, sides := range sidesOf(t) {
			_, clientErr, serverErr := converse(sides[0], sides[1], tc.verdict, nil)
			require.EqualError(t, serverErr, tc.server, name)
			if tc.client == "" {
				require.NoError(t, clientErr, name)
			} else {
				require.EqualError(t, clientErr, tc.client, name)
			}
			assert.False(t, sides[0].Done() || sides[1].Done())
		}
	}
}

// RFC 26: no nonce is used twice, and the last of them is the last.
func TestSealer_IsExhausted(t *testing.T) {
	t.Parallel()
	seal, open := newTraffic(&session{sent: 1<<64 - 2, received: 1<<64 - 2}, clientNonce, clientNonce)
	last, _, err := seal.Append(nil, []byte("\x00\x04last"), 1<<20)
	require.NoError(t, err)
	_, used, err := seal.Append(nil, []byte("\x00\x03too"), 1<<20)
	require.ErrorIs(t, err, ErrExhausted)
	require.Zero(t, used)
	plain := make([]byte, 100)
	n, _, err := open.Open(plain, last)
	require.NoError(t, err)
	require.Equal(t, "\x00\x04last", string(plain[:n]))
}

// sidesOf are client and server of each mechanism.
func sidesOf(t testing.TB) map[string][2]*Handshake {
	plainly, err := PlainClient("user", "secret")
	require.NoError(t, err)
	asking, err := NewHandshake(Config{SocketType: Pull, Authenticate: true, Patient: true})
	require.NoError(t, err)
	return map[string][2]*Handshake{
		"NULL":  {newHandshake(t, Config{SocketType: Push}), asking},
		"PLAIN": {secureHandshake(t, Push, plainly), secureHandshake(t, Pull, PlainServer())},
		"CURVE": {curveClientOf(t, keysOf(serverKeys).Public), curveServerOf(t)},
	}
}

// While it is decided about a peer nothing that it says is taken, and it takes no place.
func TestPending(t *testing.T) {
	t.Parallel()
	for name, sides := range sidesOf(t) {
		client, server := sides[0], sides[1]
		admitted := false
		server.admit = func() error { admitted = true; return nil }
		toServer, toClient := client.Start(), server.Start()
		for pending := false; !pending; _, pending = server.Pending() {
			var err error
			_, toClient2, err := server.Step(toServer)
			require.NoError(t, err, name)
			_, toServer, err = client.Step(append(toClient, toClient2...))
			require.NoError(t, err, name)
			toClient = nil
		}
		assert.False(t, admitted, name)
		n, out, err := server.Step([]byte("anything"))
		assert.Zero(t, n)
		assert.Empty(t, out)
		require.NoError(t, err)
		assert.False(t, server.Done())
		who, _ := server.Pending()
		assert.Equal(t, name, who.Mechanism)
		_, err = server.Answer(Verdict{Decision: Allow})
		require.NoError(t, err)
		_, pending := server.Pending()
		assert.False(t, pending)
	}
}

// Only one side of PLAIN or CURVE can be the server, whatever libzmq says in its greeting.
func TestRoles(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(t *testing.T) (*Handshake, *Handshake){
		"two servers of CURVE": func(t *testing.T) (*Handshake, *Handshake) { return curveServerOf(t), curveServerOf(t) },
		"two clients of CURVE": func(t *testing.T) (*Handshake, *Handshake) {
			return curveClientOf(t, keysOf(serverKeys).Public), curveClientOf(t, keysOf(serverKeys).Public)
		},
		"two servers of PLAIN": func(t *testing.T) (*Handshake, *Handshake) {
			return secureHandshake(t, Push, PlainServer()), secureHandshake(t, Pull, PlainServer())
		},
		"two clients of PLAIN": func(t *testing.T) (*Handshake, *Handshake) {
			return sidesOf(t)["PLAIN"][0], sidesOf(t)["PLAIN"][0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := make(t)
			_, one, other := converse(a, b, Verdict{Decision: Allow}, nil)
			requireReason(t, RoleMismatch, one)
			requireReason(t, RoleMismatch, other)
		})
	}
}
