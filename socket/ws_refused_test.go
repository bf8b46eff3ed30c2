package socket_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// upgrade asks for a page as a client of WebSocket does.
func upgrade(page, protocol string, more ...string) string {
	return "GET " + page + " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: " + protocol + "\r\n" + strings.Join(more, "") + "\r\n"
}

// masked is a WebSocket frame of a client's, whose mask is zero. It has fewer than 64 KiB.
func masked(first byte, payload string) string {
	if len(payload) < 126 {
		return string([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
	}
	return string([]byte{first, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 0, 0, 0, 0}) + payload
}

// Whatever a peer of ws or wss does wrong is refused, counted and reported as over tcp, and the next good one is served. Before it is let in it
// cannot have us hold more than over tcp either, in fragments least of all.
func TestWS_Refused(t *testing.T) {
	t.Parallel()
	const fragment, more = 0x02, 0x00
	in := upgrade("/zeromq", "ZWS2.0/NULL")
	ready := masked(0x82, "\x02\x05READY"+property("Socket-Type", "PUSH"))
	large := masked(fragment, "\x00") + strings.Repeat(masked(more, strings.Repeat("x", 60<<10)), 20)
	server, client := certificate(t)
	cases := map[string]struct {
		scheme, head, say string
		want              socket.Refusal
		problem           string
	}{
		"SSH":                            {"ws", "", "SSH-2.0-x\r\n", socket.RefusedNotZMTP, "not HTTP"},
		"TLS":                            {"ws", "", "\x16\x03\x01\x02\x00", socket.RefusedNotZMTP, "this is TLS"},
		"another page":                   {"ws", "", upgrade("/\x1b[2J", "ZWS2.0/NULL"), socket.RefusedNotZMTP, "no socket at"},
		"another protocol":               {"ws", "", upgrade("/zeromq", "chat"), socket.RefusedNotZMTP, "chat"},
		"another site's page":            {"ws", "", upgrade("/zeromq", "ZWS2.0/NULL", "Origin: http://evil.example\r\n"), socket.RefusedNotZMTP, "may not connect"},
		"endless head":                   {"ws", "", "GET /zeromq HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 3000), socket.RefusedNotZMTP, "HTTP head above 8192"},
		"text":                           {"ws", in, masked(0x81, "hello"), socket.RefusedProtocol, "text message"},
		"no mask":                        {"ws", in, "\x82\x01\x00", socket.RefusedProtocol, "without a mask"},
		"another mechanism":              {"ws", in, masked(0x82, "\x02\x05HELLO"), socket.RefusedProtocol, "HELLO"},
		"fragments before the handshake": {"ws", in, large, socket.RefusedSize, "at most 8192"},
		"text behind the handshake":      {"ws", in, ready + masked(0x81, "hello"), socket.RefusedProtocol, "text message"},
		"fragments too large":            {"ws", in, ready + large, socket.RefusedSize, "at most 1048576"},
		"HTTP to wss":                    {"wss", "", in, socket.RefusedTLS, "this is HTTP, not TLS"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pull, push := socket.NewPull(socket.WithTLS(server), socket.WithMaxMessageSize(1<<20)), socket.NewPush(socket.WithTLS(client), swift())
			closing(t, pull, push)
			await := watch(t, pull)
			endpoint := bind(t, pull, c.scheme+"://127.0.0.1:0/zeromq")
			conn, err := net.Dial("tcp", strings.TrimSuffix(hostPort(endpoint), "/zeromq"))
			require.NoError(t, err)
			defer conn.Close()
			if c.head != "" {
				_, err = io.WriteString(conn, c.head)
				require.NoError(t, err)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
			}
			_, _ = io.WriteString(conn, c.say) // the end may come before all is sent
			kind := socket.HandshakeFailed
			if strings.HasPrefix(c.say, ready) {
				kind = socket.Disconnected
			}
			e := await(kind)
			assert.Equal(t, c.want, e.Refusal, "%v", e.Err)
			assert.ErrorContains(t, e.Err, c.problem)
			assert.NotContains(t, e.String(), "\x1b")
			assert.Equal(t, map[socket.Refusal]uint64{c.want: 1}, pull.Stats().Refused)
			require.NoError(t, push.Connect(endpoint))
			send(t, push, "hello")
			requireMsg(t, recv(t, pull), "hello")
		})
	}
}
