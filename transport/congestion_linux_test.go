package transport

import (
	"bytes"
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// algorithm returns the name of the congestion control that a socket uses.
func algorithm(t *testing.T, conn syscall.RawConn) (name string) {
	t.Helper()
	var err error
	require.NoError(t, conn.Control(func(fd uintptr) {
		name, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	}))
	require.NoError(t, err)
	return string(bytes.TrimRight([]byte(name), "\x00"))
}

// What BBR began goes on to pace the connection under any other algorithm: on the loopback interface it is never begun.
func TestCongestionControl_ChosenBeforeItBegins(t *testing.T) {
	t.Parallel()
	var config Config
	seen := map[string]string{} // by address: what a socket has when it is about to be bound or connected
	control := config.control()
	look := func(network, address string, conn syscall.RawConn) error {
		if err := control(network, address, conn); err != nil {
			return err
		}
		seen[network+" "+address] = algorithm(t, conn)
		return nil
	}
	listen := net.ListenConfig{Control: look}
	for _, address := range []string{"127.0.0.1:0", ":0"} {
		ln, err := listen.Listen(context.Background(), "tcp4", address)
		require.NoError(t, err)
		defer ln.Close()
		dialer := net.Dialer{Control: look}
		conn, err := dialer.Dial("tcp4", net.JoinHostPort("127.0.0.1", portOf(t, ln)))
		require.NoError(t, err)
		defer conn.Close()
		assert.Equal(t, "reno", seen["tcp4 "+conn.RemoteAddr().String()])
		far, err := ln.Accept()
		require.NoError(t, err)
		defer far.Close()
		raw, err := far.(syscall.Conn).SyscallConn()
		require.NoError(t, err)
		if address == "127.0.0.1:0" {
			assert.Equal(t, "reno", algorithm(t, raw), "accepted connections have that of the listening socket")
		}
	}
	assert.Equal(t, "reno", seen["tcp4 127.0.0.1:0"])
	var plain string
	listen.Control = func(_, _ string, conn syscall.RawConn) error { plain = algorithm(t, conn); return nil }
	ln, err := listen.Listen(context.Background(), "tcp4", ":0")
	require.NoError(t, err)
	ln.Close()
	assert.Equal(t, plain, seen["tcp4 :0"], "peers elsewhere have what the system chooses")
}

func portOf(t *testing.T, ln net.Listener) string {
	t.Helper()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	return port
}
