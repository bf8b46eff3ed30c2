package ws

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// opened returns a Conn that has agreed upon protocol and is past the greetings, and the connection of its peer.
func opened(t *testing.T, client bool, protocol string) (*Conn, net.Conn) {
	t.Helper()
	near, far := loopback(t)
	c := Server(near, Config{MaxMessage: 1 << 20})
	if client {
		c = Client(near, Config{Host: "host", Path: "/", MaxMessage: 1 << 20})
	}
	greeting := make([]byte, zmtp.GreetingSize)
	done := start(func() error {
		_, err := c.Write(greeting)
		_, readErr := io.ReadFull(c, greeting)
		return errors.Join(err, readErr)
	})
	if client {
		_, err := io.WriteString(far, answer(request(t, far), protocol))
		require.NoError(t, err)
	} else {
		_, err := io.WriteString(far, asking("/", "Sec-WebSocket-Protocol: "+protocol))
		require.NoError(t, err)
		require.Contains(t, reply(t, far), protocol)
	}
	require.NoError(t, <-done)
	return c, far
}

// loopback returns both ends of a TCP connection, with deadlines that end a test that hangs.
func loopback(t *testing.T) (near, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	near, err = net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	far, err = ln.Accept()
	require.NoError(t, err)
	for _, conn := range []net.Conn{near, far} {
		t.Cleanup(func() { conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	}
	return near, far
}

// asking is the request that libzmq sends, with other headers in place of its choice of protocols.
func asking(path string, headers ...string) string {
	head := []string{
		"GET " + path + " HTTP/1.1", "Host: host", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13",
	}
	return strings.Join(append(head, headers...), "\r\n") + "\r\n\r\n"
}

// reply reads an HTTP head byte by byte: what follows it is not HTTP.
func reply(t *testing.T, conn net.Conn) string {
	t.Helper()
	var head []byte
	for b := make([]byte, 1); !strings.HasSuffix(string(head), "\r\n\r\n"); {
		_, err := conn.Read(b)
		require.NoError(t, err)
		head = append(head, b[0])
	}
	return string(head)
}

func request(t *testing.T, conn net.Conn) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(reply(t, conn))))
	require.NoError(t, err)
	return r
}

// answer is what libzmq sends when it chooses protocol.
func answer(r *http.Request, protocol string) string {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, 1.3
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\nSec-WebSocket-Protocol: " + protocol + "\r\n\r\n"
}

// expect reads just what is wanted.
func expect(t *testing.T, conn io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

// greeted is the greeting that stands for a peer of mechanism NULL.
var greeted = "\xff" + strings.Repeat("\x00", 8) + "\x7f\x03\x00NULL" + strings.Repeat("\x00", 48)

// A read that a deadline ends during a frame loses nothing.
func TestDeadlineWithinAFrame(t *testing.T) {
	t.Parallel()
	c, far := opened(t, false, "ZWS2.0/NULL")
	frame := raw(raw(nil, binaryFin, true, ready), binaryFin, true, "\x01hello")
	var got []byte
	for i := range frame {
		_, err := far.Write(frame[i : i+1])
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(time.Unix(1, 0)))
		_, err = c.Read(make([]byte, 9))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	want := "\x04\x06\x05READY\x01\x05hello"
	for len(got) < len(want) {
		b := make([]byte, 3)
		n, err := c.Read(b)
		require.NoError(t, err)
		got = append(got, b[:n]...)
	}
	assert.Equal(t, want, string(got))
}

// Many small frames are one call to the connection below.
func TestSmallFramesGoOutTogether(t *testing.T) {
	t.Parallel()
	c, _ := opened(t, false, "ZWS2.0/NULL")
	counted := &countingConn{Conn: c.nc}
	c.nc = counted
	var frames []byte
	for range 1000 {
		frames = zmtp.AppendFrame(frames, 0, []byte("small"))
	}
	n, err := c.Write(frames)
	require.NoError(t, err)
	assert.Equal(t, len(frames), n)
	assert.Equal(t, 1, counted.writes)
}

type countingConn struct {
	net.Conn
	writes int
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes++
	return c.Conn.Write(p)
}

// Of a write that was cut short the frames that went out whole are counted, no others: what is not counted will be sent again.
func TestWriteCutShort(t *testing.T) {
	t.Parallel()
	var frames []byte
	for _, body := range []string{"", "a", "bc", strings.Repeat("d", 300), ""} {
		frames = zmtp.AppendFrame(frames, 0, []byte(body))
	}
	frames = zmtp.AppendPing(frames, 0, []byte("ping"))
	for _, client := range []bool{false, true} {
		e := &encoder{mask: client}
		whole := encodeAll(t, e, frames, rand.New(rand.NewPCG(1, 1)))
		for cut := range len(whole) {
			c, _ := opened(t, client, "ZWS2.0/NULL")
			short := &shortConn{Conn: c.nc, room: cut}
			c.nc = short
			n, err := c.Write(frames)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.Equal(t, framesIn(t, short.got.Bytes()), zmtpFramesIn(frames[:n]), "cut at %d of %d", cut, len(whole))
			_, err = c.Write(frames)
			if cut == 0 {
				assert.NoError(t, err, "nothing was written, nothing is lost")
			} else {
				assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "the stream is torn")
			}
			c.Close()
		}
	}
}

