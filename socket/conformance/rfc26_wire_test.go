package conformance

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

const aDealer = "\x0bSocket-Type\x00\x00\x00\x06DEALER"

// RFC 26, WELCOME: the server SHALL answer a valid HELLO with a WELCOME of 168 octets, of a nonce and a box of its new key and the cookie.
// RFC 26, WELCOME: the long nonces SHALL begin with WELCOME- and COOKIE--, and SHALL be unique.
// RFC 26, HELLO: the server SHALL make new keys of the connection for each valid HELLO.
// RFC 26, INITIATE: the server SHALL open what is sealed with the nonces CurveZMQINITIATE and VOUCH---.
// RFC 26, INITIATE: names of metadata SHALL have 1 to 255 characters, case SHALL NOT count, values SHALL have a size of four octets.
// RFC 26, READY: the server SHALL answer a valid INITIATE with a READY of at least 30 octets, sealed with the nonce CurveZMQREADY---.
// RFC 26, READY: the short nonces of the server SHALL count up over all its commands, each used once.
// RFC 26, MESSAGE: a MESSAGE SHALL have at least 33 octets, and a nonce CurveZMQMESSAGEC from the client, CurveZMQMESSAGES from the server.
func TestRFC26_Server(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		keys := socket.NewKeyPair()
		dealer := socket.NewDealer(socket.WithCurveServer(keys))
		endpoint := bound(t, transport, dealer)
		seen := map[string]bool{}
		unique := func(b []byte) {
			require.False(t, seen[string(b)], "used twice")
			seen[string(b)] = true
		}
		for range 2 {
			p := clientByHand(t, endpoint, keys.Public)
			nonce, cookie := p.takeWelcome()
			unique(nonce)
			unique(cookie[:16])
			unique(p.peerPassing[:])
			p.SendCommand("INITIATE", p.initiate(cookie, strings.ToUpper("\x0bsocket-type")+"\x00\x00\x00\x06DEALER"+"\x07X-Empty\x00\x00\x00\x00"))
			ready := p.ExpectCommand("READY")
			require.GreaterOrEqual(t, len(ready), 30-len("\x05READY"))
			p.fresh(ready[:8])
			require.Contains(t, string(p.open(ready[8:], nonceOf("CurveZMQREADY---", ready[:8]), p.peerPassing, p.passing.secret)), aDealer)
			p.SendFrame(0, p.message("CurveZMQMESSAGEC", 1, "two"))
			p.SendFrame(0, p.message("CurveZMQMESSAGEC", 0, "frames"))
			requireRecv(t, dealer, "two", "frames")
			for range 3 {
				send(t, dealer, "reply")
				require.Equal(t, "reply", p.readMessage("CurveZMQMESSAGES"))
			}
			p.Close()
			eventually(t, func() bool { return len(dealer.Stats().Peers) == 0 })
		}
	})
}

// RFC 26, General Design: a client MUST know the server's key before it connects.
// RFC 26, HELLO: the client SHALL say HELLO first, of 200 octets.
// RFC 26, HELLO: the version SHALL be 1 and 0.
// RFC 26, HELLO: the padding SHALL be zero, 72 octets as the grammar and libzmq have it.
// RFC 26, HELLO: the client SHALL make keys for each connection, and SHALL not use them for another.
// RFC 26, HELLO: the nonce SHALL begin with CurveZMQHELLO---.
// RFC 26, HELLO: the signature box SHALL hold 64 zero octets, from the client's key of the connection to the server's.
// RFC 26, HELLO: the short nonces of the client SHALL count up over all its commands, each used once.
// RFC 26, INITIATE: the client SHALL answer a valid WELCOME with an INITIATE of at least 257 octets.
// RFC 26, INITIATE: its nonces SHALL begin with CurveZMQINITIATE and VOUCH---, and the latter SHALL be unique.
// RFC 26, READY: a client that takes the metadata SHALL expect MESSAGEs.
func TestRFC26_Client(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		keys, own := newKeyPair(t), socket.NewKeyPair()
		l := listenRaw(t, fresh(transport))
		dealer := socket.NewDealer(socket.WithCurveClient(own, *keys.public), swift())
		closing(t, dealer)
		connect(t, dealer, l.Endpoint)
		var last [32]byte
		for range 2 {
			p := serverByHand(t, l, keys)
			require.NotEqual(t, last, *p.peerPassing)
			last = *p.peerPassing
			cookie := randomly(96)
			p.SendCommand("WELCOME", p.welcome(cookie))
			require.Contains(t, p.takeInitiate(cookie, own.Public), aDealer)
			p.SendCommand("READY", p.ready(aDealer))
			p.SendFrame(0, p.message("CurveZMQMESSAGES", 0, "first"))
			requireRecv(t, dealer, "first")
			send(t, dealer, "second")
			require.Equal(t, "second", p.readMessage("CurveZMQMESSAGEC"))
			p.Close()
		}
	})
}

