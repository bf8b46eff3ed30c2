package ws

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

func TestClientAsksLikeRFC45(t *testing.T) {
	t.Parallel()
	near, far := loopback(t)
	c := Client(near, Config{Host: "server.example.com:80", Path: "/zeromq?x=%20"})
	written := start(func() error { _, err := c.Write(make([]byte, zmtp.GreetingSize)); return err })
	r := request(t, far)
	assert.Equal(t, "/zeromq?x=%20", r.RequestURI)
	assert.Equal(t, "server.example.com:80", r.Host)
	assert.Equal(t, "ZWS2.0/NULL, ZWS2.0", r.Header.Get("Sec-WebSocket-Protocol"))
	assert.Empty(t, r.Header.Get("Origin"))
	// What comes right behind the answer, as libzmq may send it, is not lost.
	_, err := io.WriteString(far, answer(r, "ZWS2.0/NULL")+string(raw(nil, binaryFin, false, ready)))
	require.NoError(t, err)
	require.NoError(t, <-written)
	expect(t, c, greeted+"\x04\x06\x05READY")
}

func TestClientOffersTheMechanism(t *testing.T) {
	t.Parallel()
	near, far := loopback(t)
	c := Client(near, Config{Mechanism: "CURVE", Host: "h", Path: "/"})
	written := start(func() error { _, err := c.Write([]byte{0xff}); return err })
	r := request(t, far)
	assert.Equal(t, "ZWS2.0/CURVE", r.Header.Get("Sec-WebSocket-Protocol"), "a secure peer does without one that is not")
	_, err := io.WriteString(far, answer(r, "ZWS2.0/CURVE"))
	require.NoError(t, err)
	require.NoError(t, <-written)
	expect(t, c, strings.Replace(greeted, "NULL\x00", "CURVE", 1))
}

func TestClientRefusesAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ answer, problem string }{
		{"HTTP/1.1 404 Not Found\r\n\r\n", "the server answers 404 Not Found"},
		{"HTTP/1.1 101 Switching Protocols\r\n\r\n", "bad"},
		{"NONE", "no subprotocol: want ZWS2.0/NULL or ZWS2.0"},
		{"ZWS3.0", "unexpected protocol"},
		{"\xff\x00\x00", "ZMTP without WebSocket"},
		{"\x15\x03\x01", "this is TLS"},
		{"SSH-2.0", `begins with "SSH-2", want "HTTP/"`},
		{"HTTP/1.1 " + strings.Repeat("x", maxHead), "an HTTP head above 8192 bytes"},
		{"", "the peer closed the connection"},
	} {
		t.Run(test.problem, func(t *testing.T) {
			t.Parallel()
			near, far := loopback(t)
			c := Client(near, Config{Host: "h", Path: "/"})
			written := start(func() error { _, err := c.Write([]byte{0xff}); return err })
			text := test.answer
			switch r := request(t, far); text {
			case "NONE":
				text, _, _ = strings.Cut(answer(r, ""), "Sec-WebSocket-Protocol")
				text += "\r\n"
			case "ZWS3.0":
				text = answer(r, text)
			}
			_, err := io.WriteString(far, text)
			require.NoError(t, err)
			require.NoError(t, far.(*net.TCPConn).CloseWrite())
			err = <-written
			require.ErrorContains(t, err, test.problem)
			_, again := c.Read(make([]byte, 1))
			assert.Equal(t, err, again)
		})
	}
}

func TestServerChooses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ mechanism, offer, want string }{
		{"", "ZWS2.0/NULL,ZWS2.0", "ZWS2.0/NULL"}, // libzmq
		{"", "ZWS2.0", "ZWS2.0"},                  // a browser with JSMQ
		{"", "ZWS2.0, ZWS2.0/NULL", "ZWS2.0"},
		{"", "other,\tZWS2.0/NULL", "ZWS2.0/NULL"},
		{"", "other\r\nSec-WebSocket-Protocol: ZWS2.0", "ZWS2.0"},
		{"PLAIN", "ZWS2.0/PLAIN", "ZWS2.0/PLAIN"},
		{"PLAIN", "ZWS2.0/NULL,ZWS2.0", ""},
		{"", "ZWS2.0/CURVE", ""},
		{"", "zws2.0", ""},
		{"", "", ""},
	} {
		near, far := loopback(t)
		c := Server(near, Config{Mechanism: test.mechanism})
		read := start(func() error { _, err := c.Read(make([]byte, 1)); return err })
		_, err := io.WriteString(far, asking("/", "Sec-WebSocket-Protocol: "+test.offer))
		require.NoError(t, err)
		r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(reply(t, far))), nil)
		require.NoError(t, err)
		assert.Equal(t, test.want, r.Header.Get("Sec-WebSocket-Protocol"))
		if test.want != "" {
			assert.NoError(t, <-read)
			assert.Equal(t, http.StatusSwitchingProtocols, r.StatusCode)
		} else {
			assert.ErrorContains(t, <-read, "want ZWS2.0/")
			assert.Equal(t, http.StatusBadRequest, r.StatusCode)
		}
		c.Close()
	}
}

