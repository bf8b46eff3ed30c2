package socket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

func TestNetOptions_Impossible(t *testing.T) {
	t.Parallel()
	for problem, opt := range map[string]socket.Option{
		"WithDialer(nil)":                             socket.WithDialer(nil),
		`WithSOCKS5("proxy")`:                         socket.WithSOCKS5("proxy", "", ""),
		`WithSOCKS5(":1080")`:                         socket.WithSOCKS5(":1080", "", ""),
		"neither":                                     socket.WithSOCKS5("proxy:1080", "user", ""),
		"user and password of 1 to 255":               socket.WithSOCKS5("proxy:1080", "user", string(make([]byte, 256))),
		"WithSocketBuffers(-1, 0)":                    socket.WithSocketBuffers(-1, 0),
		"WithBacklog(-1)":                             socket.WithBacklog(-1),
		"WithControl(nil)":                            socket.WithControl(nil),
		"WithTLS(nil)":                                socket.WithTLS(nil),
		"WithAcceptFilter(nil)":                       socket.WithAcceptFilter(nil),
		"WithAcceptFrom(): want at least one network": socket.WithAcceptFrom(),
		`WithAcceptFrom("10.0.0.0/33")`:               socket.WithAcceptFrom("127.0.0.1", "10.0.0.0/33"),
		`WithAcceptFrom("localhost")`:                 socket.WithAcceptFrom("localhost"),
		`WithOrigins("example.com")`:                  socket.WithOrigins("*", "example.com"),
		`WithOrigins("https://example.com/path")`:     socket.WithOrigins("https://example.com/path"),
	} {
		_, err := socket.NewPush(opt).Bind("tcp://127.0.0.1:0")
		require.ErrorIs(t, err, socket.ErrOption, problem)
		assert.ErrorContains(t, err, problem)
	}
}

func TestAcceptFilter(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"tcp://127.0.0.1:0", "ws://127.0.0.1:0", "ipc://*", "inproc://filtered"} {
		t.Run(endpoint, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			pull, push := socket.NewPull(socket.WithAcceptFilter(func(from socket.Candidate) error {
				assert.NotNil(t, from.Address)
				if asked.Add(1) == 1 {
					return errors.New("not the first one")
				}
				return nil
			})), socket.NewPush(swift())
			closing(t, pull, push)
			refused := watch(t, pull)
			real := bind(t, pull, endpoint)
			require.NoError(t, push.Connect(real))
			e := refused(socket.HandshakeFailed)
			assert.ErrorIs(t, e.Err, socket.ErrRefused)
			assert.ErrorContains(t, e.Err, "not the first one")
			assert.Equal(t, real, e.Endpoint)
			require.NotNil(t, e.Peer)
			send(t, push, "second")
			requireMsg(t, recv(t, pull), "second")
			assert.Equal(t, int32(2), asked.Load())
		})
	}
}

// A filter that takes its time keeps only its own connection waiting.
func TestAcceptFilter_SlowForOne(t *testing.T) {
	t.Parallel()
	slow := make(chan struct{})
	var asked atomic.Int32
	pull := socket.NewPull(socket.WithAcceptFilter(func(socket.Candidate) error {
		if asked.Add(1) == 1 {
			<-slow
		}
		return nil
	}))
	first, second := socket.NewPush(), socket.NewPush()
	closing(t, pull, first, second)
	t.Cleanup(func() { close(slow) })
	endpoint := bind(t, pull, "tcp://127.0.0.1:0")
	require.NoError(t, first.Connect(endpoint))
	require.Eventually(t, func() bool { return asked.Load() == 1 }, sockettest.Timeout, time.Millisecond)
	require.NoError(t, second.Connect(endpoint))
	send(t, second, "hello")
	requireMsg(t, recv(t, pull), "hello")
}