// RFC 26, WELCOME: the client SHALL check all fields and SHALL hang up on a server whose WELCOME is malformed.
// RFC 26, READY: the client SHALL check all fields and SHALL hang up on a server whose READY is malformed.
// RFC 26, READY: the client SHALL check that the server's short nonces count up, and SHALL hang up when one is used again.
// RFC 26, MESSAGE: all fields SHALL be checked, reserved flags MUST be zero, and whoever sends a malformed MESSAGE SHALL be disconnected.
// RFC 26, General Design: a client SHALL NOT send ERROR.
//
// Differs: bit 1 of the flags is set for commands, as libzmq has it.
func TestRFC26_ClientHangsUp(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		flip := func(b []byte, at int) []byte { b[at] ^= 4; return b }
		for name, malformed := range map[string]struct {
			welcome, ready, message func(p *byHand, b []byte) []byte
		}{
			"short WELCOME":    {welcome: func(_ *byHand, b []byte) []byte { return b[:159] }},
			"long WELCOME":     {welcome: func(_ *byHand, b []byte) []byte { return append(b, 0) }},
			"WELCOME nonce":    {welcome: func(_ *byHand, b []byte) []byte { return flip(b, 3) }},
			"WELCOME box":      {welcome: func(_ *byHand, b []byte) []byte { return flip(b, 100) }},
			"zero key":         {welcome: func(p *byHand, _ []byte) []byte { p.passing.public = new([32]byte); return p.welcome(randomly(96)) }},
			"short READY":      {ready: func(_ *byHand, b []byte) []byte { return b[:20] }},
			"READY nonce":      {ready: func(_ *byHand, b []byte) []byte { return flip(b, 7) }},
			"READY box":        {ready: func(_ *byHand, b []byte) []byte { return flip(b, 20) }},
			"nonce zero":       {ready: func(p *byHand, _ []byte) []byte { p.sent = ^uint64(0); return p.ready(aDealer) }},
			"metadata cut":     {ready: func(p *byHand, _ []byte) []byte { return p.ready(aDealer[:20]) }},
			"empty name":       {ready: func(p *byHand, _ []byte) []byte { return p.ready("\x00\x00\x00\x00\x00") }},
			"wrong type":       {ready: func(p *byHand, _ []byte) []byte { return p.ready("\x0bSocket-Type\x00\x00\x00\x03PUB") }},
			"nonce of READY":   {message: func(p *byHand, _ []byte) []byte { p.sent--; p.sent--; return p.message("CurveZMQMESSAGES", 0, "x") }},
			"reserved flags":   {message: func(p *byHand, _ []byte) []byte { return p.message("CurveZMQMESSAGES", 0x80, "x") }},
			"MORE and command": {message: func(p *byHand, _ []byte) []byte { return p.message("CurveZMQMESSAGES", 3, "x") }},
			"short MESSAGE":    {message: func(_ *byHand, b []byte) []byte { return b[:32] }},
			"MESSAGE box":      {message: func(_ *byHand, b []byte) []byte { return flip(b, 32) }},
			"of a client":      {message: func(p *byHand, _ []byte) []byte { return p.message("CurveZMQMESSAGEC", 0, "x") }},
			"in the clear":     {message: func(*byHand, []byte) []byte { return []byte("x") }},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				keys, own := newKeyPair(t), socket.NewKeyPair()
				l := listenRaw(t, fresh(transport))
				dealer := socket.NewDealer(socket.WithCurveClient(own, *keys.public), socket.WithReconnect(time.Minute, time.Minute))
				closing(t, dealer)
				connect(t, dealer, l.Endpoint)
				p := serverByHand(t, l, keys)
				maybe := func(change func(*byHand, []byte) []byte, b []byte) []byte {
					if change != nil {
						return change(p, b)
					}
					return b
				}
				cookie := randomly(96)
				p.SendCommand("WELCOME", maybe(malformed.welcome, p.welcome(cookie)))
				if malformed.welcome == nil {
					p.takeInitiate(cookie, own.Public)
					p.SendCommand("READY", maybe(malformed.ready, p.ready(aDealer)))
				}
				if malformed.message != nil {
					p.SendFrame(0, maybe(malformed.message, p.message("CurveZMQMESSAGES", 0, "x")))
				}
				require.NotContains(t, string(p.ExpectClosed()), "\x05ERROR")
				requireNothing(t, dealer)
			})
		}
	})
}

