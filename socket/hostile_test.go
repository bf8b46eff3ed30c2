package socket_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// victim is a PULL socket under attack, with a PUSH that must be served all the time.
type victim struct {
	*socket.Pull
	t      *testing.T
	bound  string
	good   *socket.Push
	served int
	next   func() (socket.Event, bool)
}

func newVictim(t *testing.T, opts ...socket.Option) *victim {
	t.Helper()
	v := &victim{Pull: socket.NewPull(opts...), t: t, good: socket.NewPush()}
	var stop func()
	v.next, stop = iter.Pull(v.Events(limit(t)))
	t.Cleanup(func() { stop(); assert.NoError(t, v.good.Close()); assert.NoError(t, v.Close()) })
	var err error
	v.bound, err = v.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	return v
}

// event returns the next event of a kind.
func (v *victim) event(kind socket.EventKind) socket.Event {
	v.t.Helper()
	for {
		e, ok := v.next()
		require.True(v.t, ok, "no event %q came", kind)
		if e.Kind == kind {
			return e
		}
	}
}

// serves shows that a peer that keeps the rules is served.
func (v *victim) serves() {
	v.t.Helper()
	if v.served == 0 {
		require.NoError(v.t, v.good.Connect(v.bound))
	}
	v.served++
	want := fmt.Sprintf("good %d", v.served)
	require.NoError(v.t, v.good.Send(limit(v.t), []byte(want)))
	m, err := v.Recv(limit(v.t))
	require.NoError(v.t, err)
	require.Equal(v.t, want, m.String())
}

// attacker is a raw PUSH peer of the victim, handshake done.
func (v *victim) attacker(minor byte) *sockettest.RawPeer {
	v.t.Helper()
	p := sockettest.DialRaw(v.t, v.bound)
	p.Handshake("PUSH", minor)
	v.event(socket.Connected)
	return p
}

func longHeader(size uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{sockettest.Long}, size)
}

// Connections that do not finish their handshake in time are closed, and the event says so.
func TestSlowHandshakeIsEnded(t *testing.T) {
	t.Parallel()
	v := newVictim(t, socket.WithHandshakeTimeout(500*time.Millisecond))
	v.serves() // or else its own handshake could be too slow on a busy machine
	p := sockettest.DialRaw(t, v.bound)
	p.Send("ff 00")
	assert.ErrorContains(t, v.event(socket.HandshakeFailed).Err, "WithHandshakeTimeout")
	p.ExpectClosed()
	v.serves()
}

// A nine-byte header that claims 2^62 bytes ends the connection and allocates nothing; one that claims what is allowed allocates
// what little is given in advance.
func TestClaimedLengths(t *testing.T) {
	v := newVictim(t)
	v.serves()
	before := allocated()
	for range 20 {
		p := v.attacker(1)
		p.Write(longHeader(1 << 62))
		p.ExpectClosed()
		assert.ErrorIs(t, v.event(socket.Disconnected).Err, socket.ErrTooLarge)
	}
	for range 20 {
		p := v.attacker(1)
		p.Write(longHeader(60 << 20))
		p.Write([]byte("only this"))
		p.Close()
		v.event(socket.Disconnected)
	}
	assert.Less(t, allocated()-before, uint64(40<<20), "20 claims of 60 MiB; what the handshakes take; and 16 MiB that a busy process holds back (doc.go)")
	v.serves()
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// Whatever breaks the protocol ends the connection with the reason as an event, and nothing else.
func TestProtocolViolationsEndTheConnection(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		send   string
		reason string
	}{
		"reserved flags":             {"08 00", "flags"},
		"size above 2^63":            {"02 ff ff ff ff ff ff ff ff", "size"},
		"command without a name":     {"04 01 00", "command"},
		"command cut short":          {"04 02 09 50", "command"},
		"PING without a TTL":         {"04 05 04 'PING'", "PING"},
		"PING with a long context":   {"04 18 04 'PING' 00 00 'seventeen octets!'", "PING"},
		"ERROR behind the handshake": {"04 0c 05 'ERROR' 05 'sorry'", "sorry"},
		"ERROR cut short":            {"04 08 05 'ERROR' 05 's'", "ERROR"},
		"command of 2^20 bytes":      {"06 00 00 00 00 00 10 00 00", "command"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVictim(t)
			p := v.attacker(1)
			p.Send(c.send)
			assert.ErrorContains(t, v.event(socket.Disconnected).Err, c.reason)
			p.ExpectClosed()
			v.serves()
		})
	}
}

