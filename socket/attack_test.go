package socket_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

const pingX = "04 08 04 'PING' 00 00 'x'"

// greeting is what a ZMTP 3.1 peer sends first, as a script.
const greeting = "ff 00 00 00 00 00 00 00 00 7f 03 01 'NULL'" +
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00" +
	"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"

const readyPush = "04 1a 05 'READY' 0b 'Socket-Type' 00 00 00 04 'PUSH'"

// A command may ride right behind READY, and is answered whoever reads it: here a caller of Recv, who is at it as soon
// as the peer is attached.
func TestPingBehindReady(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	ctx, stop := context.WithCancel(t.Context())
	var recv sync.WaitGroup
	defer recv.Wait()
	defer stop()
	recv.Go(func() {
		_, err := v.Recv(ctx)
		assert.ErrorIs(t, err, context.Canceled)
	})
	for range 300 {
		p := sockettest.DialRaw(t, v.bound)
		p.Send(greeting + readyPush + pingX)
		p.ReadGreeting()
		p.ReadReady()
		assert.Equal(t, "x", string(p.ExpectCommand("PONG")))
		p.Close()
		v.event(socket.Disconnected)
	}
}

// A peer that never falls silent and never says anything keeps nobody beyond the end of his context.
func TestRecv_EndsWithContextUnderFlood(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	p := v.attacker(1)
	noise := bytes.Repeat([]byte("\x04\x15\x04PONGnot asked for it"), 4000)
	var flood sync.WaitGroup
	flood.Go(func() {
		for {
			if _, err := p.Conn().Write(noise); err != nil {
				return
			}
		}
	})
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		start := time.Now()
		_, err := v.Recv(ctx)
		assert.ErrorIs(t, err, socket.ErrTimeout)
		assert.Less(t, time.Since(start), sockettest.Timeout/4)
		cancel()
	}
	v.serves()
	assert.Len(t, v.Stats().Peers, 2, "the flood goes on")
	p.Close()
	flood.Wait()
}

// Peers that fight over an identity while somebody receives and sends: nobody crashes, and others are served.
func TestRouter_IdentityChurn(t *testing.T) {
	t.Parallel()
	router := socket.NewRouter()
	defer router.Close()
	bound, err := router.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var app sync.WaitGroup
	app.Go(func() {
		for m := range router.Messages(ctx) {
			if assert.NotNil(t, m.Peer()) && assert.Equal(t, "twin", string(m.Frames[0])) {
				_ = router.Send(ended(), m.Frames...) // the twin may be gone
			}
		}
	})
	var twins sync.WaitGroup
	for range 4 {
		twins.Go(func() {
			for range 100 {
				p := sockettest.DialRaw(t, bound)
				p.SendGreeting(1, "NULL")
				p.SendReady(sockettest.Property{Name: "Socket-Type", Value: "DEALER"}, sockettest.Property{Name: "Identity", Value: "twin"})
				p.ReadGreeting()
				p.ReadReady()
				_, _ = p.Conn().Write(bytes.Repeat([]byte("\x00\x01x"), 100)) // the other twin may have come
				p.Close()
			}
		})
	}
	twins.Wait()
	good := socket.NewDealer(socket.WithIdentity("twin"))
	defer good.Close()
	require.NoError(t, good.Connect(bound))
	require.NoError(t, good.Send(limit(t), []byte("hello")))
	for m, err := range good.Messages(limit(t)) {
		require.NoError(t, err)
		if m.String() == "hello" { // else it is a late answer to the twins, whose name is the same
			break
		}
		require.Equal(t, "x", m.String())
	}
	require.NoError(t, limit(t).Err())
	stop()
	app.Wait()
}

// Whatever of a message is missing when its sender goes, in order or not, no part of it is delivered.
func TestRFC37_CutMessagesAreNotDelivered(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	v.serves()
	message := []byte{1, 2, 'a', 'b', sockettest.Long | sockettest.More}
	message = binary.BigEndian.AppendUint64(message, 3)
	message = append(message, 'c', 'd', 'e', 4, 4, 3, 'H', 'U', 'M', 1, 0, 0, 1, 'f')
	for _, end := range []func(*sockettest.RawPeer){(*sockettest.RawPeer).Close, (*sockettest.RawPeer).Reset} {
		for cut := range len(message) {
			p := v.attacker(1)
			p.Write(message[:cut])
			end(p)
			v.event(socket.Disconnected)
		}
		v.serves()
	}
	p := v.attacker(1)
	p.Write(message)
	m, err := v.Recv(limit(t))
	require.NoError(t, err)
	assert.Equal(t, [][]byte{[]byte("ab"), []byte("cde"), {}, []byte("f")}, m.Frames)
}

