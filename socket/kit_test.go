package socket_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// try is a context that has ended: it makes each call a try.
func try() context.Context { return sockettest.Try() }

// soon is a limit for what is expected not to happen.
func soon(t *testing.T) context.Context { return sockettest.Soon(t) }

// swift makes sockets reconnect without keeping a test waiting.
func swift() socket.Option { return socket.WithReconnect(time.Millisecond, 5*time.Millisecond) }

// soakSeed is what SEED says, or another one each time.
func soakSeed() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		return n
	}
	return uint64(time.Now().UnixNano())
}

func text(s string) []byte { return []byte(s) }

// closing closes sockets at the end of the test, the last one first.
func closing(t *testing.T, sockets ...io.Closer) {
	for _, s := range sockets {
		t.Cleanup(func() {
			if err := s.Close(); err != nil { // some tests leave messages that nobody takes
				assert.Regexp(t, "messages were not sent|bytes were sent that peers have not taken", err.Error())
			}
		})
	}
}

// fresh is an endpoint of the transport for Bind.
func fresh(t *testing.T, transport string) string {
	return map[string]string{"tcp": "tcp://127.0.0.1:0", "ipc": "ipc://*", "inproc": "inproc://" + t.Name()}[transport]
}

func bind(t *testing.T, s connector, endpoint string) string {
	t.Helper()
	bound, err := rebind(s, endpoint)
	require.NoError(t, err)
	return bound
}

// rebind is Bind to an address that was just released: another test may be starting a process, which has a copy of the old listener
// from its fork to its exec.
func rebind(s interface{ Bind(string) (string, error) }, endpoint string) (bound string, err error) {
	for range 1000 {
		if bound, err = s.Bind(endpoint); !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
		<-time.After(time.Millisecond)
	}
	return bound, err
}

// unused is a tcp endpoint that nobody listens on, nor will by chance.
func unused(t *testing.T) string { t.Helper(); return sockettest.Unused(t) }

type recver interface {
	Recv(context.Context) (socket.Msg, error)
}

type sender interface {
	Send(context.Context, ...[]byte) error
}

func recv(t *testing.T, s recver) socket.Msg {
	t.Helper()
	m, err := s.Recv(limit(t))
	require.NoError(t, err)
	return m
}

func send(t *testing.T, s sender, frames ...string) {
	t.Helper()
	require.NoError(t, s.Send(limit(t), bodies(frames...)...))
}

func bodies(frames ...string) (out [][]byte) {
	for _, f := range frames {
		out = append(out, []byte(f))
	}
	return out
}

func requireMsg(t *testing.T, m socket.Msg, frames ...string) {
	t.Helper()
	require.Equal(t, bodies(frames...), m.Frames)
}

// numbered sends messages that carry the numbers from..until-1.
func numbered(t *testing.T, s sender, from, until, size int) {
	for i := from; i < until; i++ {
		if !assert.NoError(t, s.Send(limit(t), ordinal(i, size))) {
			return
		}
	}
}

func ordinal(i, size int) []byte {
	b := make([]byte, max(size, 8))
	binary.BigEndian.PutUint64(b, uint64(i))
	return b
}

func ordinalOf(m socket.Msg) int { return int(binary.BigEndian.Uint64(m.Frames[0])) }

// watch opens a stream of s's events. The function that it returns waits for the next one of a kind.
func watch(t *testing.T, s interface {
	Events(context.Context) iter.Seq[socket.Event]
}) (await func(socket.EventKind) socket.Event) {
	next, stop := iter.Pull(s.Events(limit(t)))
	t.Cleanup(stop)
	return func(kind socket.EventKind) socket.Event {
		t.Helper()
		for {
			e, ok := next()
			require.True(t, ok, "no event: %s", kind)
			if e.Kind == kind {
				return e
			}
		}
	}
}

// stalled is a raw PULL peer of push that finishes the handshake and then reads nothing.
func stalled(t *testing.T, push *socket.Push) *sockettest.RawPeer {
	t.Helper()
	ln, endpoint := sockettest.Listen(t)
	require.NoError(t, push.Connect(endpoint))
	raw := sockettest.AcceptRaw(t, ln)
	raw.Handshake("PULL", 1)
	require.NoError(t, push.WaitPeers(limit(t), 1))
	return raw
}

// fill sends messages of size bytes until there is no room for a while, and returns how many were taken.
func fill(t *testing.T, s sender, size int) (n int) {
	t.Helper()
	for {
		err := s.Send(soon(t), ordinal(n, size))
		if err != nil {
			require.ErrorIs(t, err, socket.ErrFull)
			return n
		}
		n++
	}
}

// wholeMessages reads a raw connection to its end and returns how many single-frame messages arrived in full, checking that they are
// numbered from 0 on.
func wholeMessages(t *testing.T, conn net.Conn) int {
	t.Helper()
	got := ordinals(t, conn)
	for i, n := range got {
		require.Equal(t, uint64(i), n, "message %d", i)
	}
	return len(got)
}

// ordinals reads a raw connection to its end and returns the numbers of the single-frame messages that arrived in full.
func ordinals(t *testing.T, conn net.Conn) (got []uint64) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(sockettest.Timeout)))
	for {
		var head [9]byte
		if _, err := io.ReadFull(conn, head[:2]); err != nil {
			return got
		}
		size := int(head[1])
		if head[0]&2 != 0 {
			if _, err := io.ReadFull(conn, head[2:]); err != nil {
				return got
			}
			size = int(binary.BigEndian.Uint64(head[1:]))
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(conn, body); err != nil {
			return got
		}
		if head[0]&4 != 0 {
			continue // a command
		}
		got = append(got, binary.BigEndian.Uint64(body))
	}
}
