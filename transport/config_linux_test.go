package transport_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/meshmq/meshmq/transport"
)

// joined returns both ends of a connection that config makes.
func joined(t *testing.T, config *transport.Config, endpoint string) (dialled, accepted net.Conn) {
	t.Helper()
	e, err := transport.ParseBind(endpoint)
	require.NoError(t, err)
	ln, err := config.Listen(context.Background(), e)
	require.NoError(t, err)
	defer ln.Close()
	e, err = transport.ParseConnect(ln.Endpoint())
	require.NoError(t, err)
	dialled, err = config.Dial(context.Background(), e)
	require.NoError(t, err)
	t.Cleanup(func() { dialled.Close() })
	accepted, err = ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { accepted.Close() })
	return dialled, accepted
}

// sockopt asks the system.
func sockopt(t *testing.T, conn net.Conn, level, option int) (value int) {
	t.Helper()
	raw, err := conn.(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { value, err = syscall.GetsockoptInt(int(fd), level, option) }))
	require.NoError(t, err)
	return value
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		config                 *net.KeepAliveConfig
		on, idle, pause, count int
	}{
		{nil, 1, 30, 10, 3},
		{&net.KeepAliveConfig{Enable: true, Idle: 7 * time.Second, Interval: 5 * time.Second, Count: 2}, 1, 7, 5, 2},
		{&net.KeepAliveConfig{}, 0, 0, 0, 0},
	} {
		a, b := joined(t, &transport.Config{KeepAlive: test.config}, "tcp://127.0.0.1:0")
		for _, conn := range []net.Conn{a, b} {
			assert.Equal(t, test.on, sockopt(t, conn, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE))
			if test.on == 1 {
				assert.Equal(t, test.idle, sockopt(t, conn, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE))
				assert.Equal(t, test.pause, sockopt(t, conn, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL))
				assert.Equal(t, test.count, sockopt(t, conn, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT))
			}
		}
	}
}

// Linux doubles what it is asked for.
func TestSocketBuffers(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"tcp://127.0.0.1:0", "ipc://*"} {
		a, b := joined(t, &transport.Config{SendBuffer: 20_000, RecvBuffer: 30_000}, endpoint)
		for _, conn := range []net.Conn{a, b} {
			assert.Equal(t, 40_000, sockopt(t, conn, syscall.SOL_SOCKET, syscall.SO_SNDBUF), endpoint)
			assert.Equal(t, 60_000, sockopt(t, conn, syscall.SOL_SOCKET, syscall.SO_RCVBUF), endpoint)
		}
	}
}

// A Unix socket's buffer does not grow by itself: without more, a large message would take several turns.
func TestSocketBuffers_OfIPCHoldLargeMessages(t *testing.T) {
	t.Parallel()
	plain, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer syscall.Close(plain)
	usual, err := syscall.GetsockoptInt(plain, syscall.SOL_SOCKET, syscall.SO_SNDBUF)
	require.NoError(t, err)
	limit, err := os.ReadFile("/proc/sys/net/core/wmem_max")
	require.NoError(t, err)
	most, err := strconv.Atoi(strings.TrimSpace(string(limit)))
	require.NoError(t, err)
	a, b := joined(t, &transport.Config{}, "ipc://*")
	for _, conn := range []net.Conn{a, b} {
		assert.Equal(t, 2*min(512<<10, most), sockopt(t, conn, syscall.SOL_SOCKET, syscall.SO_SNDBUF))
	}
	a, b = joined(t, &transport.Config{Control: func(string, string, syscall.RawConn) error { return nil }}, "ipc://*")
	for _, conn := range []net.Conn{a, b} {
		assert.Equal(t, usual, sockopt(t, conn, syscall.SOL_SOCKET, syscall.SO_SNDBUF), "who has a Control has the say")
	}
}