// The whole of what is wrong with a message behind the handshake, besides what TestProtocolViolations has.
func TestMessageLimitsEndTheConnection(t *testing.T) {
	t.Parallel()
	const max = 100 << 10
	empty := []byte{sockettest.More, 0}
	cases := map[string]struct {
		send   []byte
		reason string
	}{
		"one byte too long":                  {longHeader(max + 1), "at most 102400"},
		"2^48 bytes":                         {longHeader(1 << 48), "too large"},
		"2^63-1 bytes":                       {longHeader(1<<63 - 1), "too large"},
		"2^63 bytes":                         {longHeader(1 << 63), "size"},
		"frames too long together":           {append(bytes.Repeat(append([]byte{1, 200}, make([]byte, 200)...), max/200), 0, 200), "too large"},
		"a large frame too much":             {append(append([]byte{1, 1, 'x'}, longHeader(max)...), 'y'), "too large"},
		"a large frame behind another":       {append(append(longMore(max-10), make([]byte, max-10)...), 0, 11), "too large"},
		"too many empty frames":              {bytes.Repeat(empty, 1024+1), "more than 1024"},
		"too many frames, commands between":  {bytes.Repeat(append(bytes.Clone(empty), 4, 2, 1, 'x'), 1024+1), "more than 1024"},
		"a second greeting":                  {append([]byte{0xff}, make([]byte, 63)...), "flags"},
		"HTTP behind the handshake":          {[]byte("GET / HTTP/1.1\r\n\r\n"), "flags"},
		"MORE on a command":                  {[]byte("\x05\x07\x04PING\x00\x00"), "flags"},
		"PING with a short TTL":              {[]byte("\x04\x06\x04PING\x00"), "PING has 1 octets"},
		"PONG with a long context":           {[]byte("\x04\x16\x04PONGseventeen octets!"), "PONG"},
		"ERROR without a reason's length":    {[]byte("\x04\x06\x05ERROR"), "ERROR"},
		"ERROR with terminal controls":       {[]byte("\x04\x0a\x05ERROR\x03\x1b[A"), `?[A`},
		"READY again":                        {[]byte("\x04\x06\x05READY"), "READY"},
		"empty command":                      {[]byte("\x04\x00"), "no name"},
		"command in the middle of a message": {[]byte("\x01\x01a\x04\x02\x09x"), "name of 9 octets"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVictim(t, socket.WithMaxMessageSize(max))
			v.serves()
			p := v.attacker(1)
			_, _ = p.Conn().Write(c.send) // the end may come before all is sent
			assert.ErrorContains(t, v.event(socket.Disconnected).Err, c.reason)
			p.ExpectClosed()
			v.serves()
		})
	}
}

func longMore(size uint64) []byte {
	h := longHeader(size)
	h[0] |= sockettest.More
	return h
}

// What looks odd and is allowed, or is of no consequence, does not disturb the connection.
func TestOddButHarmless(t *testing.T) {
	t.Parallel()
	most := append(bytes.Repeat([]byte{sockettest.More, 0}, 1024-1), 0, 0)
	cases := map[string]struct {
		send   []byte
		frames int // of the message it is, if it is one
	}{
		"long form of a short frame": {append(longHeader(1), 'x'), 1},
		"an empty message":           {[]byte{0, 0}, 1},
		"as many frames as may be":   {most, 1024},
		"unknown command":            {[]byte("\x04\x04\x03HUM"), 0},
		"long unknown command":       {append([]byte{6, 0, 0, 0, 0, 0, 0, 0x80, 0, 1, 'x'}, make([]byte, 32<<10-2)...), 0},
		"SUBSCRIBE to a PULL":        {[]byte("\x04\x0b\x09SUBSCRIBEA"), 0},
		"CANCEL to a PULL":           {[]byte("\x04\x08\x06CANCELA"), 0},
		"PONG not asked for":         {[]byte("\x04\x05\x04PONG"), 0},
		"HELLO of another mechanism": {[]byte("\x04\x06\x05HELLO"), 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVictim(t)
			p := v.attacker(1)
			p.Write(c.send)
			p.SendMessage("and", "on")
			if c.frames > 0 {
				m, err := v.Recv(limit(t))
				require.NoError(t, err)
				assert.Len(t, m.Frames, c.frames)
			}
			m, err := v.Recv(limit(t))
			require.NoError(t, err)
			assert.Equal(t, [][]byte{[]byte("and"), []byte("on")}, m.Frames)
			v.serves()
		})
	}
}

// Memory follows the bytes that arrive, for as many peers as there are: what they claim, and how they cut it, costs nothing.
func TestMemoryFollowsTheBytes(t *testing.T) {
	v := newVictim(t, socket.WithMaxPings(0))
	v.serves()
	const peers, arrived = 20, 1 << 20
	before := allocated()
	for range peers {
		p := v.attacker(1)
		p.Write(append(longHeader(60<<20), make([]byte, arrived)...))
		p.Close()
		v.event(socket.Disconnected)
	}
	spent := allocated() - before - peers*2*arrived // the test's own
	assert.Less(t, spent, uint64(peers*8*arrived))
	v.serves()

	before = allocated()
	noise := bytes.Repeat([]byte("\x04\x0a\x04PING\x00\x00xyz"), 400_000) // 4.8 MB
	p := v.attacker(1)
	p.Write(noise)
	p.SendMessage("end")
	m, err := v.Recv(limit(t))
	require.NoError(t, err)
	assert.Equal(t, "end", m.String())
	assert.Less(t, allocated()-before, uint64(10*len(noise)))
}
