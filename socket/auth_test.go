package socket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/transporttest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// says is an authenticator that has made up its mind.
func says(v socket.Verdict) socket.Authenticator {
	return socket.AuthenticatorFunc(func(context.Context, socket.Request) socket.Verdict { return v })
}

func TestAuth_AllowedPeersAreKnown(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		asked := make(chan socket.Request, 1)
		auth := socket.AuthenticatorFunc(func(_ context.Context, r socket.Request) socket.Verdict {
			asked <- r
			return socket.Verdict{Decision: socket.Allow, UserID: "joe", Metadata: zmtp.Metadata{{Name: "X-Role", Value: text("admin")}}}
		})
		router := socket.NewRouter(socket.WithAuthenticator(auth))
		dealer := socket.NewDealer(socket.WithIdentity("d"), socket.WithProperty("X-Role", "made up"), socket.WithProperty("X-More", "so"))
		endpoint := join(t, transport, router, dealer)
		send(t, dealer, "hello")
		m := recv(t, router)
		assert.Equal(t, "joe", m.Peer().UserID())
		role, _ := m.Peer().Property("X-Role")
		assert.Equal(t, "admin", role, "what the authenticator says is before what the peer says")
		more, _ := m.Peer().Property("x-more")
		assert.Equal(t, "so", more)
		r := <-asked
		assert.Equal(t, []string{"NULL", endpoint, "d", "DEALER"}, []string{r.Mechanism, r.Endpoint, r.Identity, r.SocketType})
		said, _ := r.Properties.Get("X-More")
		assert.Equal(t, "so", string(said))
		_, remote := r.Address.(*net.TCPAddr)
		assert.Equal(t, transport == "tcp", remote)
	})
}

// Whatever is not a timely Allow lets nobody in, and both sides know why, as far as each may.
func TestAuth_FailsClosed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		auth   socket.Authenticator
		reason zmtp.Reason
		detail string
		told   string // empty: the connection just ends
	}{
		{"zero verdict", says(socket.Verdict{}), zmtp.Denied, "does not let the peer in", "400"},
		{"deny", says(socket.Verdict{Decision: socket.Deny, Reason: "not\nyou"}), zmtp.Denied, "not?you", "400"},
		{"try later", says(socket.Verdict{Decision: socket.TryLater, Reason: "busy"}), zmtp.Deferred, "busy", ""},
		{"fail", says(socket.Verdict{Decision: socket.Fail, Reason: "no database"}), zmtp.Undecided, "no database", "500"},
		{"unknown decision", says(socket.Verdict{Decision: 77}), zmtp.Undecided, "could not decide", "500"},
		{"user id too long", says(socket.Verdict{Decision: socket.Allow, UserID: strings.Repeat("x", 256)}), zmtp.Undecided, "256 bytes", "500"},
		{"panic", socket.AuthenticatorFunc(func(context.Context, socket.Request) socket.Verdict { panic("oh\x1b") }), zmtp.Undecided, "panicked: oh?", "500"},
		{"late", socket.AuthenticatorFunc(func(ctx context.Context, _ socket.Request) socket.Verdict {
			<-ctx.Done()
			return socket.Verdict{Decision: socket.Allow}
		}), zmtp.Undecided, "no verdict within 50ms (WithAuthTimeout)", "500"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				pull := socket.NewPull(socket.WithAuthenticator(test.auth), socket.WithAuthTimeout(50*time.Millisecond))
				push := socket.NewPush(swift())
				closing(t, pull, push)
				here, there := watch(t, pull), watch(t, push)
				require.NoError(t, push.Connect(bind(t, pull, "inproc://"+t.Name())))
				var refused *socket.HandshakeError
				require.ErrorAs(t, here(socket.HandshakeFailed).Err, &refused)
				assert.Equal(t, test.reason, refused.Reason)
				assert.Contains(t, refused.Detail, test.detail)
				err := there(socket.HandshakeFailed).Err
				if test.told == "" {
					assert.ErrorContains(t, err, "closed the connection")
				} else {
					require.ErrorAs(t, err, &refused)
					assert.Equal(t, zmtp.PeerError, refused.Reason)
					assert.Contains(t, refused.Detail, test.told)
					assert.NotContains(t, refused.Detail, test.detail, "the peer is not told why")
				}
				assert.Zero(t, push.Stats().Peers[0].MessagesIn)
				assert.False(t, push.Connected(push.Stats().Peers[0].Endpoint))
			})
		})
	}
}

