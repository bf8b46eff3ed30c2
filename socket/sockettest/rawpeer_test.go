package sockettest

import (
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { LeakCheck(m) }

// failing is a TB that keeps the first failure and ends the goroutine, as a testing.TB does.
type failing struct {
	testing.TB
	message string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure returns how do fails the test, which it must.
func failure(t *testing.T, conn net.Conn, do func(*RawPeer)) string {
	t.Helper()
	f := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(NewRaw(f, conn))
	}()
	<-done
	require.NotEmpty(t, f.message, "accepted")
	return f.message
}

// pair returns both ends of a TCP connection.
func pair(t *testing.T) (a, b *RawPeer) {
	t.Helper()
	ln, endpoint := Listen(t)
	a = DialRaw(t, endpoint)
	return a, AcceptRaw(t, ln)
}

func TestRawPeerScript(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	a.Send("04 0b 09 'SUBSCRIBE' 41")
	b.Expect("040b 0953554253 4352494245 'A'")
	a.Send("'a b' 00")
	assert.Equal(t, []byte("a b\x00"), b.Read(4))
	b.ExpectSilence(time.Millisecond)
	a.Send("'bye'")
	a.Close()
	assert.Equal(t, "bye", string(b.ExpectClosed()))
}

func TestRawPeerReset(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	a.Reset()
	assert.Empty(t, b.ExpectClosed())
}

func TestRawPeerOverIPC(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer ln.Close()
	a := DialRaw(t, "ipc://"+path)
	b := AcceptRaw(t, ln)
	a.Send("01")
	b.Expect("01")
	a.Reset() // no TCP: an ordinary close
	assert.Empty(t, b.ExpectClosed())
}

// The bytes are those of RFC 37, written out by hand.
func TestRawPeerHandshakeOnTheWire(t *testing.T) {
	t.Parallel()
	const greeting = "ff 0000000000000000 7f 03 01 'NULL' 00000000000000000000000000000000 00 " +
		"00000000000000000000000000000000000000000000000000000000000000"
	a, b := pair(t)
	b.Send(greeting)
	b.Send("04 26 05 'READY' 0b 'Socket-Type' 00000003 'REP' 08 'identity' 00000000")
	got, properties := a.Handshake("REQ", 1, Property{"Identity", "me"})
	assert.Equal(t, Greeting{Major: 3, Minor: 1, Mechanism: "NULL"}, got)
	assert.Equal(t, map[string]string{"Socket-Type": "REP", "identity": ""}, properties)
	b.Expect(greeting)
	b.Expect("04 28 05 'READY' 0b 'Socket-Type' 00000003 'REQ' 08 'Identity' 00000002 'me'")
}

func TestRawPeerSubscribe(t *testing.T) {
	t.Parallel()
	for minor, want := range []string{
		"00 02 01 'A' 00 02 00 'A'",
		"04 0b 09 'SUBSCRIBEA' 04 08 06 'CANCELA'",
	} {
		a, b := pair(t)
		b.SendGreeting(byte(minor), "NULL")
		b.SendReady()
		a.Handshake("SUB", 1)
		b.ReadGreeting()
		b.ReadReady()
		a.Subscribe("A")
		a.Cancel("A")
		b.Expect(want)
	}
}

func TestRawPeerFrames(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	short, long := strings.Repeat("s", 255), strings.Repeat("l", 256)
	a.SendMessage("", short, long)
	b.Expect("01 00 01 ff '" + short + "' 02 0000000000000100 '" + long + "'")
	a.SendMessage("", short, long)
	assert.Equal(t, []string{"", short, long}, b.ReadMessage())

	a.SendFrame(Long, []byte("x")) // the long form is allowed for a short body
	assert.Equal(t, Frame{Flags: Long, Body: []byte("x")}, b.ReadFrame())
	a.SendCommand("PING", []byte{0, 10, 'c'})
	b.Expect("04 08 04 'PING' 00 0a 'c'")
	a.SendCommand("PONG", []byte(long))
	assert.Equal(t, long, string(b.ExpectCommand("PONG")))
}

func TestRawPeerAnswersPings(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	a.SendCommand("PING", []byte("\x00\x0ac"))
	a.SendMessage("m")
	assert.Equal(t, []string{"m"}, b.ReadMessage())
	a.SendCommand("PING", []byte("\x00\x0ad"))
	a.SendCommand("PING", []byte("\x00\x0ae"))
	a.SendCommand("X", nil)
	b.ExpectCommand("X")
	for _, context := range []string{"c", "d", "e"} {
		assert.Equal(t, context, string(a.ExpectCommand("PONG")))
	}
}

func TestRawPeerFailsTheTest(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, input string
		do          func(*RawPeer)
		want        string
	}{
		{"other bytes", "0102", func(p *RawPeer) { p.Expect("0103") }, "01 03"},
		{"too few bytes", "01", func(p *RawPeer) { p.Expect("0102") }, "unexpected EOF after 1 of 2 bytes"},
		{"no bytes", "", func(p *RawPeer) { p.Read(1) }, "EOF after 0 of 1 bytes"},
		{"no silence", "01", func(p *RawPeer) { p.ExpectSilence(Timeout) }, "want silence"},
		{"closed is not silent", "", func(p *RawPeer) { p.ExpectSilence(Timeout) }, "EOF"},
		{"bad script", "", func(p *RawPeer) { p.Send("0") }, "odd length"},
		{"open quote", "", func(p *RawPeer) { p.Send("'a") }, "not closed"},
		{"no greeting", strings.Repeat("00", 64), func(p *RawPeer) { p.ReadGreeting() }, "not a greeting"},
		{"dirty filler", "ff 0000000000000000 7f" + strings.Repeat("01", 54), func(p *RawPeer) { p.ReadGreeting() }, "not a greeting"},
		{"reserved flag", "08 00", func(p *RawPeer) { p.ReadFrame() }, "flags 0x08"},
		{"command with more", "05 00", func(p *RawPeer) { p.ReadFrame() }, "flags 0x05"},
		{"huge frame", "02 4000000000000000", func(p *RawPeer) { p.ReadFrame() }, "claims 4611686018427387904 bytes"},
		{"message, not command", "00 01 'x'", func(p *RawPeer) { p.ReadCommand() }, "want a command"},
		{"command, not message", "04 02 01 'x'", func(p *RawPeer) { p.ReadMessage() }, "want a message"},
		{"command without name", "04 00", func(p *RawPeer) { p.ReadCommand() }, "cut short"},
		{"command with name cut", "04 02 02 'x'", func(p *RawPeer) { p.ReadCommand() }, "cut short"},
		{"other command", "04 02 01 'x'", func(p *RawPeer) { p.ExpectCommand("READY") }, "want READY"},
		{"metadata cut", "04 07 05 'READY' 01", func(p *RawPeer) { p.ReadReady() }, "bad metadata"},
		{"metadata value cut", "04 0c 05 'READY' 01 'a' 00000001", func(p *RawPeer) { p.ReadReady() }, "bad metadata"},
		{"property without name", "04 0b 05 'READY' 00 00000000", func(p *RawPeer) { p.ReadReady() }, "bad metadata"},
		{"property twice", "04 12 05 'READY' 01 'a' 00000000 01 'a' 00000000", func(p *RawPeer) { p.ReadReady() }, "bad metadata"},
		{"bad endpoint", "", func(p *RawPeer) { DialRaw(p.t, "127.0.0.1:1") }, "want tcp://"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a, b := pair(t)
			a.Send(tc.input)
			a.Close()
			assert.Contains(t, failure(t, b.Conn(), tc.do), tc.want)
		})
	}
}
