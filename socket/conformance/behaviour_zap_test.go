package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
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
				refusedBy(t, at, sides, test.reason)
			})
		}
	}
}

// refusedBy requires that a client does not come in with the handler at an endpoint, more than once.
func refusedBy(t *testing.T, at string, sides [2][]socket.Option, reason zmtp.Reason) {
	t.Helper()
	s := zapServer(t, at, append(sides[0], socket.WithAuthTimeout(50*time.Millisecond))...)
	c := socket.NewDealer(append(sides[1], swift())...)
	closing(t, c)
	here, there := watch(t, s), watch(t, c)
	connect(t, c, bind(t, s, fresh("tcp")))
	require.NoError(t, c.Send(limit(t), []byte("not for you")))
	for range 2 {
		requireReason(t, here, reason)
		err := there(socket.HandshakeFailed).Err
		if reason == zmtp.Deferred {
			require.ErrorContains(t, err, "closed the connection")
		} else {
			require.ErrorContains(t, err, "500")
		}
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
			refusedBy(t, fresh("inproc"), sides, zmtp.Undecided)
		})
	}
}