func TestAcceptFrom(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		networks []string
		accepted bool
	}{
		{[]string{"127.0.0.0/8"}, true},
		{[]string{"192.0.2.0/24", "127.0.0.1"}, true},
		{[]string{"::1", "::ffff:127.0.0.1"}, true},
		{[]string{"192.0.2.0/24", "fd00::/8"}, false},
	} {
		t.Run(fmt.Sprint(test.networks), func(t *testing.T) {
			t.Parallel()
			pull, push := socket.NewPull(socket.WithAcceptFrom(test.networks...)), socket.NewPush(swift())
			closing(t, pull, push)
			events := watch(t, pull)
			require.NoError(t, push.Connect(bind(t, pull, "tcp://127.0.0.1:0")))
			if test.accepted {
				events(socket.Connected)
				return
			}
			e := events(socket.HandshakeFailed)
			assert.ErrorIs(t, e.Err, socket.ErrRefused)
			assert.ErrorContains(t, e.Err, "127.0.0.1 is in none of [192.0.2.0/24 fd00::/8]")
		})
	}
}

func TestDialer(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"tcp", "ws"} {
		pull := socket.NewPull()
		asked := make(chan string, 100)
		var attempts atomic.Int32
		push := socket.NewPush(swift(), socket.WithDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			asked <- network + " " + address
			switch attempts.Add(1) {
			case 1:
				return nil, errors.New("not yet")
			case 2:
				return nil, nil
			}
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		}))
		closing(t, pull, push)
		retries := watch(t, push)
		_, port, err := net.SplitHostPort(bind(t, pull, scheme+"://127.0.0.1:0")[len(scheme+"://"):])
		require.NoError(t, err)
		require.NoError(t, push.Connect(scheme+"://no-such-host.invalid:"+port))
		assert.ErrorContains(t, retries(socket.Retrying).Err, "not yet")
		assert.ErrorContains(t, retries(socket.Retrying).Err, "neither a connection nor an error")
		send(t, push, "through")
		requireMsg(t, recv(t, pull), "through")
		assert.Equal(t, "tcp no-such-host.invalid:"+port, <-asked, "the name is the dialer's to resolve")
	}
}

// A host name is resolved at each attempt: the dialer sees it every time, and so does the resolver behind it.
func TestDialer_EachAttempt(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 100)
	push := socket.NewPush(swift(), socket.WithDialer(func(_ context.Context, _, address string) (net.Conn, error) {
		select {
		case asked <- address:
		default:
		}
		return nil, errors.New("no")
	}))
	closing(t, push)
	require.NoError(t, push.Connect("tcp://moving.invalid:5"))
	for range 3 {
		assert.Equal(t, "moving.invalid:5", <-asked)
	}
}

// socks is a SOCKS5 proxy that knows a name and a user; it says what it was asked for.
func socks(t *testing.T, user string, hosts map[string]string) (address string, asked <-chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	names := make(chan string, 100)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				name, err := proxied(conn, user, hosts)
				if err == nil {
					names <- name
				}
			}()
		}
	}()
	return ln.Addr().String(), names
}