// One that ignores its context keeps nobody but its own peer waiting, and that one not for long.
func TestAuth_StuckAuthenticator(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	first := make(chan struct{}, 1)
	first <- struct{}{}
	auth := socket.AuthenticatorFunc(func(context.Context, socket.Request) socket.Verdict {
		select {
		case <-first:
			<-release
		default:
		}
		return socket.Verdict{Decision: socket.Allow}
	})
	pull := socket.NewPull(socket.WithAuthenticator(auth), socket.WithAuthTimeout(10*time.Millisecond))
	stuck, push := socket.NewPush(socket.WithoutReconnect()), socket.NewPush(swift())
	closing(t, pull, push, stuck)
	t.Cleanup(func() { close(release) })
	endpoint := bind(t, pull, "tcp://127.0.0.1:0")
	gone := watch(t, stuck)
	require.NoError(t, stuck.Connect(endpoint))
	require.Error(t, gone(socket.HandshakeFailed).Err)
	require.NoError(t, push.Connect(endpoint))
	send(t, push, "hello")
	requireMsg(t, recv(t, pull), "hello")
}

// Nothing that a peer sends before it was let in arrives, and nothing of ours reaches it.
func TestAuth_NothingPassesBefore(t *testing.T) {
	t.Parallel()
	answer := make(chan socket.Decision)
	auth := socket.AuthenticatorFunc(func(ctx context.Context, _ socket.Request) socket.Verdict {
		select {
		case d := <-answer:
			return socket.Verdict{Decision: d}
		case <-ctx.Done():
			return socket.Verdict{}
		}
	})
	pair := socket.NewPair(socket.WithAuthenticator(auth), socket.WithAuthTimeout(20*time.Second), socket.WithHandshakeTimeout(30*time.Second))
	closing(t, pair)
	endpoint := bind(t, pair, "tcp://127.0.0.1:0")
	for _, decision := range []socket.Decision{socket.Deny, socket.Allow} {
		raw := sockettest.DialRaw(t, endpoint)
		raw.SendGreeting(1, "NULL")
		raw.ReadGreeting()
		raw.SendReady(sockettest.Property{Name: "Socket-Type", Value: "PAIR"})
		raw.SendMessage("early")
		require.ErrorIs(t, pair.Send(soon(t), text("early")), socket.ErrNoPeer)
		raw.ExpectSilence(50 * time.Millisecond)
		_, err := pair.Recv(try())
		require.Error(t, err)
		answer <- decision
		if decision == socket.Deny {
			raw.Expect("04 0a 05 'ERROR' 03 '400'")
			raw.ExpectClosed()
			continue
		}
		raw.ReadReady()
		requireMsg(t, recv(t, pair), "early")
		send(t, pair, "hello")
		assert.Equal(t, []string{"hello"}, raw.ReadMessage())
	}
}