// shortConn takes so many bytes before its deadline strikes, then all.
type shortConn struct {
	net.Conn
	room  int
	tried bool
	got   bytes.Buffer
}

func (c *shortConn) Write(p []byte) (int, error) {
	if c.tried {
		return c.Conn.Write(p)
	}
	c.tried = true
	c.got.Write(p[:c.room])
	return c.room, os.ErrDeadlineExceeded
}

// framesIn counts the whole frames.
func framesIn(t *testing.T, b []byte) (n int) {
	t.Helper()
	for r := bytes.NewReader(b); ; n++ {
		h, err := ws.ReadHeader(r)
		if err != nil || h.Length > int64(r.Len()) {
			return n
		}
		_, err = r.Seek(h.Length, io.SeekCurrent)
		require.NoError(t, err)
	}
}

func zmtpFramesIn(b []byte) (n int) {
	for ; ; n++ {
		_, size, h, err := zmtp.ParseHeader(b)
		if h == 0 || err != nil || size > uint64(len(b)-h) {
			return n
		}
		b = b[h+int(size):]
	}
}

func TestCloseTellsWhy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		sent []byte
		code string
	}{
		{"in order", raw(nil, closeFin, true, ""), "\x03\xe8"},
		{"protocol error", raw(nil, binaryFin, false, "x"), "\x03\xea"},
		{"text", raw(nil, fin|1, true, "x"), "\x03\xeb"},
		{"too large", raw(raw(nil, 2, true, "\x00"), fin, true, string(make([]byte, 1<<20+1))), "\x03\xf1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, far := opened(t, false, "ZWS2.0/NULL")
			sent := start(func() error { _, err := far.Write(test.sent); return err })
			_, err := c.Read(make([]byte, 1))
			require.Error(t, err)
			require.NoError(t, c.Close())
			expect(t, far, "\x88\x02"+test.code)
			<-sent
		})
	}
}

// Close and CloseWrite return at once though the peer reads nothing, and the peer learns of it all the same.
func TestCloseDoesNotWait(t *testing.T) {
	t.Parallel()
	c, far := opened(t, true, "ZWS2.0/NULL")
	require.NoError(t, c.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	n, err := c.Write(zmtp.AppendFrame(nil, 0, make([]byte, 64<<20)))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	began := time.Now()
	require.NoError(t, c.CloseWrite())
	require.NoError(t, c.Close())
	assert.Less(t, time.Since(began), 10*time.Second)
	got, _ := io.Copy(io.Discard, far)
	assert.GreaterOrEqual(t, got, int64(n))
}

// The close frame comes last, behind a Write that was under way.
func TestCloseWriteBehindAWrite(t *testing.T) {
	t.Parallel()
	c, far := opened(t, false, "ZWS2.0/NULL")
	body := make([]byte, 32<<20)
	written := start(func() error { _, err := c.Write(zmtp.AppendFrame(nil, 0, body)); return err })
	expect(t, far, "\x82\x7f") // it has begun, and cannot end
	require.NoError(t, c.CloseWrite())
	rest, err := io.ReadAll(io.LimitReader(far, int64(8+1+len(body)+4)))
	require.NoError(t, err)
	require.NoError(t, <-written)
	assert.Equal(t, "\x88\x02\x03\xe8", string(rest[len(rest)-4:]))
	_, err = c.Write([]byte{0, 0})
	assert.ErrorContains(t, err, "writing side is closed")
}

func start(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}
