package socket_test

import (
	"context"
	"encoding/binary"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// eachForeigner runs a test for each of the libraries that do not know acknowledged links.
func eachForeigner(t *testing.T, test func(t *testing.T, start func(*testing.T) *peerProcess)) {
	for name, start := range map[string]func(*testing.T) *peerProcess{"libzmq": startLibzmq, "pyzmq": startPyzmq, "zmq4": startZMQ4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start)
		})
	}
}

// wiretap is a TCP proxy that keeps what is said, either way.
type wiretap struct {
	endpoint string

	mu   sync.Mutex // guards the fields below
	said []*[]byte  // by each end of each connection
}

// overhear returns a proxy to a tcp endpoint, which ends with the test.
func overhear(t *testing.T, endpoint string) *wiretap {
	t.Helper()
	ln, front := sockettest.Listen(t)
	w := &wiretap{endpoint: front}
	var conns sync.WaitGroup
	conns.Go(func() { // ends when the listener is closed, which the test's end waits for
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
			if err != nil {
				in.Close()
				continue
			}
			end := func() { in.Close(); out.Close() }
			context.AfterFunc(t.Context(), end)
			conns.Go(func() { defer end(); w.pass(in, out) })
			conns.Go(func() { defer end(); w.pass(out, in) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		conns.Wait()
	})
	return w
}

// pass copies one direction of a connection. Its buffers are small, so that little is on its way.
func (w *wiretap) pass(to, from net.Conn) {
	const buffer = 32 << 10
	_, _ = to.(*net.TCPConn).SetWriteBuffer(buffer), from.(*net.TCPConn).SetReadBuffer(buffer)
	said := new([]byte)
	w.mu.Lock()
	w.said = append(w.said, said)
	w.mu.Unlock()
	for b := make([]byte, buffer); ; {
		n, err := from.Read(b)
		w.mu.Lock()
		*said = append(*said, b[:n]...)
		w.mu.Unlock()
		if _, failed := to.Write(b[:n]); err != nil || failed != nil {
			return
		}
	}
}

// requirePlain: READY was said, and no command but those of RFC 37.
func (w *wiretap) requirePlain(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	ready := 0
	for _, said := range w.said {
		for _, name := range commandsIn(*said) {
			require.Contains(t, []string{"READY", "ERROR", "PING", "PONG", "SUBSCRIBE", "CANCEL"}, name)
			if name == "READY" {
				ready++
			}
		}
	}
	require.GreaterOrEqual(t, ready, 2)
}

// commandsIn returns the names of the commands behind a greeting. A frame that is cut ends them.
func commandsIn(said []byte) (names []string) {
	const greeting, long, command = 64, 2, 4
	for b := said[min(greeting, len(said)):]; len(b) > 1; {
		flags, header, size := b[0], 2, uint64(b[1])
		if flags&long != 0 {
			if header = 9; len(b) < header {
				return names
			}
			size = binary.BigEndian.Uint64(b[1:])
		}
		if uint64(len(b)-header) < size {
			return names
		}
		if body := b[header:][:size]; flags&command != 0 {
			names = append(names, string(body[1:1+body[0]]))
		}
		b = b[header:][size:]
	}
	return names
}

// Row 24 of the fault plan, with a spool: what was written to a PULL that does not acknowledge is done with, whatever becomes of that; the others get the rest, and
// nobody anything twice.
func TestInterop_PlainPeersOfASpool(t *testing.T) {
	t.Parallel()
	eachForeigner(t, func(t *testing.T, start func(*testing.T) *peerProcess) {
		dir, seen := filepath.Join(t.TempDir(), "spool"), map[string]bool{}
		open := func() (*socket.Push, *wiretap) {
			push := spooled(t, dir, socket.WithAck(), swiftRetry(), socket.WithSendHWM(10), socket.WithSocketBuffers(32<<10, 0))
			closing(t, push)
			return push, overhear(t, bind(t, push, "tcp://127.0.0.1:0"))
		}
		take := func(from *foreign, n int) {
			t.Helper()
			for range n {
				number := string(from.recv()[0])
				require.False(t, seen[number], "message %s twice", number)
				seen[number] = true
			}
		}
		push, wire := open()
		const messages = 300
		for i := range messages {
			_, err := push.Enqueue(limit(t), strconv.AppendInt(nil, int64(i), 10), pattern(10_000, byte(i)))
			require.NoError(t, err)
		}
		require.NoError(t, push.Flush(limit(t)))
		first := start(t)
		pull := first.open(t, "PULL", options{})
		pull.connect(wire.endpoint)
		take(pull, 10)
		first.kill()
		require.Eventually(t, func() bool { return len(push.Stats().Peers) == 0 }, sockettest.Timeout, time.Millisecond)
		left := messages - int(push.Stats().Spool.Settled)
		require.True(t, 0 < left && left <= messages-len(seen), "%d messages left of %d", left, messages)

		process := start(t)
		pull = process.open(t, "PULL", options{})
		pull.connect(wire.endpoint)
		take(pull, left)
		require.NoError(t, push.WaitAcked(limit(t)))
		s := push.Stats()
		assert.EqualValues(t, messages, s.Acks.WrittenOut)
		assert.Zero(t, s.Acks.AckedOut+s.Acks.DeadLettered)
		assert.Zero(t, s.Spool.Messages)
		wire.requirePlain(t)
		require.NoError(t, push.Shutdown(limit(t)))

		push, wire = open()
		pull = process.open(t, "PULL", options{})
		pull.connect(wire.endpoint)
		require.NoError(t, push.Send(limit(t), text("anew")))
		requireFrames(t, frames("anew"), pull.recv())
		wire.requirePlain(t)
	})
}

// Row 24, with a topic log: a SUB that has no name gets what is published while it is there, once, and takes nothing from those that have one.
func TestInterop_PlainSubscribersOfALog(t *testing.T) {
	t.Parallel()
	eachForeigner(t, func(t *testing.T, start func(*testing.T) *peerProcess) {
		pub := openOwn(t, "PUB", socket.WithSpool(filepath.Join(t.TempDir(), "log"), smallSpool))
		endpoint, to := pub.bind(freshEndpoint(t, "tcp")), pub.meshSocket.(*socket.Pub)
		publish(t, to, 0, 3)
		wire, process := overhear(t, endpoint), start(t)
		next := 3
		for range 2 {
			sub := process.open(t, "SUB", options{})
			sub.subscribe("t")
			sub.connect(wire.endpoint)
			pub.waitSubscriber("t", sub)
			publish(t, to, next, next+2)
			for i := range 2 {
				requireFrames(t, [][]byte{text("t"), ordinal(next+i, 8)}, sub.recv())
			}
			sub.close()
			require.Eventually(t, func() bool { return len(pub.Stats().Peers) == 0 }, patience, time.Millisecond)
			publish(t, to, next+2, next+4)
			next += 4
		}
		wire.requirePlain(t)
		named := durable(t, endpoint, "named", spool.Beginning())
		closing(t, named)
		requireOrdinals(t, named, 0, next)
	})
}

// Row 24: a publisher that keeps no log is no publisher for a durable subscription, is told so in plain ZMTP, and serves the others as before.
func TestInterop_PlainPublishersOfDurableSubscribers(t *testing.T) {
	t.Parallel()
	eachForeigner(t, func(t *testing.T, start func(*testing.T) *peerProcess) {
		pub := start(t).open(t, "PUB", options{})
		t.Cleanup(pub.close)
		endpoint := pub.bind(freshEndpoint(t, "tcp"))
		wire := overhear(t, endpoint)
		named := openOwn(t, "SUB", socket.WithDurable("named", spool.Beginning()), quick)
		named.subscribe("")
		named.connect(wire.endpoint)
		require.ErrorContains(t, named.awaitEvent(socket.HandshakeFailed).Err, "keeps no log")
		plain := openOwn(t, "SUB")
		plain.subscribe("")
		plain.connect(endpoint)
		knock(pub, plain)
		require.ErrorContains(t, named.awaitEvent(socket.HandshakeFailed).Err, "keeps no log", "it tries again")
		assert.Zero(t, named.Stats().MessagesIn)
		wire.requirePlain(t)
	})
}