// RFC 26, ERROR: a server SHALL tell a client that it does not let in by an ERROR of 7 or more octets, with a reason of at most 255.
// RFC 26, General Design: a server that rejects a client SHALL send ERROR.
// RFC 26, INITIATE: a server SHALL not answer a client that it does not let in but by closing the connection, which the sentences above contradict.
func TestRFC26_ErrorForAuthentication(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		keys := socket.NewKeyPair()
		nobody := socket.AuthenticatorFunc(func(context.Context, socket.Request) socket.Verdict { return socket.Verdict{} })
		dealer := socket.NewDealer(socket.WithCurveServer(keys), socket.WithAuthenticator(nobody))
		p := clientByHand(t, bound(t, transport, dealer), keys.Public)
		_, cookie := p.takeWelcome()
		p.SendCommand("INITIATE", p.initiate(cookie, aDealer))
		require.Equal(t, "\x03400", string(p.ExpectCommand("ERROR")))
		require.Empty(t, p.ExpectClosed())
	})
}

// RFC 26, WELCOME: the server MUST forget the key of the cookie after a minute or so: the connection ends with it, whatever the options say.
// RFC 26, HELLO: the server SHALL not keep the keys that it made before INITIATE brings them back.
func TestRFC26_CookieGrowsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := socket.NewKeyPair()
		dealer := socket.NewDealer(socket.WithCurveServer(keys), socket.WithHandshakeTimeout(0))
		defer dealer.Close()
		p := clientByHand(t, bind(t, dealer, fresh("inproc")), keys.Public)
		defer p.Close()
		p.takeWelcome()
		time.Sleep(59 * time.Second) // of the bubble
		synctest.Wait()
		require.Zero(t, dealer.Stats().Refused[socket.RefusedTimeout])
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, uint64(1), dealer.Stats().Refused[socket.RefusedTimeout])
	})
}

// RFC 26, HELLO: the server SHALL check that short nonces count up, and SHALL hang up on a client that uses one again.
// RFC 26, HELLO: the server SHALL check all fields, and SHALL hang up on a client whose HELLO is malformed.
// RFC 26, INITIATE: the server SHALL check all fields, and SHALL hang up on a client whose INITIATE is malformed, the vouch among it.
func TestRFC26_ServerHangsUp(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for name, change := range map[string]func(p *byHand, cookie []byte) []byte{
			"nonce of HELLO": func(p *byHand, cookie []byte) []byte { p.sent--; return p.initiate(cookie, aDealer) },
			"nonce zero":     func(p *byHand, cookie []byte) []byte { p.sent = ^uint64(0); return p.initiate(cookie, aDealer) },
			"another's key": func(p *byHand, cookie []byte) []byte {
				p.keys.public = newKeyPair(t).public
				return p.initiate(cookie, aDealer)
			},
			"for another server": func(p *byHand, cookie []byte) []byte {
				p.peer = newKeyPair(t).public
				return p.initiate(cookie, aDealer)
			},
			"metadata cut": func(p *byHand, cookie []byte) []byte { return p.initiate(cookie, aDealer[:20]) },
			"HELLO again":  func(p *byHand, _ []byte) []byte { return p.hello() },
			"cookie":       func(p *byHand, _ []byte) []byte { return p.initiate(randomly(96), aDealer) },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				keys := socket.NewKeyPair()
				dealer := socket.NewDealer(socket.WithCurveServer(keys))
				p := clientByHand(t, bound(t, transport, dealer), keys.Public)
				_, cookie := p.takeWelcome()
				p.SendCommand("INITIATE", change(p, cookie))
				require.Empty(t, p.ExpectClosed())
				require.Empty(t, dealer.Stats().Peers)
			})
		}
	})
}

// RFC 24, Grammar: the server SHALL answer HELLO with an empty WELCOME, and INITIATE with READY and its metadata; it MAY send at once behind that.
func TestRFC24_Server(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		dealer := socket.NewDealer(append(plainServer(), socket.WithHeartbeat(0, 0))...)
		raw := dialRaw(t, bound(t, transport, dealer))
		raw.SendGreeting(1, "PLAIN")
		require.True(t, raw.ReadGreeting().AsServer)
		raw.SendCommand("HELLO", []byte("\x04user\x06secret"))
		require.Empty(t, raw.ExpectCommand("WELCOME"))
		raw.SendCommand("INITIATE", []byte(aDealer))
		require.Contains(t, string(raw.ExpectCommand("READY")), aDealer)
		send(t, dealer, "at once")
		require.Equal(t, []string{"at once"}, raw.ReadMessage())
		raw.SendMessage("and back", string(binary.BigEndian.AppendUint64(nil, 7)))
		requireRecv(t, dealer, "and back", "\x00\x00\x00\x00\x00\x00\x00\x07")
	})
}
