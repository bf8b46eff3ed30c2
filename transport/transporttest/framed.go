package transporttest

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// framed makes a conn that takes ZMTP only carry any bytes: each Write is a frame.
type framed struct {
	net.Conn

	writing sync.Mutex // held by Write, so that frames stay whole

	reading sync.Mutex // held by Read; guards the fields below
	head    []byte     // of a frame, as far as it has arrived
	left    uint64     // of its body
}

// frame has both ends greet each other, as their users would, and returns them as conns for any bytes.
func frame(t testing.TB, a, b net.Conn) (net.Conn, net.Conn) {
	t.Helper()
	for _, done := range []<-chan error{start(func() error { return greet(a) }), start(func() error { return greet(b) })} {
		require.NoError(t, <-done)
	}
	return &framed{Conn: a}, &framed{Conn: b}
}

func greet(conn net.Conn) error {
	greeting := make([]byte, zmtp.GreetingSize)
	if _, err := conn.Write(greeting); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, greeting)
	return err
}

func (f *framed) Write(p []byte) (int, error) {
	f.writing.Lock()
	defer f.writing.Unlock()
	b := zmtp.AppendFrame(nil, 0, p)
	n, err := f.Conn.Write(b)
	return max(0, n-(len(b)-len(p))), err
}

func (f *framed) Read(p []byte) (int, error) {
	f.reading.Lock()
	defer f.reading.Unlock()
	for f.left == 0 {
		var b [1]byte
		if _, err := f.Conn.Read(b[:]); err != nil {
			return 0, err
		}
		f.head = append(f.head, b[0])
		_, size, n, err := zmtp.ParseHeader(f.head)
		if err != nil {
			return 0, err
		}
		if n > 0 {
			f.head, f.left = f.head[:0], size
		}
	}
	n, err := f.Conn.Read(p[:min(uint64(len(p)), f.left)])
	f.left -= uint64(n)
	return n, err
}

// CloseWrite is there for the kit to find.
func (f *framed) CloseWrite() error { return f.Conn.(interface{ CloseWrite() error }).CloseWrite() }
