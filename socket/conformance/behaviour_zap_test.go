package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// requireReason waits until s has refused a peer, and requires the reason to be this one.
func requireReason(t *testing.T, failed func(socket.EventKind) socket.Event, want zmtp.Reason) *socket.HandshakeError {
	t.Helper()
	var h *socket.HandshakeError
	require.ErrorAs(t, failed(socket.HandshakeFailed).Err, &h)
	require.Equal(t, want, h.Reason, h)
	return h
}

// Behaviour 84: an unknown CURVE client key is refused with status 400, which the server's side reports and the client is told.
func TestBehaviour84_UnknownClientKey(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		server, known, bogus := socket.NewKeyPair(), socket.NewKeyPair(), socket.NewKeyPair()
		at := fresh("inproc")
		zapHandler(t, at, func(request []string) []string {
			if request[7] == string(known.Public[:]) {
				return says("200", "OK", "anonymous", "")(request)
			}
			return says("400", "Unknown key", "", "")(request)
		})
		s := zapServer(t, at, socket.WithCurveServer(server))
		in := socket.NewDealer(socket.WithCurveClient(known, server.Public))
		out := socket.NewDealer(socket.WithCurveClient(bogus, server.Public))
		closing(t, in, out)
		here, there := watch(t, s), watch(t, out)
		endpoint := bind(t, s, fresh(transport))
		connect(t, out, endpoint)
		require.Contains(t, requireReason(t, here, zmtp.Denied).Detail, "Unknown key")
		require.Contains(t, requireReason(t, there, zmtp.PeerError).Detail, "400")
		connect(t, in, endpoint)
		send(t, in, "hello")
		require.Equal(t, "anonymous", recv(t, s).Peer().UserID())
	})
}

// Behaviour 75: the User-Id of the sender, as the authenticator gave it, is readable on every message.
func TestBehaviour75_UserIDOnEveryMessage(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		at := fresh("inproc")
		zapHandler(t, at, func(request []string) []string { return says("200", "", "user of "+request[5], "")(request) })
		s := zapServer(t, at)
		endpoint := bind(t, s, fresh(transport))
		for _, name := range []string{"a", "b"} {
			c := socket.NewDealer(socket.WithIdentity(name))
			closing(t, c)
			connect(t, c, endpoint)
			for range 3 {
				send(t, c, "hello")
			}
		}
		for range 6 {
			m := recv(t, s)
			require.Equal(t, "user of "+string(m.Frames[0]), m.Peer().UserID())
		}
	})
}

// Behaviour 93: PLAIN lets in with the right password only; two sides that are both servers do not meet.
func TestBehaviour93_PlainPasswords(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		known := socket.WithAuthenticator(socket.StaticPasswords(map[string]string{"admin": "password"}))
		s := socket.NewRouter(socket.WithPlainServer(), known)
		endpoint := bound(t, transport, s)
		for name, test := range map[string]struct {
			opts   []socket.Option
			reason zmtp.Reason
		}{
			"wrong password": {[]socket.Option{socket.WithPlainClient("admin", "passworD")}, zmtp.Denied},
			"unknown user":   {[]socket.Option{socket.WithPlainClient("nobody", "password")}, zmtp.Denied},
			"nothing":        {[]socket.Option{socket.WithPlainClient("", "")}, zmtp.Denied},
		} {
			c := socket.NewDealer(test.opts...)
			closing(t, c)
			failed := watch(t, s)
			connect(t, c, endpoint)
			require.NotNil(t, requireReason(t, failed, test.reason), name)
		}
		other := socket.NewDealer(socket.WithPlainServer(), known, socket.WithHandshakeTimeout(200*time.Millisecond), socket.WithAuthTimeout(100*time.Millisecond))
		closing(t, other)
		failed := watch(t, other)
		connect(t, other, endpoint)
		require.Error(t, failed(socket.HandshakeFailed).Err)
		c := socket.NewDealer(socket.WithPlainClient("admin", "password"))
		closing(t, c)
		connect(t, c, endpoint)
		send(t, c, "hello")
		require.Equal(t, "admin", recv(t, s).Peer().UserID())
	})
}

// zapMechanisms are the two sides of each mechanism.
func zapMechanisms() map[string][2][]socket.Option {
	server, client := socket.NewKeyPair(), socket.NewKeyPair()
	return map[string][2][]socket.Option{
		"NULL":  {},
		"PLAIN": {{socket.WithPlainServer()}, {socket.WithPlainClient("admin", "password")}},
		"CURVE": {{socket.WithCurveServer(server)}, {socket.WithCurveClient(client, server.Public)}},
	}
}