func TestAuth_Passwords(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users")
	write := func(text string) {
		require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
	}
	write("# who may come in\n\njoe:secret:with colon\r\nann:other\n")
	for name, auth := range map[string]socket.Authenticator{
		"static": socket.StaticPasswords(map[string]string{"joe": "secret:with colon", "ann": "other"}),
		"file":   socket.PasswordFile(path),
	} {
		for _, test := range []struct {
			user, password string
			in             bool
		}{
			{"joe", "secret:with colon", true}, {"ann", "other", true},
			{"joe", "secret", false}, {"joe", "", false}, {"joe", "other", false}, {"eve", "other", false}, {"", "", false}, {"Joe", "secret:with colon", false},
		} {
			v := auth.Authenticate(t.Context(), socket.Request{Mechanism: "PLAIN", User: test.user, Password: test.password})
			if !test.in {
				assert.Equal(t, socket.Deny, v.Decision, "%s %v", name, test)
				assert.Equal(t, "wrong user or password", v.Reason)
				continue
			}
			assert.Equal(t, socket.Verdict{Decision: socket.Allow, UserID: test.user}, v, "%s %v", name, test)
		}
		v := auth.Authenticate(t.Context(), socket.Request{Mechanism: "NULL", User: "joe", Password: "secret:with colon"})
		assert.Equal(t, socket.Deny, v.Decision)
	}

	router := socket.NewRouter(socket.WithPlainServer(), socket.WithAuthenticator(socket.PasswordFile(path)))
	joe := socket.NewDealer(socket.WithPlainClient("joe", "secret:with colon"), swift())
	eve := socket.NewDealer(socket.WithPlainClient("joe", "guess"), swift())
	closing(t, router, joe, eve)
	endpoint := bind(t, router, "tcp://127.0.0.1:0")
	failed := watch(t, eve)
	require.NoError(t, eve.Connect(endpoint))
	assert.ErrorContains(t, failed(socket.HandshakeFailed).Err, "400")
	require.NoError(t, joe.Connect(endpoint))
	send(t, joe, "hello")
	assert.Equal(t, "joe", recv(t, router).Peer().UserID())

	// What becomes of the file counts for those who come then.
	write("joe:guess\n")
	send(t, eve, "mine now")
	requireMsg(t, socket.Msg{Frames: recv(t, router).Frames[1:]}, "mine now")
	file := socket.PasswordFile(path)
	write("joe guess\n")
	require.Eventually(t, func() bool {
		v := file.Authenticate(t.Context(), socket.Request{Mechanism: "PLAIN", User: "joe", Password: "guess"})
		return v.Decision == socket.Fail && strings.Contains(v.Reason, "line 1: want user:password")
	}, sockettest.Timeout, 10*time.Millisecond)
}

func TestAuth_IPRanges(t *testing.T) {
	t.Parallel()
	at := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }
	for _, test := range []struct {
		allow, deny []string
		from        net.Addr
		want        socket.Decision
	}{
		{[]string{"10.0.0.0/8"}, nil, at("10.1.2.3"), socket.Allow},
		{[]string{"10.0.0.0/8"}, nil, at("::ffff:10.1.2.3"), socket.Allow},
		{[]string{"10.0.0.0/8"}, nil, at("11.1.2.3"), socket.Deny},
		{[]string{"10.0.0.0/8"}, []string{"10.1.0.0/16"}, at("10.1.2.3"), socket.Deny},
		{nil, []string{"10.1.2.3"}, at("10.1.2.3"), socket.Deny},
		{nil, []string{"10.1.2.3"}, at("10.1.2.4"), socket.Allow},
		{[]string{"fd00::/8"}, nil, at("fd12::1"), socket.Allow},
		{[]string{"fd00::/8"}, nil, at("10.1.2.3"), socket.Deny},
		{[]string{"10.0.0.0/8"}, nil, &net.UnixAddr{Name: "@", Net: "unix"}, socket.Allow},
		{[]string{"10.0.0.0/8"}, nil, nil, socket.Deny},
		{[]string{"10.0.0.0/33"}, nil, at("10.1.2.3"), socket.Fail},
	} {
		v := socket.IPRanges(test.allow, test.deny).Authenticate(t.Context(), socket.Request{Address: test.from})
		assert.Equal(t, test.want, v.Decision, "%v", test)
		assert.Equal(t, test.want != socket.Allow, v.Reason != "", "%v", test)
	}
}

