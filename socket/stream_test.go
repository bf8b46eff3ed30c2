package socket_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// plain is a connection of a program that knows nothing of ZeroMQ.
func plain(t *testing.T, endpoint string) net.Conn {
	t.Helper()
	network, address, _ := strings.Cut(endpoint, "://")
	conn, err := net.Dial(map[string]string{"tcp": "tcp", "ipc": "unix"}[network], address)
	require.NoError(t, err)
	return guarded(t, conn)
}

func guarded(t *testing.T, conn net.Conn) net.Conn {
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(sockettest.Timeout)))
	return conn
}

// requireNotice receives that a connection has begun or ended, and returns its id.
func requireNotice(t *testing.T, s recver) []byte {
	t.Helper()
	m := recv(t, s)
	require.Len(t, m.Frames, 2)
	require.Len(t, m.Frames[0], 5)
	require.Zero(t, m.Frames[0][0])
	require.Equal(t, string(m.Frames[0]), m.Peer().RoutingID())
	require.Empty(t, m.Frames[1])
	require.Empty(t, m.Peer().Version())
	return m.Frames[0]
}

// requireBytes receives bytes of one connection, in as many messages as they come in.
func requireBytes(t *testing.T, s recver, id []byte, want []byte) {
	t.Helper()
	var got []byte
	for len(got) < len(want) {
		m := recv(t, s)
		require.Equal(t, id, m.Frames[0])
		require.NotEmpty(t, m.Bytes(), "the connection ended after %d bytes", len(got))
		got = append(got, m.Bytes()...)
	}
	require.True(t, bytes.Equal(want, got))
}

func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestStream_PlainClient(t *testing.T) {
	for _, transport := range []string{"tcp", "ipc"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			stream := socket.NewStream()
			closing(t, stream)
			bound := bind(t, stream, fresh(t, transport))
			conn := plain(t, bound)
			id := requireNotice(t, stream)
			for _, line := range []string{"GET / HTTP/1.0\r\n", "\r\n"} { // each comes at once, however little it is
				_, err := conn.Write(text(line))
				require.NoError(t, err)
				requireBytes(t, stream, id, text(line))
			}
			require.NoError(t, stream.Send(limit(t), id, text("HTTP/1.0 200 OK\r\n")))
			require.NoError(t, stream.Send(limit(t), id, text("\r\nhello")))
			require.NoError(t, stream.Send(limit(t), id, nil))
			require.ErrorIs(t, stream.Send(limit(t), id, text("x")), socket.ErrNoPeer)
			got, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.Equal(t, "HTTP/1.0 200 OK\r\n\r\nhello", string(got))
			require.NoError(t, conn.Close())
			require.Equal(t, id, requireNotice(t, stream))

			again := plain(t, bound)
			next := requireNotice(t, stream)
			require.NotEqual(t, id, next)
			require.NoError(t, again.Close())
			require.Equal(t, next, requireNotice(t, stream))
			require.ErrorIs(t, stream.Send(limit(t), next, text("x")), socket.ErrNoPeer)
			require.ErrorIs(t, stream.Send(limit(t), next, nil), socket.ErrNoPeer)
		})
	}
}

// It connects to a plain server, and again under another id when the connection ends, until it ends that itself.
func TestStream_PlainServer(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	stream := socket.NewStream(swift())
	closing(t, stream)
	require.NoError(t, stream.Connect("tcp://"+ln.Addr().String()))
	var ids [2][]byte
	for i := range ids {
		conn, err := ln.Accept()
		require.NoError(t, err)
		guarded(t, conn)
		ids[i] = requireNotice(t, stream)
		_, err = conn.Write(text("220 ready\r\n"))
		require.NoError(t, err)
		requireBytes(t, stream, ids[i], text("220 ready\r\n"))
		require.NoError(t, stream.Send(limit(t), ids[i], text("QUIT\r\n")))
		got := make([]byte, 6)
		_, err = io.ReadFull(conn, got)
		require.NoError(t, err)
		require.Equal(t, "QUIT\r\n", string(got))
		if i == 0 {
			require.NoError(t, conn.Close())
		} else {
			require.NoError(t, stream.Send(limit(t), ids[i], nil))
			_, err = conn.Read(got)
			require.ErrorIs(t, err, io.EOF)
			require.NoError(t, conn.Close())
		}
		require.Equal(t, ids[i], requireNotice(t, stream))
	}
	require.NotEqual(t, ids[0], ids[1])
	require.NoError(t, ln.(*net.TCPListener).SetDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = ln.Accept()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "it connected again after it had ended the connection")
	require.ErrorIs(t, stream.Disconnect("tcp://"+ln.Addr().String()), socket.ErrEndpoint)
}

func TestStream_BothEnds(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		a, b := socket.NewStream(), socket.NewStream()
		join(t, transport, a, b)
		toB, toA := requireNotice(t, a), requireNotice(t, b)
		var want []byte
		for i, size := range []int{1, 255, 256, 40000, 1, 3 << 20, 70000, 2} {
			piece := noise(uint64(i), size)
			want = append(want, piece...)
			require.NoError(t, a.Send(limit(t), toB, piece))
		}
		requireBytes(t, b, toA, want)
		require.NoError(t, b.Send(limit(t), toA, want))
		requireBytes(t, a, toB, want)
		require.NoError(t, a.Close())
		require.Equal(t, toA, requireNotice(t, b))
	})
}

