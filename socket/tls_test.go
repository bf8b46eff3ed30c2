package socket_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/transporttest"
)

const tlsAnywhere = "tls+tcp://127.0.0.1:0"

func TestTLS_PushPullInOrderAllSizes(t *testing.T) {
	t.Parallel()
	ca := transporttest.NewAuthority(t)
	push := socket.NewPush(socket.WithTLS(ca.Mutual("worker.example")))
	pull := socket.NewPull(socket.WithTLS(ca.Mutual("queue.example")))
	closing(t, push, pull)
	require.NoError(t, push.Connect(bind(t, pull, tlsAnywhere)))
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { numbered(t, push, 0, 5000, 8) })
	for i := range 5000 {
		m := recv(t, pull)
		require.Equal(t, i, ordinalOf(m))
		require.Equal(t, "worker.example", m.Peer().TLSName())
	}
	for _, size := range []int{0, 1, 255, 256, 16383, 16384, 16385, 65536, 1 << 20} {
		body := make([]byte, size)
		rand.Read(body)
		wg.Go(func() { assert.NoError(t, push.Send(limit(t), text("head"), body, nil)) })
		require.Equal(t, [][]byte{text("head"), body, {}}, recv(t, pull).Frames)
	}
	assert.Equal(t, "queue.example", push.Stats().Peers[0].Peer.TLSName())
	state, ok := push.Stats().Peers[0].Peer.TLS()
	require.True(t, ok)
	assert.Equal(t, uint16(tls.VersionTLS13), state.Version)
}

func TestTLS_ReqRepAndPubSub(t *testing.T) {
	t.Parallel()
	server, client := certificate(t)
	req, rep := socket.NewReq(socket.WithTLS(client)), socket.NewRep(socket.WithTLS(server))
	pub, sub := socket.NewPub(socket.WithTLS(client)), socket.NewSub(socket.WithTLS(server)) // the publisher connects
	closing(t, req, rep, pub, sub)
	require.NoError(t, req.Connect(bind(t, rep, tlsAnywhere)))
	require.NoError(t, pub.Connect(bind(t, sub, tlsAnywhere)))
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		m := recv(t, rep)
		assert.Empty(t, m.Peer().TLSName(), "without a certificate nobody is anybody")
		assert.NoError(t, rep.Send(limit(t), m.Frames...))
	})
	m, err := req.Request(limit(t), text("a"))
	require.NoError(t, err)
	requireMsg(t, m, "a")
	require.NoError(t, sub.Subscribe("a"))
	require.NoError(t, pub.WaitSubscribers(limit(t), "a", 1))
	send(t, pub, "b", "no")
	send(t, pub, "a", "yes")
	requireMsg(t, recv(t, sub), "a", "yes")
}

func TestTLS_Reconnects(t *testing.T) {
	t.Parallel()
	server, client := certificate(t)
	router := socket.NewRouter(socket.WithTLS(server))
	dealer := socket.NewDealer(socket.WithTLS(client), swift(), socket.WithIdentity("d"))
	closing(t, dealer)
	endpoint := bind(t, router, tlsAnywhere)
	require.NoError(t, dealer.Connect(endpoint))
	for i := range 3 {
		send(t, dealer, fmt.Sprint(i))
		requireMsg(t, recv(t, router), "d", fmt.Sprint(i))
		send(t, router, "d", "answer")
		requireMsg(t, recv(t, dealer), "answer")
		require.NoError(t, router.Close())
		router = socket.NewRouter(socket.WithTLS(server))
		require.Equal(t, endpoint, bind(t, router, endpoint))
	}
	require.NoError(t, router.Close())
}

// An end in order is told from a connection that was cut.
func TestTLS_DisconnectsInOrder(t *testing.T) {
	t.Parallel()
	server, client := certificate(t)
	pull, push := socket.NewPull(socket.WithTLS(server)), socket.NewPush(socket.WithTLS(client))
	closing(t, pull)
	await := watch(t, pull)
	require.NoError(t, push.Connect(bind(t, pull, tlsAnywhere)))
	send(t, push, "last")
	requireMsg(t, recv(t, pull), "last")
	require.NoError(t, push.Close())
	assert.NoError(t, await(socket.Disconnected).Err)
}