// Peers that speak something else are told apart.
func TestOtherProtocolsAreRefused(t *testing.T) {
	t.Parallel()
	for what, hello := range map[string]string{"HTTP": "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			v := newVictim(t)
			sockettest.DialRaw(t, v.bound).Write([]byte(hello))
			assert.ErrorContains(t, v.event(socket.HandshakeFailed).Err, what)
			v.serves()
		})
	}
}

// RFC 37, NULL: a peer of the wrong type gets ERROR, then the end of the connection; here both sides have an event with the reason.
func TestRFC37_WrongSocketTypeGetsError(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	p := sockettest.DialRaw(t, v.bound)
	p.SendGreeting(1, "NULL")
	p.ReadGreeting()
	p.SendReady(sockettest.Property{Name: "Socket-Type", Value: "SUB"})
	assert.ErrorContains(t, v.event(socket.HandshakeFailed).Err, "SUB")
	assert.Contains(t, string(p.ExpectClosed()), "ERROR")
	v.serves()
}

// RFC 37: messages are atomic. What arrived of one whose sender is gone is never seen.
func TestRFC37_PartialMessagesAreNotDelivered(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	p := v.attacker(1)
	p.SendMessage("whole", "message")
	p.SendFrame(sockettest.More, []byte("half"))
	p.SendFrame(sockettest.More, bytes.Repeat([]byte("x"), 100<<10))
	p.Close()
	m, err := v.Recv(limit(t))
	require.NoError(t, err)
	assert.Len(t, m.Frames, 2)
	v.event(socket.Disconnected)
	v.serves()
}

// Commands between the frames of a message, and commands that nobody knows, do not disturb it.
func TestCommandsBetweenFrames(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	p := v.attacker(1)
	p.SendFrame(sockettest.More, []byte("a"))
	p.SendCommand("PING", []byte{0, 0, 'x'})
	p.SendFrame(sockettest.More, bytes.Repeat([]byte("b"), 50<<10))
	p.SendCommand("NEVERHEARD", []byte("of"))
	p.SendFrame(0, []byte("c"))
	m, err := v.Recv(limit(t))
	require.NoError(t, err)
	require.Len(t, m.Frames, 3)
	assert.Equal(t, "a", string(m.Frames[0]))
	assert.Len(t, m.Frames[1], 50<<10)
	assert.Equal(t, "x", string(p.ExpectCommand("PONG")))
}

// A peer that asks for PONGs without end and reads none of them costs a bounded queue.
func TestPingFlood(t *testing.T) {
	t.Parallel()
	v := newVictim(t, socket.WithMaxPings(0))
	p := v.attacker(1)
	ping := []byte("\x04\x17\x04PING\x00\x00sixteen octets!!")
	p.Write(bytes.Repeat(ping, 100000))
	v.serves()
	p.SendMessage("after the flood")
	m, err := v.Recv(limit(t))
	require.NoError(t, err)
	assert.Equal(t, "after the flood", m.String())
}

// A topic beyond what a subscription may cost ends the connection.
func TestTopicTooLong(t *testing.T) {
	t.Parallel()
	pub := socket.NewPub()
	next, stop := iter.Pull(pub.Events(limit(t)))
	defer stop()
	defer pub.Close()
	bound, err := pub.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	for _, minor := range []byte{0, 1} {
		p := sockettest.DialRaw(t, bound)
		p.Handshake("SUB", minor)
		p.Subscribe(strings.Repeat("x", 20<<10))
		p.ExpectClosed()
		for e, ok := next(); ok; e, ok = next() {
			if e.Kind == socket.Disconnected {
				assert.ErrorIs(t, e.Err, socket.ErrTooLarge)
				break
			}
		}
	}
}

// A duplicate identity takes over; the connection before is closed and its event says why.
func TestRouter_DuplicateIdentityTakesOver(t *testing.T) {
	t.Parallel()
	router := socket.NewRouter()
	defer router.Close()
	bound, err := router.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	first, second := sockettest.DialRaw(t, bound), sockettest.DialRaw(t, bound)
	first.Handshake("DEALER", 1, sockettest.Property{Name: "Identity", Value: "me"})
	require.NoError(t, router.WaitPeers(limit(t), 1))
	second.Handshake("DEALER", 1, sockettest.Property{Name: "Identity", Value: "me"})
	first.ExpectClosed()
	require.NoError(t, router.Send(limit(t), []byte("me"), []byte("hello")))
	assert.Equal(t, []string{"hello"}, second.ReadMessage())
}