// proxied speaks RFC 1928 and 1929 with a client and carries its bytes until either side ends.
func proxied(conn net.Conn, user string, hosts map[string]string) (name string, err error) {
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, e := io.ReadFull(conn, b); e != nil && err == nil {
			err = e
		}
		return b
	}
	write := func(b ...byte) { _, _ = conn.Write(b) }
	read(int(read(2)[1]))
	if user == "" {
		write(5, 0)
	} else {
		write(5, 2)
		got := read(int(read(2)[1]))
		read(int(read(1)[0]))
		if string(got) != user {
			write(1, 1)
			return "", errors.New("no such user")
		}
		write(1, 0)
	}
	head := read(5)
	name = string(read(int(head[4])))
	port := read(2)
	if err != nil {
		return "", err
	}
	host, known := hosts[name]
	if !known {
		write(5, 4, 0, 1, 0, 0, 0, 0, 0, 0) // host unreachable
		return "", errors.New("unknown host")
	}
	target, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(int(port[0])<<8|int(port[1]))))
	if err != nil {
		return "", err
	}
	defer target.Close()
	write(5, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	go func() {
		_, _ = io.Copy(target, conn)
		_ = target.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(conn, target)
	return name, nil
}

func TestSOCKS5(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"", "joe"} {
		proxy, asked := socks(t, user, map[string]string{"hidden.invalid": "127.0.0.1"})
		opt := socket.WithSOCKS5(proxy, user, user)
		pull, push := socket.NewPull(), socket.NewPush(opt, swift())
		closing(t, pull)
		_, port, err := net.SplitHostPort(bind(t, pull, "tcp://127.0.0.1:0")[len("tcp://"):])
		require.NoError(t, err)
		require.NoError(t, push.Connect("tcp://hidden.invalid:"+port))
		send(t, push, "hello")
		requireMsg(t, recv(t, pull), "hello")
		require.NoError(t, push.Close())
		assert.Equal(t, "hidden.invalid", <-asked)
	}
}

func TestSOCKS5_Problems(t *testing.T) {
	t.Parallel()
	proxy, _ := socks(t, "joe", nil)
	for _, test := range []struct {
		opt     socket.Option
		problem string
	}{
		{socket.WithSOCKS5(proxy, "joe", "x"), "proxy " + proxy + ": "},
		{socket.WithSOCKS5(proxy, "eve", "x"), "username/password authentication failed"},
		{socket.WithSOCKS5("127.0.0.1:1", "", ""), "connection refused"}, // nobody may listen there
	} {
		push := socket.NewPush(test.opt)
		closing(t, push)
		retries := watch(t, push)
		require.NoError(t, push.Connect("tcp://unknown.invalid:5"))
		assert.ErrorContains(t, retries(socket.Retrying).Err, test.problem)
	}
}

func TestControl_BothSides(t *testing.T) {
	t.Parallel()
	var bound, dialled atomic.Int32
	count := func(n *atomic.Int32) socket.Option {
		return socket.WithControl(func(network, address string, conn syscall.RawConn) error {
			n.Add(1)
			return conn.Control(func(uintptr) {})
		})
	}
	pull, push := socket.NewPull(count(&bound)), socket.NewPush(count(&dialled))
	closing(t, pull, push)
	require.NoError(t, push.Connect(bind(t, pull, "tcp://127.0.0.1:0")))
	require.NoError(t, push.WaitPeers(limit(t), 1))
	assert.Equal(t, int32(1), bound.Load())
	assert.Equal(t, int32(1), dialled.Load())

	failing := socket.NewPull(socket.WithControl(func(string, string, syscall.RawConn) error { return assert.AnError }))
	closing(t, failing)
	_, err := failing.Bind("tcp://127.0.0.1:0")
	assert.ErrorIs(t, err, assert.AnError)
}

func TestPeer_Credentials(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"ipc://*", "tcp://127.0.0.1:0"} {
		var candidate atomic.Pointer[socket.Credentials]
		pull, push := socket.NewPull(socket.WithAcceptFilter(func(from socket.Candidate) error {
			candidate.Store(from.Credentials)
			return nil
		})), socket.NewPush()
		closing(t, pull, push)
		require.NoError(t, push.Connect(bind(t, pull, endpoint)))
		send(t, push, "hello")
		who, known := recv(t, pull).Peer().Credentials()
		if endpoint != "ipc://*" || runtime.GOOS != "linux" {
			assert.False(t, known)
			assert.Nil(t, candidate.Load())
			continue
		}
		require.True(t, known)
		assert.Equal(t, socket.Credentials{UID: syscall.Geteuid(), GID: syscall.Getegid(), PID: syscall.Getpid()}, who)
		assert.Equal(t, who, *candidate.Load())
	}
}