// A peer that reads nothing cannot keep Close.
func TestTLS_CloseWithStalledPeer(t *testing.T) {
	t.Parallel()
	server, client := certificate(t)
	pull := socket.NewPull(socket.WithTLS(server), socket.WithRecvHWM(1), socket.WithRecvHWMBytes(1))
	closing(t, pull)
	endpoint := bind(t, pull, tlsAnywhere)
	shortest := time.Hour
	for range 3 { // the machine may hold up one of them
		push := socket.NewPush(socket.WithTLS(client), socket.WithLinger(10*time.Millisecond), socket.WithSendHWM(100))
		require.NoError(t, push.Connect(endpoint))
		require.NoError(t, push.WaitPeers(limit(t), 1))
		fill(t, push, 1<<20)
		began := time.Now()
		require.ErrorContains(t, push.Close(), "messages were not sent")
		shortest = min(shortest, time.Since(began))
	}
	assert.Less(t, shortest, 4*time.Second, "crypto/tls alone would take five")
}

// What goes wrong between two sides is said by both, as far as either can know it.
func TestTLS_Refusals(t *testing.T) {
	t.Parallel()
	ca, other := transporttest.NewAuthority(t), transporttest.NewAuthority(t)
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	elsewhere := func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)} }
	bare := &tls.Config{RootCAs: ca.Pool()}
	for _, test := range []struct {
		name           string
		server, client *tls.Config
		binder, dialer string // what they say; empty: not checked
	}{
		{"expired server", ca.Mutual("s", expired), ca.Mutual("c"), "certificate", "expired"},
		{"expired client", ca.Mutual("s"), ca.Mutual("c", expired), "expired", "the peer refuses"},
		{"server of another authority", other.Mutual("s"), ca.Mutual("c"), "the peer refuses", "unknown authority"},
		{"server for another host", ca.Mutual("s", elsewhere), ca.Mutual("c"), "the peer refuses", "127.0.0.2"},
		{"no client certificate", ca.Mutual("s"), bare, "client didn't provide a certificate", "certificate required"},
		{"client of another authority", ca.Mutual("s"), &tls.Config{Certificates: other.Mutual("c").Certificates, RootCAs: ca.Pool()}, "", "the peer refuses"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			pull, push := socket.NewPull(socket.WithTLS(test.server)), socket.NewPush(socket.WithTLS(test.client), swift())
			closing(t, pull, push)
			here, there := watch(t, pull), watch(t, push)
			require.NoError(t, push.Connect(bind(t, pull, tlsAnywhere)))
			for side, problem := range map[*socket.Event]string{new(here(socket.HandshakeFailed)): test.binder, new(there(socket.HandshakeFailed)): test.dialer} {
				require.ErrorIs(t, side.Err, transport.ErrTLS)
				assert.ErrorContains(t, side.Err, problem)
				assert.Equal(t, socket.RefusedTLS, side.Refusal)
			}
			assert.NotZero(t, pull.Stats().Refused[socket.RefusedTLS])
			assert.Zero(t, pull.Stats().MessagesIn)
		})
	}
}