func TestAuth_TLSNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		want socket.Decision
	}{
		{"one.example", socket.Allow}, {"ONE.example", socket.Allow}, {"a.workers.example", socket.Allow},
		{"", socket.Deny}, {"two.example", socket.Deny}, {"a.b.workers.example", socket.Deny}, {"workers.example", socket.Deny},
	} {
		v := socket.TLSNames("one.example", "*.workers.example").Authenticate(t.Context(), socket.Request{TLSName: test.name})
		assert.Equal(t, test.want, v.Decision, test.name)
	}

	ca := transporttest.NewAuthority(t)
	pull := socket.NewPull(socket.WithTLS(ca.Mutual("queue")), socket.WithAuthenticator(socket.TLSNames("one.example")))
	one, two := socket.NewPush(socket.WithTLS(ca.Mutual("one.example")), swift()), socket.NewPush(socket.WithTLS(ca.Mutual("two.example")), swift())
	closing(t, pull, one, two)
	failed := watch(t, pull)
	endpoint := bind(t, pull, tlsAnywhere)
	require.NoError(t, two.Connect(endpoint))
	e := failed(socket.HandshakeFailed)
	assert.ErrorContains(t, e.Err, `"two.example", which is not among the names`)
	assert.Equal(t, "two.example", e.Peer.TLSName())
	require.NoError(t, one.Connect(endpoint))
	send(t, one, "hello")
	assert.Equal(t, "one.example", recv(t, pull).Peer().UserID())
}

func TestAuth_All(t *testing.T) {
	t.Parallel()
	allow := func(user, name, value string) socket.Authenticator {
		return says(socket.Verdict{Decision: socket.Allow, UserID: user, Metadata: zmtp.Metadata{{Name: name, Value: text(value)}}})
	}
	v := socket.All(allow("", "X-A", "1"), allow("joe", "x-a", "2"), allow("ann", "X-B", "3")).Authenticate(t.Context(), socket.Request{})
	assert.Equal(t, socket.Verdict{Decision: socket.Allow, UserID: "joe", Metadata: zmtp.Metadata{{Name: "X-A", Value: text("1")}, {Name: "X-B", Value: text("3")}}}, v)
	unasked := socket.AuthenticatorFunc(func(context.Context, socket.Request) socket.Verdict { panic("asked") })
	v = socket.All(allow("joe", "X-A", "1"), says(socket.Verdict{Decision: socket.TryLater}), unasked).Authenticate(t.Context(), socket.Request{})
	assert.Equal(t, socket.Verdict{Decision: socket.TryLater}, v)
	assert.Equal(t, socket.Deny, socket.All().Authenticate(t.Context(), socket.Request{}).Decision)
}

