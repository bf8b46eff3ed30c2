package socket_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// RFC 27: a handler of libzmq's, on a REP, is asked about a client of libzmq's and has its way, whatever the mechanism. A client that is to come later (300) does.
func TestInteropAuth_ZAPHandler(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	curve, plain := curveServerIsOurs(), options{"PLAIN_USERNAME": "admin", "PLAIN_PASSWORD": "secret"}
	for _, test := range []struct {
		name   string
		ours   []socket.Option
		theirs options
		shown  []string
	}{
		{"NULL", nil, options{}, nil},
		{"PLAIN", []socket.Option{socket.WithPlainServer()}, plain, []string{"admin", "secret"}},
		{"CURVE", curve.ours, curve.theirs, []string{zapKey(t, curve.theirs["CURVE_PUBLICKEY"])}},
	} {
		t.Run(test.name, func(t *testing.T) {
			handler := process.open(t, "REP", options{})
			auth := socket.WithAuthenticator(socket.ZAP{Domain: "global", Endpoint: handler.bind(freshEndpoint(t, "tcp"))})
			ours, theirs := openWith(t, process, pairing{ours: "PULL", theirs: "PUSH"}, test.theirs,
				append([]socket.Option{auth, socket.WithHandshakeTimeout(patience), socket.WithAuthTimeout(patience / 2)}, test.ours...)...)
			theirs.connect(ours.bind(freshEndpoint(t, "tcp")))
			answer := func(status string) {
				request := handler.recv()
				require.GreaterOrEqual(t, len(request), 6)
				shown := []string{"1.0", "global", "127.0.0.1", "", test.name}
				require.Equal(t, append(shown, test.shown...), texts(append(request[:1:1], request[2:]...)))
				handler.send(text("1.0"), request[1], text(status), text("because"), text("joe"), nil)
			}
			for range 2 { // libzmq comes back
				answer("300")
				requireRefused(t, ours, zmtp.Deferred, "because")
			}
			answer("200")
			assert.Equal(t, "joe", ours.awaitEvent(socket.Connected).Peer.UserID())
			theirs.send(text("hello"))
			requireFrames(t, bodies("hello"), ours.recv())
			handler.close()
		})
	}
}

// zapKey is a key of Z85 as a handler sees it.
func zapKey(t *testing.T, z85 any) string {
	t.Helper()
	key, err := socket.ParsePublicKey(z85.(string))
	require.NoError(t, err)
	return string(key[:])
}

func texts(frames [][]byte) (out []string) {
	for _, f := range frames {
		out = append(out, string(f))
	}
	return out
}

// A client of libzmq's comes in when its key is put into the directory. One that was denied does not come back by itself.
func TestInteropAuth_AllowKeys(t *testing.T) {
	t.Parallel()
	process, dir, l := startLibzmq(t), t.TempDir(), curveServerIsOurs()
	key, err := socket.ParsePublicKey(l.theirs["CURVE_PUBLICKEY"].(string))
	require.NoError(t, err)
	keys := socket.AllowKeys(dir)
	l.ours = append(l.ours, socket.WithAuthenticator(keys))
	ours, theirs := openWith(t, process, pairing{ours: "PULL", theirs: "PUSH"}, l.theirs, l.ours...)
	endpoint := ours.bind(freshEndpoint(t, "tcp"))
	theirs.connect(endpoint)
	requireRefused(t, ours, zmtp.Denied, key.String())

	save(t, key, nil, filepath.Join(dir, "worker.key"))
	require.Eventually(t, func() bool {
		return keys.Authenticate(t.Context(), socket.Request{Mechanism: "CURVE", PublicKey: key}).Decision == socket.Allow
	}, patience, 10*time.Millisecond)
	again := process.open(t, "PUSH", l.theirs)
	t.Cleanup(again.close)
	again.connect(endpoint)
	assert.Equal(t, "worker", ours.awaitEvent(socket.Connected).Peer.UserID())
	again.send(text("hello"))
	requireFrames(t, bodies("hello"), ours.recv())
}