// Whoever is at the other end has a certificate of its own making, with names that are meant for the terminal of who reads the log, or to fill it.
func TestTLS_ForgedNames(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{{"\x1b[2Jevil\r\nforged line"}, {strings.Repeat("a", 50_000)}} {
		pair := transporttest.NewAuthority(t).Issue("", func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, names })
		ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
		require.NoError(t, err)
		defer ln.Close()
		push := socket.NewPush(socket.WithTLS(transporttest.NewAuthority(t).Mutual("c")), socket.WithoutReconnect())
		closing(t, push)
		failed := watch(t, push)
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		require.NoError(t, push.Connect("tls+tcp://localhost:"+port))
		conn, err := ln.Accept()
		require.NoError(t, err)
		defer conn.Close()
		require.Error(t, conn.(*tls.Conn).Handshake())
		e := failed(socket.HandshakeFailed)
		require.ErrorIs(t, e.Err, transport.ErrTLS)
		assert.ErrorContains(t, e.Err, "certificate is valid for")
		for _, shown := range []string{e.Err.Error(), e.String()} {
			assert.NotContains(t, shown, "\n")
			assert.NotContains(t, shown, "\x1b")
			assert.Less(t, len(shown), 500)
		}
		assert.Equal(t, map[socket.Refusal]uint64{socket.RefusedTLS: 1}, push.Stats().Refused)
	}
}

// TLS 1.1 is refused even where the configuration would have it.
func TestTLS_OldVersion(t *testing.T) {
	t.Parallel()
	server, client := certificate(t)
	server.MinVersion, server.CipherSuites = tls.VersionTLS10, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	chooser := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return server, nil }}
	for name, config := range map[string]*tls.Config{"fixed": server, "chosen": chooser} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pull := socket.NewPull(socket.WithTLS(config))
			closing(t, pull)
			failed := watch(t, pull)
			old := client.Clone()
			old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			_, err := tls.Dial("tcp", hostPort(bind(t, pull, tlsAnywhere)), old)
			require.ErrorContains(t, err, "protocol version")
			assert.ErrorContains(t, failed(socket.HandshakeFailed).Err, "unsupported versions")
		})
	}
}

func hostPort(endpoint string) string {
	_, address, _ := strings.Cut(endpoint, "://")
	return address
}

// Whoever speaks something else is told apart at once, on both sides, not by the handshake's time limit.
func TestTLS_OtherProtocols(t *testing.T) {
	t.Parallel()
	server, client := certificate(t)
	for _, test := range []struct{ name, bind, scheme, binder, dialer string }{
		{"tcp to tls", tlsAnywhere, "tcp", "this is ZMTP, not TLS", "this is TLS"},
		{"tls to tcp", "tcp://127.0.0.1:0", "tls+tcp", "this is TLS", "this is ZMTP, not TLS"},
		{"ws to tls", tlsAnywhere, "ws", "this is HTTP, not TLS", ""},
		{"tls to ws", "ws://127.0.0.1:0", "tls+tcp", "", "not TLS"},
		{"wss to tls", tlsAnywhere, "wss", "this is HTTP", ""},
		{"tls to wss", "wss://127.0.0.1:0", "tls+tcp", "", "HTTP"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			pull, push := socket.NewPull(socket.WithTLS(server)), socket.NewPush(socket.WithTLS(client), swift())
			closing(t, pull, push)
			here, there := watch(t, pull), watch(t, push)
			address := hostPort(bind(t, pull, test.bind))
			require.NoError(t, push.Connect(test.scheme+"://"+address))
			assert.ErrorContains(t, here(socket.HandshakeFailed).Err, test.binder)
			assert.ErrorContains(t, there(socket.HandshakeFailed).Err, test.dialer)
		})
	}
}

