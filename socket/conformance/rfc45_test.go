package conformance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// webPeer is a peer over WebSocket that puts every octet itself. It is a server's client, so what it sends is masked.
type webPeer struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// dialWeb asks for the path and the subprotocols, and returns the answer with the peer.
func dialWeb(t *testing.T, endpoint, path, protocols string) (*webPeer, *http.Response) {
	t.Helper()
	address, _, _ := strings.Cut(strings.TrimPrefix(endpoint, "ws://"), "/")
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(sockettest.Timeout)))
	p := &webPeer{t, conn, bufio.NewReader(conn)}
	request, err := http.NewRequest("GET", "http://"+address+path, nil)
	require.NoError(t, err)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": protocols,
	} {
		request.Header.Set(name, value)
	}
	require.NoError(t, request.Write(conn))
	response, err := http.ReadResponse(p.r, request)
	require.NoError(t, err)
	return p, response
}

// send sends a frame of at most 125 octets; the mask of zeros leaves them as they are.
func (p *webPeer) send(first byte, payload string) {
	p.t.Helper()
	_, err := p.conn.Write(append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...))
	require.NoError(p.t, err)
}

// read reads a frame of at most 125 octets, which a server does not mask.
func (p *webPeer) read() (first byte, payload string) {
	p.t.Helper()
	head := make([]byte, 2)
	_, err := io.ReadFull(p.r, head)
	require.NoError(p.t, err)
	require.LessOrEqual(p.t, head[1], byte(125))
	body := make([]byte, head[1])
	_, err = io.ReadFull(p.r, body)
	require.NoError(p.t, err)
	return head[0], string(body)
}

func (p *webPeer) requireFrame(first byte, payload string) {
	p.t.Helper()
	gotFirst, got := p.read()
	require.Equal(p.t, payload, got)
	require.Equal(p.t, first, gotFirst)
}

// requireClosed reads to the end of the connection.
func (p *webPeer) requireClosed() {
	p.t.Helper()
	_, err := io.Copy(io.Discard, p.r)
	require.NoError(p.t, err)
}

const (
	webBinary = 0x82 // final, binary
	webText   = 0x81
	webPing   = 0x89
	webPong   = 0x8a
	webClose  = 0x88
)

// webReady is the command that a peer of this type opens with.
func webReady(socketType string) string {
	return "\x02\x05READY\x0bSocket-Type\x00\x00\x00" + string(rune(len(socketType))) + socketType
}

// meetWeb returns a peer of the type that is past the handshake of NULL.
func meetWeb(t *testing.T, endpoint, socketType string) *webPeer {
	t.Helper()
	p, response := dialWeb(t, endpoint, "/", "ZWS2.0/NULL")
	require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	p.send(webBinary, webReady(socketType))
	first, ready := p.read()
	require.Equal(t, byte(webBinary), first)
	require.True(t, strings.HasPrefix(ready, "\x02\x05READY\x0bSocket-Type"), "%q", ready)
	return p
}

// heard returns the upgrade request that a socket sends which connects to path.
func heard(t *testing.T, path string) (address string, request *http.Request) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	push := socket.NewPush()
	closing(t, push)
	connect(t, push, "ws://"+ln.Addr().String()+path)
	conn, err := ln.Accept()
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(sockettest.Timeout)))
	request, err = http.ReadRequest(bufio.NewReader(conn))
	require.NoError(t, err)
	return ln.Addr().String(), request
}

// RFC 45, Handshake: the request MUST name at least one protocol in Sec-WebSocket-Protocol.
// RFC 45, Handshake: host and path of the request MUST be those that the user gave to connect.
func TestRFC45_Handshake_Request(t *testing.T) {
	for path, asked := range map[string]string{"": "/", "/": "/", "/zeromq": "/zeromq", "/a/b%20c?d=e": "/a/b%20c?d=e"} {
		address, request := heard(t, path)
		assert.Equal(t, "ZWS2.0/NULL, ZWS2.0", request.Header.Get("Sec-WebSocket-Protocol"))
		assert.Equal(t, asked, request.RequestURI)
		assert.Equal(t, address, request.Host)
	}
}

// RFC 45, Handshake: the server must choose one of the client's protocols and name it in its answer.
// RFC 45, Handshake: a server that supports none of them should close the connection, with BAD REQUEST or otherwise.
func TestRFC45_Handshake_Answer(t *testing.T) {
	pull := socket.NewPull()
	closing(t, pull)
	endpoint := bind(t, pull, "ws://127.0.0.1:0")
	for offered, chosen := range map[string]string{
		"ZWS2.0/NULL,ZWS2.0": "ZWS2.0/NULL", "ZWS2.0": "ZWS2.0", "chat, ZWS2.0/NULL": "ZWS2.0/NULL", "chat": "", "ZWS2.0/CURVE": "",
	} {
		p, response := dialWeb(t, endpoint, "/", offered)
		assert.Equal(t, chosen, response.Header.Get("Sec-WebSocket-Protocol"), offered)
		if chosen == "" {
			assert.Equal(t, http.StatusBadRequest, response.StatusCode)
			p.requireClosed()
		}
	}
}

