package socket_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// certificate returns the TLS configurations of a server at 127.0.0.1 and of a client that trusts it.
func certificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: roots}
}

// web runs a test over ws and over wss, with the options that each side needs for it.
func web(t *testing.T, test func(t *testing.T, endpoint string, server, client socket.Option)) {
	t.Run("ws", func(t *testing.T) {
		t.Parallel()
		test(t, "ws://127.0.0.1:0/zeromq", socket.WithMaxPeers(0), socket.WithMaxPeers(0))
	})
	t.Run("wss", func(t *testing.T) {
		t.Parallel()
		server, client := certificate(t)
		test(t, "wss://127.0.0.1:0/zeromq", socket.WithTLS(server), socket.WithTLS(client))
	})
}

func TestWS_PushPullInOrderAllSizes(t *testing.T) {
	t.Parallel()
	web(t, func(t *testing.T, endpoint string, server, client socket.Option) {
		push, pull := socket.NewPush(client), socket.NewPull(server)
		closing(t, push, pull)
		require.NoError(t, push.Connect(bind(t, pull, endpoint)))
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { numbered(t, push, 0, 5000, 8) })
		for i := range 5000 {
			require.Equal(t, i, ordinalOf(recv(t, pull)))
		}
		for _, size := range []int{0, 1, 124, 125, 126, 254, 255, 256, 65534, 65535, 65536, 1 << 20} {
			body := make([]byte, size)
			rand.Read(body)
			wg.Go(func() { assert.NoError(t, push.Send(limit(t), text("head"), body, nil)) })
			require.Equal(t, [][]byte{text("head"), body, {}}, recv(t, pull).Frames)
		}
	})
}

func TestWS_ReqRep(t *testing.T) {
	t.Parallel()
	web(t, func(t *testing.T, endpoint string, server, client socket.Option) {
		req, rep := socket.NewReq(client), socket.NewRep(server)
		closing(t, req, rep)
		require.NoError(t, req.Connect(bind(t, rep, endpoint)))
		var wg sync.WaitGroup
		wg.Go(func() {
			for m, err := range rep.Messages(context.Background()) {
				if err != nil || rep.Send(context.Background(), m.Frames...) != nil {
					return
				}
			}
		})
		for i := range 200 {
			m, err := req.Request(limit(t), fmt.Append(nil, i), nil)
			require.NoError(t, err)
			requireMsg(t, m, fmt.Sprint(i), "")
		}
		rep.Close()
		wg.Wait()
	})
}

// The publisher binds in one half and connects in the other: subscriptions go either way.
func TestWS_PubSub(t *testing.T) {
	t.Parallel()
	web(t, func(t *testing.T, endpoint string, server, client socket.Option) {
		for _, binds := range []bool{true, false} {
			pub, sub := socket.NewPub(server), socket.NewSub(client)
			var binder, connecter connector = pub, sub
			if !binds {
				pub, sub = socket.NewPub(client), socket.NewSub(server)
				binder, connecter = sub, pub
			}
			closing(t, pub, sub)
			require.NoError(t, sub.Subscribe("a", "b"))
			require.NoError(t, connecter.Connect(bind(t, binder, endpoint)))
			require.NoError(t, pub.WaitSubscribers(limit(t), "a", 1))
			require.NoError(t, pub.WaitSubscribers(limit(t), "b", 1))
			send(t, pub, "c1", "no")
			send(t, pub, "a1", "yes")
			requireMsg(t, recv(t, sub), "a1", "yes")
			require.NoError(t, sub.Unsubscribe("a"))
			require.NoError(t, sub.Subscribe("z"))
			require.NoError(t, pub.WaitSubscribers(limit(t), "z", 1))
			send(t, pub, "a2", "no")
			send(t, pub, "b2", "yes")
			requireMsg(t, recv(t, sub), "b2", "yes")
		}
	})
}

func TestWS_Reconnects(t *testing.T) {
	t.Parallel()
	web(t, func(t *testing.T, endpoint string, server, client socket.Option) {
		router, dealer := socket.NewRouter(server), socket.NewDealer(client, swift(), socket.WithIdentity("d"))
		closing(t, dealer)
		endpoint = bind(t, router, endpoint)
		require.NoError(t, dealer.Connect(endpoint))
		for i := range 3 {
			send(t, dealer, fmt.Sprint(i))
			requireMsg(t, recv(t, router), "d", fmt.Sprint(i))
			send(t, router, "d", "answer")
			requireMsg(t, recv(t, dealer), "answer")
			require.NoError(t, router.Close())
			router = socket.NewRouter(server)
			require.Equal(t, endpoint, bind(t, router, endpoint), "the address is free at once")
		}
		require.NoError(t, router.Close())
	})
}

