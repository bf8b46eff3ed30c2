package conformance

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// zapServer is a ROUTER that asks a handler about its peers, and has been asked about by one at least.
func zapServer(t *testing.T, endpoint string, opts ...socket.Option) *socket.Router {
	t.Helper()
	s := socket.NewRouter(append(opts, socket.WithAuthenticator(socket.ZAP{Domain: "test", Endpoint: endpoint}))...)
	closing(t, s)
	return s
}

// zapHandler binds a ROUTER that answers each request, as it came, with what answer makes of it: nil for nothing.
func zapHandler(t *testing.T, endpoint string, answer func(request []string) []string) (requests chan []string) {
	t.Helper()
	handler := socket.NewRouter()
	bind(t, handler, endpoint)
	requests = make(chan []string, 100)
	done := make(chan struct{})
	go func() { // ends when the handler is closed
		defer close(done)
		for m, err := range handler.Messages(context.Background()) {
			if !assert.NoError(t, err) {
				return
			}
			request := texts(m.Frames)
			select {
			case requests <- request[1:]:
			default: // more than any test looks at
			}
			if reply := answer(request[1:]); reply != nil {
				_ = handler.Send(context.Background(), bodies(append([]string{request[0]}, reply...)...)...) // the server may have gone
			}
		}
	}()
	t.Cleanup(func() {
		handler.Close()
		<-done
	})
	return requests
}

// says is an answer to a request, as a ROUTER sends it.
func says(status, text, user, metadata string) func([]string) []string {
	return func(request []string) []string { return []string{"", "1.0", request[2], status, text, user, metadata} }
}

const zapRole = "\x06X-Role\x00\x00\x00\x05admin"

// RFC 27, Architecture: the server SHALL use a REQ or DEALER socket; ours is a DEALER.
// RFC 27, Architecture: the handler SHALL use a REP or ROUTER socket.
// RFC 27, Architecture: server and handler SHALL talk through these.
// RFC 27, Architecture: the handler SHALL bind to inproc://zeromq.zap.01.
// RFC 27, Architecture: the server SHALL connect to that endpoint.
// RFC 27, Socket Types: a handler on a REP socket SHALL neither see nor send the delimiter.
// RFC 27, Example of PLAIN Authentication: a handler on a REP socket SHALL not see the delimiter, one on a ROUTER SHALL see it behind the routing id.
func TestRFC27_HandlerIsREP(t *testing.T) {
	t.Parallel()
	handler := socket.NewRep()
	closing(t, handler)
	bind(t, handler, socket.ZAPEndpoint)
	server := zapServer(t, "")
	client := socket.NewDealer(socket.WithIdentity("BOB"))
	closing(t, client)
	connect(t, client, bind(t, server, fresh("tcp")))
	request := texts(recv(t, handler).Frames)
	require.Len(t, request, 6)
	require.Equal(t, []string{"1.0", "test", "127.0.0.1", "BOB", "NULL"}, slices.Concat(request[:1], request[2:]))
	send(t, handler, "1.0", request[1], "200", "OK", "joe", zapRole)
	send(t, client, "hello")
	m := recv(t, server)
	require.Equal(t, "joe", m.Peer().UserID())
	role, _ := m.Peer().Property("X-Role")
	require.Equal(t, "admin", role)
}

// RFC 27, Message Format: a dialogue SHALL be one request and one reply.
// RFC 27, Message Format: the request SHALL have these frames.
// RFC 27, Message Format: a request SHALL begin with an empty delimiter.
// RFC 27, Message Format: the version of a request SHALL be 1.0.
// RFC 27, Message Format: the domain SHALL not be empty.
// RFC 27, Message Format: the mechanism SHALL be a string.
// RFC 27, Message Format: the mechanism SHALL NOT be empty.
// RFC 27, Message Format: the credentials SHALL be any number of frames.
// RFC 27, Message Format: the address SHALL be that of an IPv4 or IPv6 host.
// RFC 27, Message Format: the identity SHALL have at most 255 bytes.
// RFC 27, Example of NULL Authentication: a server on a DEALER socket SHALL send the delimiter.
// RFC 27, The NULL Mechanism: the mechanism SHALL be NULL.
// RFC 27, The NULL Mechanism: there SHALL be no credentials.
// RFC 27, The PLAIN Mechanism: the mechanism SHALL be PLAIN.
// RFC 27, The PLAIN Mechanism: the credentials SHALL be a user and a password.
// RFC 27, The CURVE Mechanism: the mechanism SHALL be CURVE.
// RFC 27, The CURVE Mechanism: the credentials SHALL be the 32 octets of the client's long-term key.
func TestRFC27_Requests(t *testing.T) {
	t.Parallel()
	server, client := socket.NewKeyPair(), socket.NewKeyPair()
	identity := strings.Repeat("i", 255)
	for name, test := range map[string]struct {
		ours, theirs []socket.Option
		bind         string
		want         []string // behind the domain
	}{
		"NULL":  {nil, nil, "tcp://127.0.0.1:0", []string{"127.0.0.1", identity, "NULL"}},
		"IPv6":  {nil, nil, "tcp://[::1]:0", []string{"::1", identity, "NULL"}},
		"PLAIN": {[]socket.Option{socket.WithPlainServer()}, []socket.Option{socket.WithPlainClient("admin", "secret\x00\xff")}, "tcp://127.0.0.1:0", []string{"127.0.0.1", "", "PLAIN", "admin", "secret\x00\xff"}},
		"CURVE": {[]socket.Option{socket.WithCurveServer(server)}, []socket.Option{socket.WithCurveClient(client, server.Public)}, "tcp://127.0.0.1:0", []string{"127.0.0.1", identity, "CURVE", string(client.Public[:])}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if ln, err := net.Listen("tcp", "[::1]:0"); name == "IPv6" {
				if err != nil {
					t.Skip("this host has no IPv6")
				}
				ln.Close()
			}
			at := fresh("inproc")
			requests := zapHandler(t, at, says("200", "OK", "joe", ""))
			s := zapServer(t, at, test.ours...)
			c := socket.NewDealer(append(test.theirs, socket.WithIdentity(identity))...)
			closing(t, c)
			connect(t, c, bind(t, s, test.bind))
			awaitPeers(t, c, 1)
			request := <-requests
			require.Equal(t, []string{"", "1.0"}, request[:2])
			require.Equal(t, append([]string{"test"}, test.want...), request[3:])
			require.Empty(t, requests, "one request")
		})
	}
}

