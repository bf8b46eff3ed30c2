package transport_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// loopback returns the name of the loopback interface, which systems call differently.
func loopback(t *testing.T) string {
	t.Helper()
	interfaces, err := net.Interfaces()
	require.NoError(t, err)
	for _, ifi := range interfaces {
		if ifi.Flags&net.FlagLoopback != 0 && ifi.Flags&net.FlagUp != 0 && !strings.Contains(ifi.Name, " ") {
			return ifi.Name
		}
	}
	t.Skip("this host has no loopback interface with a name that an endpoint can hold")
	return ""
}

func TestTCPInterfaceName(t *testing.T) {
	t.Parallel()
	ln := listen(t, "tcp://"+loopback(t)+":*")
	assert.True(t, strings.HasPrefix(ln.Endpoint(), "tcp://127.0.0.1:"), ln.Endpoint())
	conn, err := dial(context.Background(), t, ln.Endpoint())
	require.NoError(t, err)
	assert.IsType(t, &net.TCPConn{}, conn)
	conn.Close()
}

func TestTCPBindByName(t *testing.T) {
	t.Parallel()
	ln := listen(t, "tcp://localhost:0")
	host, _, err := net.SplitHostPort(strings.TrimPrefix(ln.Endpoint(), "tcp://"))
	require.NoError(t, err)
	assert.True(t, net.ParseIP(host).IsLoopback(), ln.Endpoint())
}

// TestTCPAllMeansBothFamilies also shows what each literal binds.
func TestTCPAllMeansBothFamilies(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	for bind, want := range map[string]struct {
		reported string
		v4, v6   bool
	}{
		"tcp://*:*":       {"tcp://0.0.0.0:", true, true},
		"tcp://[::]:*":    {"tcp://[::]:", true, true},
		"tcp://0.0.0.0:*": {"tcp://0.0.0.0:", true, false},
	} {
		ln := listen(t, bind)
		port, found := strings.CutPrefix(ln.Endpoint(), want.reported)
		require.True(t, found, "%s reports %s", bind, ln.Endpoint())
		for host, reaches := range map[string]bool{"127.0.0.1": want.v4, "[::1]": want.v6, "localhost": true} {
			conn, err := dial(context.Background(), t, "tcp://"+host+":"+port)
			if reaches {
				require.NoError(t, err, "%s through %s", bind, host)
				conn.Close()
			} else {
				assert.ErrorIs(t, err, syscall.ECONNREFUSED, "%s through %s", bind, host)
			}
		}
	}
}

func TestTCPSourceAddress(t *testing.T) {
	t.Parallel()
	ln := listen(t, "tcp://127.0.0.1:0")
	target := strings.TrimPrefix(ln.Endpoint(), "tcp://")
	for _, source := range []string{"127.0.0.1:0", loopback(t) + ":*", "*:0"} {
		conn, err := dial(context.Background(), t, "tcp://"+source+";"+target)
		require.NoError(t, err)
		assert.Equal(t, "127.0.0.1", conn.LocalAddr().(*net.TCPAddr).IP.String())
		conn.Close()
	}
	_, err := dial(context.Background(), t, "tcp://nosuch0:0;"+target)
	require.Error(t, err)
	assert.Contains(t, err.Error(), `source "nosuch0": no such interface`)
}

// TestTCPBindProblems uses names under .invalid, which never resolve: RFC 6761, 6.4.
func TestTCPBindProblems(t *testing.T) {
	t.Parallel()
	_, err := tryListen(t, "tcp://nosuch.invalid:5555")
	require.Error(t, err)
	assert.Contains(t, err.Error(),
		`bind tcp://nosuch.invalid:5555: "nosuch.invalid" is no interface of this host and does not resolve`)
	_, err = tryListen(t, "tcp://192.0.2.99:5555") // TEST-NET-1, RFC 5737: not ours
	require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)
	assert.Equal(t, "bind tcp://192.0.2.99:5555: "+syscall.EADDRNOTAVAIL.Error(), err.Error())
}

func TestTCPDialProblems(t *testing.T) {
	t.Parallel()
	ln := listen(t, "tcp://127.0.0.1:0")
	require.NoError(t, ln.Close())
	_, err := dial(context.Background(), t, ln.Endpoint())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	assert.Equal(t, "dial "+ln.Endpoint()+": "+syscall.ECONNREFUSED.Error(), err.Error())

	_, err = dial(context.Background(), t, "tcp://nosuch.invalid:5555")
	_, isDNS := errors.AsType[*net.DNSError](err)
	assert.True(t, isDNS, "got %v", err)

	past, cancel := context.WithDeadline(context.Background(), time.Unix(1, 0))
	defer cancel()
	_, err = dial(past, t, "tcp://127.0.0.1:5555")
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}
