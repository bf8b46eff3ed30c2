package socket_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// A lock is a security mechanism with our side in one role and the other implementation in the other.
type lock struct {
	name   string
	ours   []socket.Option
	theirs options
}

func curveServerIsOurs() lock {
	server, client := socket.NewKeyPair(), socket.NewKeyPair()
	return lock{"CURVE server", []socket.Option{socket.WithCurveServer(server)}, options{
		"CURVE_SERVERKEY": server.Public.String(), "CURVE_PUBLICKEY": client.Public.String(), "CURVE_SECRETKEY": client.Secret.Z85(),
	}}
}

func curveServerIsTheirs() lock {
	server, client := socket.NewKeyPair(), socket.NewKeyPair()
	return lock{"CURVE client", []socket.Option{socket.WithCurveClient(client, server.Public)}, options{
		"CURVE_SERVER": 1, "CURVE_SECRETKEY": server.Secret.Z85(),
	}}
}

func plainServerIsOurs() lock {
	known := socket.WithAuthenticator(socket.AuthenticatorFunc(func(_ context.Context, r socket.Request) socket.Verdict {
		if r.User == "user" && r.Password == "secret" {
			return socket.Verdict{Decision: socket.Allow, UserID: r.User}
		}
		return socket.Verdict{}
	}))
	return lock{"PLAIN server", []socket.Option{socket.WithPlainServer(), known}, options{"PLAIN_USERNAME": "user", "PLAIN_PASSWORD": "secret"}}
}

func plainServerIsTheirs() lock {
	return lock{"PLAIN client", []socket.Option{socket.WithPlainClient("user", "secret")}, options{"ZAP": "200", "PLAIN_SERVER": 1}}
}

// RFC 24, 25: every classic type talks to its legal peers over CURVE and PLAIN, whichever side is the server and whichever binds.
func TestInteropSecure(t *testing.T) {
	t.Parallel()
	for _, p := range classics {
		t.Run(p.ours+"-"+p.theirs, func(t *testing.T) {
			t.Parallel()
			process := startLibzmq(t)
			for _, l := range []lock{curveServerIsOurs(), curveServerIsTheirs(), plainServerIsOurs(), plainServerIsTheirs()} {
				t.Run(l.name+" bind", func(t *testing.T) {
					ours, theirs := openWith(t, process, p, l.theirs, l.ours...)
					theirs.connect(ours.bind(freshEndpoint(t, "tcp")))
					p.hold(t, ours, theirs, withEmptyFrames())
				})
				t.Run(l.name+" connect", func(t *testing.T) {
					ours, theirs := openWith(t, process, p, l.theirs, l.ours...)
					ours.connect(theirs.bind(freshEndpoint(t, "tcp")))
					p.hold(t, ours, theirs, withEmptyFrames())
				})
			}
		})
	}
}

// What libzmq's context has to say about a peer is obeyed here, and the other way round: "400" ends it, "300" does not.
func TestInteropRefused(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	pushing := pairing{ours: "PUSH", theirs: "PULL"}

	l := plainServerIsTheirs()
	l.theirs["ZAP"] = "400"
	ours, theirs := openWith(t, process, pushing, l.theirs, l.ours...)
	ours.connect(theirs.bind(freshEndpoint(t, "tcp")))
	requireRefused(t, ours, zmtp.PeerError, `"400"`)

	l = curveServerIsTheirs()
	l.theirs["ZAP"] = "400"
	ours, theirs = openWith(t, process, pushing, l.theirs, l.ours...)
	ours.connect(theirs.bind(freshEndpoint(t, "tcp")))
	requireRefused(t, ours, zmtp.PeerError, `"400"`)

	l = curveServerIsTheirs()
	l.theirs["ZAP"] = "200"
	ours, theirs = openWith(t, process, pushing, l.theirs, l.ours...)
	ours.connect(theirs.bind(freshEndpoint(t, "tcp")))
	ours.awaitEvent(socket.Connected)

	l = curveServerIsTheirs()
	l.ours = []socket.Option{socket.WithCurveClient(socket.NewKeyPair(), socket.NewKeyPair().Public)}
	ours, theirs = openWith(t, process, pushing, l.theirs, l.ours...)
	ours.connect(theirs.bind(freshEndpoint(t, "tcp")))
	requireRefused(t, ours, zmtp.BadKey, "is the server key its public key?")

	l = curveServerIsOurs()
	l.theirs["CURVE_SERVERKEY"] = socket.NewKeyPair().Public.String()
	ours, theirs = openWith(t, process, pushing, l.theirs, l.ours...)
	theirs.connect(ours.bind(freshEndpoint(t, "tcp")))
	requireRefused(t, ours, zmtp.BadKey, "HELLO does not open")

	l = plainServerIsOurs()
	l.theirs["PLAIN_PASSWORD"] = "other"
	ours, theirs = openWith(t, process, pushing, l.theirs, l.ours...)
	theirs.connect(ours.bind(freshEndpoint(t, "tcp")))
	requireRefused(t, ours, zmtp.Denied, "does not let the peer in")

	for _, theirs := range map[string]options{"NULL": {}, "PLAIN": {"PLAIN_USERNAME": "u", "PLAIN_PASSWORD": "p"}} {
		l = curveServerIsOurs()
		ours, theirs := openWith(t, process, pushing, theirs, l.ours...)
		theirs.connect(ours.bind(freshEndpoint(t, "tcp")))
		// It hangs up on our greeting, maybe before it has greeted us.
		if err := awaitRefusal(t, ours); !errors.Is(err, io.ErrUnexpectedEOF) {
			requireReason(t, err, zmtp.MechanismMismatch, "CURVE")
		}
	}
}

func requireRefused(t *testing.T, ours *own, why zmtp.Reason, detail string) {
	t.Helper()
	requireReason(t, awaitRefusal(t, ours), why, detail)
}

func requireReason(t *testing.T, err error, why zmtp.Reason, detail string) {
	t.Helper()
	var refused *socket.HandshakeError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, why, refused.Reason, refused.Error())
	assert.Contains(t, refused.Error(), detail)
}

// awaitRefusal returns why a handshake failed, before which none may have succeeded.
func awaitRefusal(t *testing.T, ours *own) error {
	t.Helper()
	for {
		select {
		case e := <-ours.events:
			require.NotEqual(t, socket.Connected, e.Kind)
			if e.Kind == socket.HandshakeFailed {
				return e.Err
			}
		case <-time.After(patience):
			require.FailNow(t, "nobody was refused")
		}
	}
}

// PING and PONG travel inside the boxes of CURVE, both ways: with a patience of a few PINGs nobody takes the other for dead.
func TestInteropSecureHeartbeats(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	for _, l := range []lock{curveServerIsOurs(), curveServerIsTheirs()} {
		l.theirs["HEARTBEAT_IVL"], l.theirs["HEARTBEAT_TIMEOUT"] = 50, 2000
		ours, theirs := openWith(t, process, pairing{ours: "PULL", theirs: "PUSH"}, l.theirs,
			append(l.ours, socket.WithHeartbeat(50*time.Millisecond, 2*time.Second))...)
		theirs.connect(ours.bind(freshEndpoint(t, "tcp")))
		ours.waitPeers(1)
		awaitLasting(t, 2500*time.Millisecond, ours)
		theirs.send([]byte("alive"))
		requireFrames(t, frames("alive"), ours.recv())
	}
}
