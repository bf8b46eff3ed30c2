package socket_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A relay is a TCP hop between two peers that makes them speak an older ZMTP 3 and can fall silent.
type relay struct {
	endpoint string // to connect to
	target   string
	minor    byte
	listener net.Listener
	running  sync.WaitGroup
	muted    atomic.Bool // what is read goes nowhere

	mu    sync.Mutex // guards the fields below
	ended bool
	conns []net.Conn
}

// startRelay starts a relay to target which tells either side that the other speaks ZMTP 3.minor. It ends with the test.
func startRelay(t *testing.T, target string, minor byte) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{
		endpoint: "tcp://" + listener.Addr().String(), target: strings.TrimPrefix(target, "tcp://"), minor: minor, listener: listener,
	}
	r.running.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *relay) accept() {
	for {
		near, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		far, err := net.Dial("tcp", r.target)
		if err != nil {
			near.Close()
			continue
		}
		r.mu.Lock()
		r.conns = append(r.conns, near, far)
		if r.ended {
			near.Close()
			far.Close()
		}
		r.mu.Unlock()
		r.running.Go(func() { r.pass(near, far) })
		r.running.Go(func() { r.pass(far, near) })
	}
}

// pass carries bytes until one side closes. Octet 11 of a greeting is the minor version (RFC 37, 3.2).
func (r *relay) pass(from, to net.Conn) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for offset := 0; ; {
		n, err := from.Read(buf)
		if err != nil && err != io.EOF || n == 0 {
			return
		}
		if i := 11 - offset; i >= 0 && i < n {
			buf[i] = min(buf[i], r.minor)
		}
		offset += n
		if r.muted.Load() {
			continue // to see the end, too
		}
		if _, err = to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// mute has the relay pass on nothing more but the end of a connection.
func (r *relay) mute() { r.muted.Store(true) }

// close returns when all connections through the relay are closed.
func (r *relay) close() {
	r.listener.Close()
	r.mu.Lock()
	r.ended = true
	for _, c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}