// A client that says nothing, half of a hello or a server name of 10 KiB keeps nobody else waiting, and not for ever.
func TestTLS_HostileClients(t *testing.T) {
	t.Parallel()
	server, client := certificate(t)
	for _, test := range []struct {
		name    string
		say     func(conn net.Conn)
		problem string
	}{
		{"silent", func(net.Conn) {}, "no handshake within WithHandshakeTimeout"},
		{"half a hello", func(conn net.Conn) { conn.Write(text("\x16\x03\x01\x02\x00\x01\x00\x01")) }, "no handshake within WithHandshakeTimeout"},
		{"hello too large", func(conn net.Conn) { conn.Write(text("\x16\x03\x01\xff\xff" + strings.Repeat("x", 1<<16))) }, "oversized"},
		{"server name of 10 KiB", func(conn net.Conn) {
			long := client.Clone()
			long.ServerName = strings.Repeat("x.", 5<<10) + "example"
			_ = tls.Client(conn, long).Handshake()
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			patience := sockettest.Timeout
			if strings.Contains(test.problem, "WithHandshakeTimeout") {
				patience = 300 * time.Millisecond
			}
			pull := socket.NewPull(socket.WithTLS(server), socket.WithHandshakeTimeout(patience))
			push := socket.NewPush(socket.WithTLS(client), swift())
			closing(t, pull, push)
			failed := watch(t, pull)
			endpoint := bind(t, pull, tlsAnywhere)
			hostile, err := net.Dial("tcp", hostPort(endpoint))
			require.NoError(t, err)
			defer hostile.Close()
			test.say(hostile)
			assert.ErrorContains(t, failed(socket.HandshakeFailed).Err, test.problem)
			require.NoError(t, push.Connect(endpoint))
			send(t, push, "hello")
			requireMsg(t, recv(t, pull), "hello")
		})
	}
}

// STREAM sockets carry any bytes under TLS, too.
func TestTLS_Stream(t *testing.T) {
	t.Parallel()
	ca := transporttest.NewAuthority(t)
	stream := socket.NewStream(socket.WithTLS(ca.Mutual("server.example")))
	closing(t, stream)
	conn, err := tls.Dial("tcp", hostPort(bind(t, stream, tlsAnywhere)), ca.Mutual("client.example"))
	require.NoError(t, err)
	defer conn.Close()
	m := recv(t, stream)
	assert.Equal(t, "client.example", m.Peer().TLSName())
	_, err = io.WriteString(conn, "GET /")
	require.NoError(t, err)
	assert.Equal(t, "GET /", recv(t, stream).String())
	require.NoError(t, stream.Send(limit(t), m.Frames[0], text("200")))
	got := make([]byte, 3)
	_, err = io.ReadFull(conn, got)
	require.NoError(t, err)
	assert.Equal(t, "200", string(got))
}

// Certificates and authorities are replaced while both sockets are in use.
func TestTLSFiles_Reload(t *testing.T) {
	t.Parallel()
	here, there := t.TempDir(), t.TempDir()
	before, after := transporttest.NewAuthority(t), transporttest.NewAuthority(t)
	var trouble atomic.Value
	pull := socket.NewPull(socket.WithTLSFiles(before.Files(here, "server.example")), socket.WithEventHandler(func(e socket.Event) {
		if e.Kind == socket.ReloadFailed {
			trouble.Store(e.Err.Error())
		}
	}))
	closing(t, pull)
	endpoint := bind(t, pull, tlsAnywhere)
	connect := func(opt socket.Option) (*socket.Push, func(socket.EventKind) socket.Event) {
		push := socket.NewPush(opt, swift())
		t.Cleanup(func() { push.Close() })
		await := watch(t, push)
		require.NoError(t, push.Connect(endpoint))
		return push, await
	}
	first, _ := connect(socket.WithTLSFiles(before.Files(there, "first.example")))
	send(t, first, "one")
	assert.Equal(t, "first.example", recv(t, pull).Peer().TLSName())

	second, await := connect(socket.WithTLSFiles(after.Files(t.TempDir(), "second.example")))
	require.ErrorIs(t, await(socket.HandshakeFailed).Err, transport.ErrTLS)
	after.Files(here, "server.example")
	send(t, second, "two")
	assert.Equal(t, "second.example", recv(t, pull).Peer().TLSName())
	send(t, first, "three")
	assert.Equal(t, "first.example", recv(t, pull).Peer().TLSName(), "connections that are there stay")

	// Files that do not go together change nothing.
	require.NoError(t, os.WriteFile(filepath.Join(here, "cert.pem"), text("rubbish"), 0o600))
	require.Eventually(t, func() bool {
		third, _ := connect(socket.WithTLSFiles(after.Files(t.TempDir(), "third.example")))
		send(t, third, "four")
		assert.Equal(t, "third.example", recv(t, pull).Peer().TLSName())
		return trouble.Load() != nil
	}, 20*time.Second, 50*time.Millisecond)
	assert.Contains(t, trouble.Load(), "cert.pem")
}