func TestAuth_Options(t *testing.T) {
	t.Parallel()
	yes := socket.WithAuthenticator(says(socket.Verdict{Decision: socket.Allow}))
	keys := socket.NewKeyPair()
	known := socket.StaticPasswords(map[string]string{"joe": "secret"})
	open := filepath.Join(t.TempDir(), "users")
	require.NoError(t, os.WriteFile(open, text("joe:secret\n"), 0o644))
	for _, test := range []struct {
		problem string
		opts    []socket.Option
	}{
		{"WithAuthenticator(nil)", []socket.Option{socket.WithAuthenticator(nil)}},
		{"want All of them in one", []socket.Option{yes, yes}},
		{"WithAuthTimeout without WithAuthenticator", []socket.Option{socket.WithAuthTimeout(time.Second)}},
		{"WithDenialLimit without WithAuthenticator", []socket.Option{socket.WithDenialLimit(1, time.Second)}},
		{"WithAuthTimeout(0s)", []socket.Option{yes, socket.WithAuthTimeout(0)}},
		{"WithDenialLimit(1, 0s)", []socket.Option{yes, socket.WithDenialLimit(1, 0)}},
		{"is not below WithHandshakeTimeout", []socket.Option{yes, socket.WithAuthTimeout(time.Second), socket.WithHandshakeTimeout(time.Second)}},
		{"nobody could check a password", []socket.Option{socket.WithPlainServer()}},
		{"with WithPlainClient", []socket.Option{yes, socket.WithPlainClient("joe", "x")}},
		{"with WithCurveClient", []socket.Option{yes, socket.WithCurveClient(keys, keys.Public)}},
		{"only to WithPlainServer", []socket.Option{socket.WithAuthenticator(known)}},
		{"only to WithPlainServer", []socket.Option{socket.WithCurveServer(keys), socket.WithAuthenticator(socket.All(known))}},
		{"at least one authenticator", []socket.Option{socket.WithAuthenticator(socket.All())}},
		{"an authenticator is nil", []socket.Option{socket.WithAuthenticator(socket.All(nil))}},
		{"at least one user", []socket.Option{socket.WithPlainServer(), socket.WithAuthenticator(socket.StaticPasswords(nil))}},
		{"a password of 0 bytes", []socket.Option{socket.WithPlainServer(), socket.WithAuthenticator(socket.StaticPasswords(map[string]string{"joe": ""}))}},
		{"no such file", []socket.Option{socket.WithPlainServer(), socket.WithAuthenticator(socket.PasswordFile(open + "x"))}},
		{"mode 0644", []socket.Option{socket.WithPlainServer(), socket.WithAuthenticator(socket.PasswordFile(open))}},
		{"want a network such as", []socket.Option{socket.WithAuthenticator(socket.IPRanges([]string{"x"}, nil))}},
		{"at least one range", []socket.Option{socket.WithAuthenticator(socket.IPRanges(nil, nil))}},
		{"TLSNames: want names", []socket.Option{socket.WithAuthenticator(socket.TLSNames())}},
		{"ZAP domain", []socket.Option{socket.WithAuthenticator(socket.ZAP{})}},
		{"ZAP: invalid endpoint", []socket.Option{socket.WithAuthenticator(socket.ZAP{Domain: "x", Endpoint: "x"})}},
	} {
		_, err := socket.NewPull(test.opts...).Bind("tcp://127.0.0.1:0")
		assert.ErrorIs(t, err, socket.ErrOption, test.problem)
		assert.ErrorContains(t, err, test.problem)
	}
	_, err := socket.NewStream(yes).Bind("tcp://127.0.0.1:0")
	assert.ErrorContains(t, err, "WithAuthenticator on a STREAM socket")
}

// What peers say of themselves gets into a log as printable text only, and passwords not at all.
func TestAuth_Log(t *testing.T) {
	t.Parallel()
	request := socket.Request{
		Mechanism: "PLAIN", Endpoint: "tcp://127.0.0.1:1", Address: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2}, User: "joe\nroot", Password: "secret",
		Identity: "\x1b[31m",
	}
	want := `PLAIN tcp://127.0.0.1:1 peer 127.0.0.1:2 user "joe\nroot" identity "\x1b[31m"`
	for _, format := range []string{"%v", "%s", "%+v"} {
		assert.Equal(t, want, fmt.Sprintf(format, request))
	}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	log.Info("asked", "request", request)
	write := socket.LogTo(log)
	write(socket.Event{Kind: socket.HandshakeFailed, Endpoint: "tcp://127.0.0.1:1", Err: errors.New("no\nlevel=ERROR msg=forged")})
	write(socket.Event{Kind: socket.Subscribed, Topic: "\x00\n"})
	write(socket.Event{Kind: socket.Dropped, Count: 3, Reason: socket.DropFull})
	log.Info("event", "e", socket.Event{Kind: socket.Retrying, RetryIn: time.Second})
	assert.NotContains(t, out.String(), "secret")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 5)
	assert.Contains(t, lines[1], `level=WARN msg="handshake failed" endpoint=tcp://127.0.0.1:1 error="no\\nlevel=ERROR msg=forged"`)
	assert.Contains(t, lines[2], `level=DEBUG msg=subscribed topic=\x00\n`)
	assert.Contains(t, lines[3], `level=WARN msg=dropped count=3 reason="queue full"`)
	assert.Contains(t, lines[4], `e.event=retrying e.retry_in=1s`)
}
