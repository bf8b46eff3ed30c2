package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// RFC 24, Grammar: a client SHALL say HELLO with user and password, and INITIATE with its metadata once it is welcome.
// RFC 24, Grammar: a client MAY send messages when it has received READY, and not before.
func TestRFC24_Client(t *testing.T) {
	ln, endpoint := sockettest.Listen(t)
	push := socket.NewPush(socket.WithPlainClient("admin", ""))
	closing(t, push)
	connect(t, push, endpoint)
	send(t, push, "message")
	raw := sockettest.AcceptRaw(t, ln)
	raw.SendGreeting(1, "PLAIN")
	greeting := raw.ReadGreeting()
	require.Equal(t, "PLAIN", greeting.Mechanism)
	require.False(t, greeting.AsServer)
	require.Equal(t, "\x05admin\x00", string(raw.ExpectCommand("HELLO")))
	raw.SendCommand("WELCOME", nil)
	require.Contains(t, string(raw.ExpectCommand("INITIATE")), "\x0bSocket-Type\x00\x00\x00\x04PUSH")
	raw.ExpectSilence(50 * time.Millisecond)
	raw.SendCommand("READY", []byte("\x0bSocket-Type\x00\x00\x00\x04PULL"))
	require.Equal(t, []string{"message"}, raw.ReadMessage())
}

// RFC 24, Security: a server SHALL validate user and password, and SHALL answer with ERROR those that are not right.
func TestRFC24_ServerRefuses(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull(plainServer()...)
		endpoint := bound(t, transport, pull)
		await := watch(t, pull)
		raw := dialRaw(t, endpoint)
		raw.SendGreeting(1, "PLAIN")
		require.True(t, raw.ReadGreeting().AsServer)
		raw.SendCommand("HELLO", []byte("\x04user\x06secrex"))
		require.Equal(t, "\x03400", string(raw.ExpectCommand("ERROR")))
		requireRefused(t, await, zmtp.Denied)

		for name, hello := range map[string]string{"empty": "", "no password": "\x04user", "short": "\x04user\x07secret", "long": "\x04user\x06secret."} {
			raw := dialRaw(t, endpoint)
			raw.SendGreeting(1, "PLAIN")
			raw.ReadGreeting()
			raw.SendCommand("HELLO", []byte(hello))
			requireRefused(t, await, zmtp.MalformedCommand)
			require.Empty(t, raw.ExpectClosed(), name)
		}
		raw = dialRaw(t, endpoint)
		raw.SendGreeting(1, "PLAIN")
		raw.ReadGreeting()
		raw.SendCommand("INITIATE", []byte("\x0bSocket-Type\x00\x00\x00\x04PUSH"))
		requireRefused(t, await, zmtp.UnexpectedCommand)
	})
}
