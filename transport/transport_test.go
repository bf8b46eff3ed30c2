package transport_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/transporttest"
)

func TestTCP(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, func(testing.TB) string { return "tcp://127.0.0.1:0" })
}

func TestTCPAllInterfaces(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, func(testing.TB) string { return "tcp://*:*" })
}

func TestTCPIPv6(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	transporttest.Run(t, func(testing.TB) string { return "tcp://[::1]:*" })
}

func TestIPCPath(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, func(t testing.TB) string { return "ipc://" + socketPath(t) })
}

func TestIPCFreshPath(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, func(testing.TB) string { return "ipc://*" })
}

var lastName atomic.Int64

func TestInproc(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, func(testing.TB) string { return freshInproc() })
}

func freshInproc() string { return fmt.Sprintf("inproc://test-%d", lastName.Add(1)) }

// socketPath returns a path for a socket. testing's own folders have names too long for one.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mq")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func requireIPv6(t testing.TB) {
	t.Helper()
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("this host has no IPv6 loopback: %v", err)
	}
	ln.Close()
}

func listen(t testing.TB, endpoint string) transport.Listener {
	t.Helper()
	ln, err := tryListen(t, endpoint)
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}

func tryListen(t testing.TB, endpoint string) (transport.Listener, error) {
	t.Helper()
	e, err := transport.ParseBind(endpoint)
	require.NoError(t, err)
	return e.Listen(context.Background())
}

func dial(ctx context.Context, t testing.TB, endpoint string) (net.Conn, error) {
	t.Helper()
	e, err := transport.ParseConnect(endpoint)
	require.NoError(t, err)
	return e.Dial(ctx)
}