// Behaviour 90: a ZAP handler that answers with a wrong version, request id or status, with too many parts, with 300 or 500, goes away, never
// reads or never answers lets nobody in, whatever the mechanism; after 300 the client is told nothing and tries again.
func TestBehaviour90_ZAPHandlersThatErr(t *testing.T) {
	for mechanism, sides := range zapMechanisms() {
		for name, test := range map[string]struct {
			answer func(request []string) []string
			reason zmtp.Reason
		}{
			"version":    {func(r []string) []string { return []string{"", "9.9", r[2], "200", "", "", ""} }, zmtp.Undecided},
			"request id": {func([]string) []string { return []string{"", "1.0", "other", "200", "", "", ""} }, zmtp.Undecided},
			"status":     {says("999", "", "", ""), zmtp.Undecided},
			"parts":      {func(r []string) []string { return append(says("200", "", "", "")(r), "more") }, zmtp.Undecided},
			"300":        {says("300", "", "", ""), zmtp.Deferred},
			"500":        {says("500", "", "", ""), zmtp.Undecided},
			"silence":    {func([]string) []string { return nil }, zmtp.Undecided},
		} {
			t.Run(mechanism+"/"+name, func(t *testing.T) {
				t.Parallel()
				at := fresh("inproc")
				zapHandler(t, at, test.answer)
				patience, told := sockettest.Timeout/4, "500" // a busy machine may need that long
				switch name {
				case "300":
					told = "no answer to our credentials" // 300 is silence (RFC 27); who sent some can guess
					if mechanism == "NULL" {
						told = "closed the connection"
					}
				case "silence":
					patience, told = 50*time.Millisecond, unanswered
				}
				refusedBy(t, at, sides, patience, test.reason, told)
			})
		}
	}
}

// unanswered is what a client is told when there is no answer in time: a server that is late itself hangs up on it.
const unanswered = "500|closed the connection|no answer to our credentials"

// refusedBy requires that a client does not come in with the handler at an endpoint, which has so long to answer, more than once.
func refusedBy(t *testing.T, at string, sides [2][]socket.Option, patience time.Duration, reason zmtp.Reason, told string) {
	t.Helper()
	s := zapServer(t, at, append(sides[0], socket.WithAuthTimeout(patience), socket.WithHandshakeTimeout(sockettest.Timeout))...)
	c := socket.NewDealer(append(sides[1], swift(), socket.WithLinger(0))...)
	closing(t, c)
	here, there := watch(t, s), watch(t, c)
	connect(t, c, bind(t, s, fresh("tcp")))
	require.NoError(t, c.Send(limit(t), []byte("not for you")))
	for range 2 {
		requireReason(t, here, reason)
		require.Regexp(t, told, there(socket.HandshakeFailed).Err.Error())
	}
	requireNothing(t, s)
}

// Behaviour 91: the NULL mechanism asks the ZAP handler if a domain is set, and only then; the handler refuses a wrong domain and accepts the
// right one.
func TestBehaviour91_NULLAsksByDomain(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		at := fresh("inproc")
		requests := zapHandler(t, at, func(request []string) []string {
			if request[3] == "right" {
				return says("200", "", "joe", "")(request)
			}
			return says("400", "", "", "")(request)
		})
		for domain, want := range map[string]string{"": "", "right": "joe"} {
			s := socket.NewRouter()
			if domain != "" {
				s = socket.NewRouter(socket.WithAuthenticator(socket.ZAP{Domain: domain, Endpoint: at}))
			}
			c := socket.NewDealer()
			join(t, transport, s, c)
			send(t, c, "hello")
			require.Equal(t, want, recv(t, s).Peer().UserID())
		}
		require.Len(t, requests, 1, "without a domain nobody is asked")
		s := socket.NewRouter(socket.WithAuthenticator(socket.ZAP{Domain: "wrong", Endpoint: at}))
		c := socket.NewDealer()
		closing(t, s, c)
		failed := watch(t, s)
		connect(t, c, bind(t, s, fresh(transport)))
		requireReason(t, failed, zmtp.Denied)
	})
}

// Behaviour 92: a domain without a ZAP handler lets nobody in (ZMQ_ZAP_ENFORCE_DOMAIN, always on).
func TestBehaviour92_DomainWithoutHandler(t *testing.T) {
	for mechanism, sides := range zapMechanisms() {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			refusedBy(t, fresh("inproc"), sides, 50*time.Millisecond, zmtp.Undecided, unanswered)
		})
	}
}