func TestStream_UnknownID(t *testing.T) {
	t.Parallel()
	stream := socket.NewStream()
	closing(t, stream)
	for _, id := range []string{"", "x", "\x00", "\x00\x00\x00\x00\x00", "\x00\x01\x02\x03", "\x00\x01\x02\x03\x04", "\x01\x01\x02\x03\x04"} {
		require.ErrorIs(t, stream.Send(limit(t), text(id), text("x")), socket.ErrNoPeer)
		require.ErrorIs(t, stream.Send(limit(t), text(id), nil), socket.ErrNoPeer)
	}
	for _, endpoint := range []string{"ws://127.0.0.1:0", "wss://127.0.0.1:0"} {
		_, err := stream.Bind(endpoint)
		require.ErrorIs(t, err, socket.ErrEndpoint)
		require.ErrorIs(t, stream.Connect(endpoint), socket.ErrEndpoint)
	}
	require.NoError(t, stream.Close())
	require.ErrorIs(t, stream.Send(limit(t), nil, nil), socket.ErrClosed)
	require.ErrorIs(t, (&socket.Stream{}).Send(limit(t), nil, nil), socket.ErrState)
}

// A peer that is not received from is read no further: it comes to a halt, and nothing is lost when receiving goes on.
func TestStream_BackPressureIn(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]socket.Option{"reads": socket.WithRecvHWM(2), "bytes": socket.WithRecvHWMBytes(1000)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := socket.NewStream(opt, socket.WithSocketBuffers(64<<10, 64<<10))
			closing(t, stream)
			conn := plain(t, bind(t, stream, "tcp://127.0.0.1:0"))
			require.NoError(t, conn.(*net.TCPConn).SetWriteBuffer(64<<10))
			data := noise(1, 4<<20)
			require.NoError(t, conn.SetWriteDeadline(time.Now().Add(300*time.Millisecond)))
			n, err := conn.Write(data)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, conn.Close())
			id := requireNotice(t, stream)
			requireBytes(t, stream, id, data[:n])
			require.Equal(t, id, requireNotice(t, stream))
		})
	}
}

// Send blocks while a peer does not read, others are served meanwhile; what is left when the peer goes is counted.
func TestStream_BackPressureOut(t *testing.T) {
	t.Parallel()
	stream := socket.NewStream(socket.WithSendHWM(10))
	closing(t, stream)
	bound := bind(t, stream, "tcp://127.0.0.1:0")
	slow := plain(t, bound)
	id := requireNotice(t, stream)
	body := make([]byte, 1<<20)
	err := stream.Send(soon(t), id, body)
	for err == nil {
		err = stream.Send(soon(t), id, body)
	}
	require.ErrorIs(t, err, socket.ErrFull)

	quick := plain(t, bound)
	other := requireNotice(t, stream)
	require.NoError(t, stream.Send(limit(t), other, text("x")))
	_, err = quick.Read(make([]byte, 1))
	require.NoError(t, err)

	failed := make(chan error, 1)
	go func() {
		err := stream.Send(limit(t), id, body)
		for err == nil { // the system took some more
			err = stream.Send(limit(t), id, body)
		}
		failed <- err
	}()
	require.NoError(t, slow.Close())
	require.ErrorIs(t, <-failed, socket.ErrNoPeer)
	require.Equal(t, id, requireNotice(t, stream))
	dropped := stream.Stats().Dropped[socket.DropPeerGone]
	assert.Positive(t, dropped)
	assert.LessOrEqual(t, dropped, uint64(20), "a full queue, and another by who sends while the peer goes")
}

// What is sent before an end in good order is written first, though the peer reads slowly.
func TestStream_EndsBehindWhatWasSent(t *testing.T) {
	t.Parallel()
	stream := socket.NewStream(socket.WithSendHWM(0))
	closing(t, stream)
	conn := plain(t, bind(t, stream, "tcp://127.0.0.1:0"))
	id := requireNotice(t, stream)
	data := noise(2, 2<<20)
	for piece := range slices.Chunk(data, 100_000) {
		require.NoError(t, stream.Send(limit(t), id, piece))
	}
	require.NoError(t, stream.Send(limit(t), id, []byte{}))
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
	require.NoError(t, conn.Close())
	require.Equal(t, id, requireNotice(t, stream))
	require.Empty(t, stream.Stats().Dropped)
}

// What is about ZMTP is refused; notices can be turned off, and then only the peer's bytes are received.
func TestStream_Options(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]socket.Option{
		"WithHeartbeat":        socket.WithHeartbeat(time.Second, time.Minute),
		"WithHeartbeatTTL":     socket.WithHeartbeatTTL(time.Second),
		"WithProperty":         socket.WithProperty("X-A", "b"),
		"WithHandshakeTimeout": socket.WithHandshakeTimeout(time.Second),
		"WithIdentity":         socket.WithIdentity("id"),
		"WithImmediate":        socket.WithImmediate(),
	} {
		_, err := socket.NewStream(opt).Bind("tcp://127.0.0.1:0")
		require.ErrorIs(t, err, socket.ErrOption)
		require.ErrorContains(t, err, name+" on a STREAM socket")
	}
	for _, disconnect := range []bool{false, true} {
		stream := socket.NewStream(socket.WithNotify(false, disconnect))
		closing(t, stream)
		ended := watch(t, stream)
		conn := plain(t, bind(t, stream, "tcp://127.0.0.1:0"))
		_, err := conn.Write(text("only"))
		require.NoError(t, err)
		m := recv(t, stream)
		require.Equal(t, "only", m.String())
		require.NoError(t, conn.Close())
		ended(socket.Disconnected)
		if disconnect {
			require.Equal(t, m.Frames[0], requireNotice(t, stream))
		}
		recvNothing(t, stream)
	}
}