func TestServerRefusesRequests(t *testing.T) {
	t.Parallel()
	const null = "Sec-WebSocket-Protocol: ZWS2.0/NULL"
	for _, test := range []struct {
		name, request, problem string
		status                 int
	}{
		{"other path", asking("/other", null), "no socket at \"/other\"", 404},
		{"query", asking("/zeromq?a=b", null), "", 101},
		{"no upgrade", "GET /zeromq HTTP/1.1\r\nHost: h\r\n\r\n", "bad \"Upgrade\"", 400},
		{"old version", strings.Replace(asking("/zeromq", null), "Version: 13", "Version: 8", 1), "Sec-WebSocket-Version", 426},
		{"page of another site", asking("/zeromq", null, "Origin: https://evil.example"), "evil.example", 403},
		{"page of a name alike", asking("/zeromq", null, "Origin: https://host.evil.example"), "evil.example", 403},
		{"sandboxed page", asking("/zeromq", null, "Origin: null"), "null", 403},
		{"page of this site", asking("/zeromq", null, "Origin: http://HOST"), "", 101},
		{"page of a trusted site", asking("/zeromq", null, "Origin: https://friend.example"), "", 101},
		{"other method", "POST /zeromq HTTP/1.1\r\n\r\n", "begins with \"POST\"", 400},
		{"ZMTP", greeted, "ZMTP without WebSocket", 400},
		{"TLS", "\x16\x03\x01", "this is TLS", 400},
		{"no end", "GET /" + strings.Repeat("x", maxHead), "an HTTP head above", 0},
		{"gone", "GET", "the peer closed", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			near, far := loopback(t)
			c := Server(near, Config{Path: "/zeromq", Origins: []string{"https://friend.example"}})
			read := start(func() error {
				_, err := c.Read(make([]byte, 1))
				return errors.Join(err, c.Close())
			})
			_, err := io.WriteString(far, test.request)
			require.NoError(t, err)
			if test.status != 0 {
				assert.Contains(t, reply(t, far), fmt.Sprintf("HTTP/1.1 %d ", test.status))
			} else {
				require.NoError(t, far.(*net.TCPConn).CloseWrite())
			}
			if test.problem == "" {
				assert.NoError(t, <-read)
			} else {
				assert.ErrorContains(t, <-read, test.problem)
			}
		})
	}
}

// FuzzServer and FuzzClient feed the upgrade: it ends, and never by a panic.
func FuzzServer(f *testing.F) {
	f.Add([]byte(asking("/", "Sec-WebSocket-Protocol: ZWS2.0/NULL")))
	f.Add([]byte(asking("/", "Sec-WebSocket-Protocol: ZWS2.0", "Origin: http://host", "Cookie: a=b")))
	f.Add([]byte(greeted))
	f.Fuzz(func(t *testing.T, in []byte) { upgradeOn(t, in, false) })
}

func FuzzClient(f *testing.F) {
	f.Add([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) { upgradeOn(t, in, true) })
}

func upgradeOn(t *testing.T, in []byte, client bool) {
	nc := &scriptConn{in: bytes.NewReader(in)}
	c := Server(nc, Config{})
	if client {
		c = Client(nc, Config{Host: "h", Path: "/"})
	}
	got, err := io.ReadAll(c)
	if err == nil {
		assert.Equal(t, greeted, string(got[:min(len(got), len(greeted))]))
	}
	assert.Less(t, len(got), 4*len(in)+zmtp.GreetingSize+1)
}

// scriptConn has a peer that says what it is told to, and takes everything.
type scriptConn struct {
	net.Conn
	in io.Reader
}

func (c *scriptConn) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c *scriptConn) Write(p []byte) (int, error) { return len(p), nil }