// RFC 45, No Mechanism: all implementations must implement the protocol without a mechanism.
// RFC 45, No Mechanism: the first message of each side must be its routing id, the rest are regular messages.
func TestRFC45_NoMechanism(t *testing.T) {
	router := socket.NewRouter(socket.WithIdentity("us"))
	closing(t, router)
	p, response := dialWeb(t, bind(t, router, "ws://127.0.0.1:0"), "/", "ZWS2.0")
	require.Equal(t, "ZWS2.0", response.Header.Get("Sec-WebSocket-Protocol"))
	p.send(webBinary, "\x00them")
	p.requireFrame(webBinary, "\x00us")
	p.send(webBinary, "\x01question")
	p.send(webBinary, "\x00")
	requireRecv(t, router, "them", "question", "")
	send(t, router, "them", "answer")
	p.requireFrame(webBinary, "\x00answer")
}

// RFC 45, Framing: each frame maps to one WebSocket message, a flags octet and the frame's body: 0 for the last frame of a message, 1 for one that others follow, 2 for a command.
// RFC 45, Implementation: messages are binary WebSocket messages.
func TestRFC45_Framing(t *testing.T) {
	dealer := socket.NewDealer()
	closing(t, dealer)
	p := meetWeb(t, bind(t, dealer, "ws://127.0.0.1:0"), "DEALER")
	p.send(webBinary, "\x01a")
	p.send(webBinary, "\x02\x07UNKNOWNcommand")
	p.send(0x02, "\x00b") // a WebSocket message may come in fragments
	p.send(webPing, "between")
	p.send(0x80, "c")
	p.requireFrame(webPong, "between")
	requireRecv(t, dealer, "a", "bc")
	send(t, dealer, "d", "", "e")
	p.requireFrame(webBinary, "\x01d")
	p.requireFrame(webBinary, "\x01")
	p.requireFrame(webBinary, "\x00e")

	events := watch(t, dealer)
	p.send(webText, "\x00text")
	require.ErrorContains(t, events(socket.Disconnected).Err, "text")
	p.requireFrame(webClose, "\x03\xeb")
}

// RFC 45, Socket Compatibility: SHOULD enforce that a peer has a valid type, and disconnect others.
func TestRFC45_SocketCompatibility(t *testing.T) {
	pull := socket.NewPull()
	closing(t, pull)
	events := watch(t, pull)
	p, _ := dialWeb(t, bind(t, pull, "ws://127.0.0.1:0"), "/", "ZWS2.0/NULL")
	p.send(webBinary, webReady("SUB"))
	assert.ErrorContains(t, events(socket.HandshakeFailed).Err, "PULL cannot talk to \"SUB\"")
	p.requireClosed()
}

// RFC 45, Publish-Subscribe: XPUB and XSUB are PUB and SUB on the wire.
//
// Differs: they announce what they are, as libzmq does; peers of ZMTP see the same.
func TestRFC45_PublishSubscribe_Types(t *testing.T) {
	for want, s := range map[string]connector{"XPUB": socket.NewXPub(), "XSUB": socket.NewXSub()} {
		closing(t, s)
		p, _ := dialWeb(t, bind(t, s, "ws://127.0.0.1:0"), "/", "ZWS2.0/NULL")
		p.send(webBinary, webReady(map[string]string{"XPUB": "SUB", "XSUB": "PUB"}[want]))
		_, ready := p.read()
		assert.Contains(t, ready, "Socket-Type\x00\x00\x00\x04"+want)
	}
}

// RFC 45, Publish-Subscribe: a subscription is a message of 0x01 and the topic, the end of one of 0x00 and the topic.
func TestRFC45_PublishSubscribe_Subscriptions(t *testing.T) {
	sub := socket.NewSub()
	closing(t, sub)
	require.NoError(t, sub.Subscribe("topic"))
	p := meetWeb(t, bind(t, sub, "ws://127.0.0.1:0"), "PUB")
	p.requireFrame(webBinary, "\x00\x01topic")
	require.NoError(t, sub.Unsubscribe("topic"))
	p.requireFrame(webBinary, "\x00\x00topic")

	xpub := socket.NewXPub()
	closing(t, xpub)
	p = meetWeb(t, bind(t, xpub, "ws://127.0.0.1:0"), "SUB")
	for _, message := range []string{"\x01a", "\x00a"} {
		p.send(webBinary, "\x00"+message)
		requireRecv(t, xpub, message)
	}
}

// RFC 45, Security: clients support wss:// in place of ws://.
func TestRFC45_Security(t *testing.T) {
	push := socket.NewPush(swift())
	closing(t, push)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	connect(t, push, fmt.Sprintf("wss://%s/zeromq", ln.Addr()))
	conn, err := ln.Accept()
	require.NoError(t, err)
	defer conn.Close()
	hello := make([]byte, 2)
	_, err = io.ReadFull(conn, hello)
	require.NoError(t, err)
	assert.Equal(t, "\x16\x03", string(hello), "a TLS handshake")
}