// A peer that is silent is asked by WebSocket's own ping, since a peer over ws speaks ZMTP 3.0.
func TestWS_Heartbeats(t *testing.T) {
	t.Parallel()
	pull, push := socket.NewPull(socket.WithHeartbeat(20*time.Millisecond, 5*time.Second)), socket.NewPush(socket.WithHeartbeat(0, 0))
	closing(t, pull, push)
	require.NoError(t, push.Connect(bind(t, pull, "ws://127.0.0.1:0")))
	require.NoError(t, pull.WaitPeers(limit(t), 1))
	require.Eventually(t, func() bool { return pull.Stats().Peers[0].LastRTT > 0 }, sockettest.Timeout, time.Millisecond)
}

func TestWS_WrongEndpoints(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull()
	closing(t, pull)
	_, err := pull.Bind("wss://127.0.0.1:0")
	assert.ErrorContains(t, err, "certificate")
	_, err = pull.Bind("ws://127.0.0.1:0/a b")
	assert.ErrorIs(t, err, socket.ErrEndpoint)
	assert.ErrorContains(t, pull.Connect("wsx://127.0.0.1:1"), "known are tcp, tls+tcp, ipc, inproc, ws and wss")
}

// What else may be at the other end: each is told apart at once, not by the handshake's time limit.
func TestWS_OtherPeers(t *testing.T) {
	t.Parallel()
	server, _ := certificate(t)
	for _, test := range []struct{ name, bind, scheme, problem string }{
		{"tcp to ws", "ws://127.0.0.1:0", "tcp", "this is HTTP"},
		{"ws to tcp", "tcp://127.0.0.1:0", "ws", "ZMTP without WebSocket"},
		{"ws to wss", "wss://127.0.0.1:0", "ws", "closed the connection"},
		{"wss to ws", "ws://127.0.0.1:0", "wss", "TLS"},
		{"other path", "ws://127.0.0.1:0/here", "ws", "404 Not Found"},
		{"unknown certificate", "wss://127.0.0.1:0", "wss", "certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			pull, push := socket.NewPull(socket.WithTLS(server)), socket.NewPush(swift())
			closing(t, pull, push)
			failed := watch(t, push)
			_, address, _ := strings.Cut(bind(t, pull, test.bind), "://")
			address, _, _ = strings.Cut(address, "/")
			require.NoError(t, push.Connect(test.scheme+"://"+address))
			assert.ErrorContains(t, failed(socket.HandshakeFailed).Err, test.problem)
		})
	}
}

// A client that says nothing keeps nobody waiting, and not for ever.
func TestWS_SilentClient(t *testing.T) {
	t.Parallel()
	web(t, func(t *testing.T, endpoint string, server, client socket.Option) {
		pull, push := socket.NewPull(server, socket.WithHandshakeTimeout(200*time.Millisecond)), socket.NewPush(client)
		closing(t, pull, push)
		failed := watch(t, pull)
		endpoint = bind(t, pull, endpoint)
		_, address, _ := strings.Cut(strings.TrimSuffix(endpoint, "/zeromq"), "://")
		silent, err := net.Dial("tcp", address)
		require.NoError(t, err)
		defer silent.Close()
		require.NoError(t, push.Connect(endpoint))
		send(t, push, "hello")
		requireMsg(t, recv(t, pull), "hello")
		assert.ErrorContains(t, failed(socket.HandshakeFailed).Err, "no handshake within WithHandshakeTimeout")
		_, err = io.Copy(io.Discard, silent)
		assert.NoError(t, err)
	})
}

// A peer that reads nothing cannot keep Close.
func TestWS_CloseWithStalledPeer(t *testing.T) {
	t.Parallel()
	web(t, func(t *testing.T, endpoint string, server, client socket.Option) {
		pull := socket.NewPull(server, socket.WithRecvHWM(1), socket.WithRecvHWMBytes(1))
		push := socket.NewPush(client, socket.WithLinger(10*time.Millisecond), socket.WithSendHWM(100))
		closing(t, pull)
		require.NoError(t, push.Connect(bind(t, pull, endpoint)))
		require.NoError(t, push.WaitPeers(limit(t), 1))
		fill(t, push, 1<<20)
		began := time.Now()
		require.ErrorContains(t, push.Close(), "messages were not sent")
		assert.Less(t, time.Since(began), 10*time.Second)
	})
}