// The window that is offered first fits a small buffer: what the peer sends beyond it would be dropped, and sent again after a pause.
func TestSocketBuffers_FirstWindow(t *testing.T) {
	t.Parallel()
	controlled := false
	for _, control := range []func(string, string, syscall.RawConn) error{
		nil,
		func(string, string, syscall.RawConn) error { controlled = true; return nil },
	} {
		a, b := joined(t, &transport.Config{RecvBuffer: 8_000, Control: control}, "tcp://127.0.0.1:0")
		for _, conn := range []net.Conn{a, b} {
			raw, err := conn.(syscall.Conn).SyscallConn()
			require.NoError(t, err)
			var info *unix.TCPInfo
			require.NoError(t, raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO) }))
			require.NoError(t, err)
			assert.NotZero(t, info.Snd_wnd)
			assert.LessOrEqual(t, info.Snd_wnd, uint32(16_000))
		}
	}
	assert.True(t, controlled)
}

// A Unix socket refuses at once what is beyond its backlog.
func TestBacklog(t *testing.T) {
	t.Parallel()
	e, err := transport.ParseBind("ipc://*")
	require.NoError(t, err)
	ln, err := (&transport.Config{Backlog: 2}).Listen(context.Background(), e)
	require.NoError(t, err)
	defer ln.Close()
	waiting := 0
	for ; waiting < 10; waiting++ {
		conn, err := dial(context.Background(), t, ln.Endpoint())
		if err != nil {
			assert.ErrorIs(t, err, syscall.EAGAIN)
			break
		}
		defer conn.Close()
	}
	assert.Equal(t, 3, waiting, "Linux allows one more")
}

func TestPeerCredentials(t *testing.T) {
	t.Parallel()
	a, b := joined(t, &transport.Config{}, "ipc://*")
	for _, conn := range []net.Conn{a, b} {
		who, err := transport.PeerCredentials(conn)
		require.NoError(t, err)
		assert.Equal(t, transport.Credentials{UID: os.Geteuid(), GID: os.Getegid(), PID: os.Getpid()}, who)
	}
	for _, endpoint := range []string{"tcp://127.0.0.1:0", freshInproc()} {
		_, b := joined(t, &transport.Config{}, endpoint)
		_, err := transport.PeerCredentials(b)
		assert.ErrorIs(t, err, errors.ErrUnsupported)
	}
	require.NoError(t, b.Close())
	_, err := transport.PeerCredentials(b)
	assert.ErrorIs(t, err, net.ErrClosed)
}

// A service may listen on one address and be found by all names of it: of a host's addresses the one that answers counts.
func TestDialTriesAllAddresses(t *testing.T) {
	t.Parallel()
	addresses, err := net.LookupHost("localhost")
	require.NoError(t, err)
	for _, address := range addresses {
		ln, err := tryListen(t, "tcp://"+net.JoinHostPort(address, "0"))
		require.NoError(t, err)
		_, port, err := net.SplitHostPort(ln.Endpoint()[len("tcp://"):])
		require.NoError(t, err)
		conn, err := dial(context.Background(), t, "tcp://localhost:"+port)
		require.NoError(t, err, "%s alone listens of %v", address, addresses)
		assert.Equal(t, address, conn.RemoteAddr().(*net.TCPAddr).IP.String())
		conn.Close()
		ln.Close()
	}
}

// congestion returns how the names of the algorithms for congestion control begin that the ends use.
func congestion(t *testing.T, conns ...net.Conn) (names []string) {
	t.Helper()
	for _, conn := range conns {
		name := binary.NativeEndian.AppendUint32(nil, uint32(sockopt(t, conn, syscall.IPPROTO_TCP, syscall.TCP_CONGESTION)))
		names = append(names, string(name))
	}
	return names
}

func TestCongestionControlWithinTheHost(t *testing.T) {
	t.Parallel()
	simple := []string{"reno", "reno"}
	a, b := joined(t, &transport.Config{}, "tcp://127.0.0.1:0")
	assert.Equal(t, simple, congestion(t, a, b))
	set := func(string, string, syscall.RawConn) error { return nil }
	a, b = joined(t, &transport.Config{Control: set}, "tcp://127.0.0.1:0")
	assert.Equal(t, systems(t), congestion(t, a, b), "what a Control may have chosen stays")
}

// systems is what the system chooses.
func systems(t *testing.T) []string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	name := congestion(t, conn)[0]
	return []string{name, name}
}