func TestTLSFiles_Certificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := transporttest.NewAuthority(t)
	cert, key, _ := ca.Files(dir, "one.example")
	files, err := socket.CertificateFiles(cert, key)
	require.NoError(t, err)
	one, err := files.GetCertificate(nil)
	require.NoError(t, err)
	ca.Files(dir, "two.example")
	require.Eventually(t, func() bool {
		two, err := files.GetClientCertificate(nil)
		return err == nil && two.Leaf.DNSNames[0] == "two.example" && !bytes.Equal(one.Certificate[0], two.Certificate[0])
	}, sockettest.Timeout, 10*time.Millisecond)
	require.NoError(t, files.Err())
	require.NoError(t, os.Remove(key))
	require.Eventually(t, func() bool { return files.Err() != nil }, sockettest.Timeout, 10*time.Millisecond)
	still, err := files.GetCertificate(nil)
	require.NoError(t, err)
	assert.Equal(t, "two.example", still.Leaf.DNSNames[0])
}

func TestTLS_Options(t *testing.T) {
	t.Parallel()
	ca := transporttest.NewAuthority(t)
	cert, key, caFile := ca.Files(t.TempDir(), "x")
	oldCert, oldKey, _ := ca.Files(t.TempDir(), "x", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	open := filepath.Join(t.TempDir(), "open.key")
	secret, err := os.ReadFile(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(open, secret, 0o644))
	anybodys := filepath.Join(t.TempDir(), "ca.pem")
	authority, err := os.ReadFile(caFile)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(anybodys, authority, 0o600))
	require.NoError(t, os.Chmod(anybodys, 0o666))
	for _, test := range []struct {
		problem string
		opts    []socket.Option
	}{
		{"WithTLS and WithTLSFiles exclude", []socket.Option{socket.WithTLS(&tls.Config{}), socket.WithTLSFiles(cert, key, caFile)}},
		{"want TLS 1.2 or later", []socket.Option{socket.WithTLS(&tls.Config{MaxVersion: tls.VersionTLS11})}},
		{"want a certificate and its key", []socket.Option{socket.WithTLSFiles(cert, "", caFile)}},
		{"want a certificate with its key", []socket.Option{socket.WithTLSFiles("", "", "")}},
		{"no such file", []socket.Option{socket.WithTLSFiles(cert, key+"x", caFile)}},
		{"holds no certificate", []socket.Option{socket.WithTLSFiles(cert, key, key)}},
		{"private key does not match", []socket.Option{socket.WithTLSFiles(caFile, key, "")}},
		{"expired on", []socket.Option{socket.WithTLSFiles(oldCert, oldKey, "")}},
		{"open to everybody on this host (mode 0644)", []socket.Option{socket.WithTLSFiles(cert, open, "")}},
		{"may be written by everybody on this host (mode 0666)", []socket.Option{socket.WithTLSFiles(cert, key, anybodys)}},
		{"no regular file", []socket.Option{socket.WithTLSFiles(cert, key, filepath.Dir(caFile))}},
		{"no regular file", []socket.Option{socket.WithTLSFiles(filepath.Dir(cert), key, caFile)}},
	} {
		_, err := socket.NewPull(test.opts...).Bind(tlsAnywhere)
		assert.ErrorIs(t, err, socket.ErrOption, test.problem)
		assert.ErrorContains(t, err, test.problem)
	}
	for _, opt := range []socket.Option{swift(), socket.WithTLSFiles("", "", caFile)} {
		_, err = socket.NewPull(opt).Bind(tlsAnywhere)
		assert.ErrorContains(t, err, "needs a certificate")
	}
}
