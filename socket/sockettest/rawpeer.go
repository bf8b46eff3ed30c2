package sockettest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// Timeout bounds every wait of a RawPeer. It is long enough for a loaded machine under the race detector;
// a test that passes never waits for it.
const Timeout = time.Minute

// TB is what the helpers need of a testing.TB.
type TB interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// RawPeer is one end of a connection that says exactly what the test tells it to. Its methods fail the
// test at once when the other side does not do what was expected, so they belong on the test's goroutine.
// The connection is closed when the test ends, if not before.
//
// Where a method takes a script, that is bytes in hex, in pairs, with blanks anywhere between pairs; text
// in single quotes stands for itself: "04 0b 09 'SUBSCRIBE' 41".
type RawPeer struct {
	t     TB
	conn  net.Conn
	minor byte // the lower of both sides' minor versions, known after Handshake
}

// NewRaw makes a RawPeer of a connection, which it takes over.
func NewRaw(t TB, conn net.Conn) *RawPeer {
	t.Cleanup(func() { conn.Close() })
	return &RawPeer{t: t, conn: conn}
}

// DialRaw connects to an endpoint, tcp://host:port or ipc://path.
func DialRaw(t TB, endpoint string) *RawPeer {
	t.Helper()
	network, addr, ok := strings.Cut(endpoint, "://")
	if network == "ipc" {
		network = "unix"
	}
	if !ok || network != "tcp" && network != "unix" {
		t.Fatalf("dial %q: want tcp://host:port or ipc://path", endpoint)
	}
	conn, err := net.DialTimeout(network, addr, Timeout)
	if err != nil {
		t.Fatalf("dial %s: %v", endpoint, err)
	}
	return NewRaw(t, conn)
}

// Listen listens on a free TCP port of the loopback interface until the test ends, and returns the
// endpoint that sockets may connect to.
func Listen(t TB) (ln net.Listener, endpoint string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln, "tcp://" + ln.Addr().String()
}

// AcceptRaw waits for the next connection on ln.
func AcceptRaw(t TB, ln net.Listener) *RawPeer {
	t.Helper()
	if d, ok := ln.(interface{ SetDeadline(time.Time) error }); ok {
		d.SetDeadline(time.Now().Add(Timeout))
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatalf("accept on %s: %v", ln.Addr(), err)
	}
	return NewRaw(t, conn)
}

// Conn returns the connection, for what RawPeer has no method for.
func (p *RawPeer) Conn() net.Conn { return p.conn }

// Close closes the connection.
func (p *RawPeer) Close() { p.conn.Close() }

// Reset closes the connection with a TCP reset where there is TCP: what the other side sees when a process
// is killed with data unread.
func (p *RawPeer) Reset() {
	if tcp, ok := p.conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	p.conn.Close()
}

// Send sends the bytes of a script.
func (p *RawPeer) Send(script string) {
	p.t.Helper()
	p.Write(p.parse(script))
}

// Write sends b as it is.
func (p *RawPeer) Write(b []byte) {
	p.t.Helper()
	p.conn.SetWriteDeadline(time.Now().Add(Timeout))
	if n, err := p.conn.Write(b); err != nil {
		p.t.Fatalf("write %d bytes: %v after %d", len(b), err, n)
	}
}

// Expect reads as many bytes as the script has and requires them to be the same.
func (p *RawPeer) Expect(script string) {
	p.t.Helper()
	want := p.parse(script)
	p.conn.SetReadDeadline(time.Now().Add(Timeout))
	got := make([]byte, len(want))
	n, err := io.ReadFull(p.conn, got)
	switch {
	case err != nil:
		p.t.Fatalf("%v after %d of %d bytes; want\n%sgot\n%s", err, n, len(want), hex.Dump(want), hex.Dump(got[:n]))
	case !bytes.Equal(want, got):
		p.t.Fatalf("want\n%sgot\n%s", hex.Dump(want), hex.Dump(got))
	}
}

// Read reads exactly n bytes.
func (p *RawPeer) Read(n int) []byte {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(Timeout))
	b := make([]byte, n)
	if got, err := io.ReadFull(p.conn, b); err != nil {
		p.t.Fatalf("%v after %d of %d bytes:\n%s", err, got, n, hex.Dump(b[:got]))
	}
	return b
}

// ExpectClosed requires that the other side closes or resets the connection, and returns what it sent
// before.
func (p *RawPeer) ExpectClosed() []byte {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(Timeout))
	var rest bytes.Buffer
	if _, err := rest.ReadFrom(p.conn); errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("connection still open after %v, and these %d bytes:\n%s", Timeout, rest.Len(), hex.Dump(rest.Bytes()))
	}
	return rest.Bytes()
}

// ExpectSilence requires that nothing comes, and the connection stays open, for as long as d.
func (p *RawPeer) ExpectSilence(d time.Duration) {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(d))
	b := make([]byte, 512)
	if n, err := p.conn.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("want silence for %v, got error %v and\n%s", d, err, hex.Dump(b[:n]))
	}
}

// parse returns the bytes of a script.
func (p *RawPeer) parse(script string) []byte {
	p.t.Helper()
	var out []byte
	for i, part := range strings.Split(script, "'") {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(part), ""))
		if err != nil {
			p.t.Fatalf("script %q: %v", part, err)
		}
		out = append(out, b...)
	}
	if strings.Count(script, "'")%2 != 0 {
		p.t.Fatalf("script %q: a quote is not closed", script)
	}
	return out
}