// RFC 27, Message Format: the reply SHALL have these frames.
// RFC 27, Message Format: a reply SHALL begin with an empty delimiter.
// RFC 27, Message Format: the version of a reply SHALL be 1.0.
// RFC 27, Message Format: the reply SHALL echo the request id.
// RFC 27, Message Format: the status SHALL be a string, one of 200, 300, 400 and 500.
// RFC 27, Message Format: the user id SHALL be a string.
// RFC 27, Message Format: with other statuses than 200 the user id SHALL be empty; where it is not it counts for nothing.
// RFC 27, Message Format: metadata SHALL have the format of ZMTP 3.0.
// RFC 27, Socket Types: a handler on a ROUTER SHALL get the routing id of the server in front, and MUST send it back.
func TestRFC27_Replies(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 256)
	for name, test := range map[string]struct {
		answer func(request []string) []string
		why    string // empty: the peer comes in
	}{
		"right":                   {says("200", "OK", "joe", zapRole), ""},
		"longest user id":         {says("200", "", long[:255], ""), ""},
		"six frames":              {func(r []string) []string { return says("200", "", "", "")(r)[:6] }, "an answer of 6 frames, want 7"},
		"eight frames":            {func(r []string) []string { return append(says("200", "", "", "")(r), "") }, "an answer of 8 frames"},
		"no delimiter":            {func(r []string) []string { return append([]string{"x"}, says("200", "", "", "")(r)[1:]...) }, "without the empty frame"},
		"version":                 {func(r []string) []string { return []string{"", "1.1", r[2], "200", "", "", ""} }, `version "1.1"`},
		"request id":              {func(r []string) []string { return []string{"", "1.0", r[2] + "0", "200", "", "", ""} }, "to another request"},
		"status text too long":    {says("200", long, "", ""), "a status text of 256 bytes"},
		"status text not ASCII":   {says("200", "\x1b[2J", "", ""), "a status text of 4 bytes"},
		"user id too long":        {says("200", "", long, ""), "a user id of 256 bytes"},
		"metadata cut short":      {says("200", "", "", zapRole[:8]), "malformed metadata"},
		"status 201":              {says("201", "", "", ""), `status "201"`},
		"empty status":            {says("", "", "", ""), `status ""`},
		"status with a new line":  {says("200\n", "", "", ""), `status "200\\n"`},
		"denied with a user id":   {says("400", "no", "joe", zapRole), "denied: no"},
		"try later, with user id": {says("300", "busy", "joe", ""), "told to try later: busy"},
		"internal, with user id":  {says("500", "broken", "joe", ""), "could not decide: broken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := fresh("inproc")
			zapHandler(t, at, test.answer)
			s := zapServer(t, at)
			c := socket.NewDealer()
			closing(t, c)
			failed := watch(t, s)
			connect(t, c, bind(t, s, fresh("tcp")))
			if test.why != "" {
				e := failed(socket.HandshakeFailed)
				require.ErrorContains(t, e.Err, strings.ReplaceAll(test.why, `\\`, `\`))
				require.Empty(t, e.Peer.UserID())
				return
			}
			send(t, c, "hello")
			require.Equal(t, fmt.Sprint(test.answer([]string{"", "", ""})[5]), recv(t, s).Peer().UserID())
		})
	}
}

// RFC 27, Proxy Handlers: a handler that passes requests on MUST use a ROUTER towards the servers.
// RFC 27, Proxy Handlers: it MUST pass on the whole message, the routing id among it.
// RFC 27, Proxy Handlers: a handler behind others MUST take, keep and give back an envelope of any number of routing ids.
func TestRFC27_Proxy(t *testing.T) {
	t.Parallel()
	front, back, handler := socket.NewRouter(), socket.NewDealer(), socket.NewRep()
	at := bound(t, "inproc", front)
	join(t, "tcp", handler, back)
	proxy := socket.NewProxy(front, back)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- proxy.Run(ctx) }() // ends with ctx
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	s := zapServer(t, at)
	c := socket.NewDealer()
	closing(t, c)
	connect(t, c, bind(t, s, fresh("tcp")))
	request := texts(recv(t, handler).Frames)
	send(t, handler, "1.0", request[1], "200", "", "joe", "")
	send(t, c, "hello")
	require.Equal(t, "joe", recv(t, s).Peer().UserID())
}
