package socket_test

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Trap 1, G3: libzmq holds its eleventh octet back until it has ten of ours, so we say ten at once, whoever connected, and go on as it
// does. READY follows as soon as the peer's greeting is there (N1).
func TestTrap01_GreetingAtOnce(t *testing.T) {
	t.Parallel()
	push, pull := socket.NewPush(), socket.NewPull()
	defer push.Close()
	defer pull.Close()
	ln, endpoint := sockettest.Listen(t)
	require.NoError(t, push.Connect(endpoint))
	bound, err := pull.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	for typ, p := range map[string]*sockettest.RawPeer{"PUSH": sockettest.AcceptRaw(t, ln), "PULL": sockettest.DialRaw(t, bound)} {
		p.Expect("ff 00 00 00 00 00 00 00 01 7f")
		p.Send("ff 00 00 00 00 00 00 00 01 7f")
		p.Expect("03")
		p.Send("03")
		p.Expect("01 'NULL'" + strings.Repeat("00", 48))
		p.Send("01 'NULL'" + strings.Repeat("00", 48))
		// Trap 4, N3: libzmq knows the name in this spelling only.
		p.Expect("04 26 05 'READY' 0b 'Socket-Type' 00 00 00 04 '" + typ + "' 06 'X-Mesh' 00 00 00 01 '1'")
	}
}

// Trap 1: a peer that waits for all of our greeting before it says anything gets it.
func TestTrap01_NobodyWaitsForever(t *testing.T) {
	t.Parallel()
	push, pull := socket.NewPush(), socket.NewPull()
	defer push.Close()
	defer pull.Close()
	ln, endpoint := sockettest.Listen(t)
	require.NoError(t, push.Connect(endpoint))
	bound, err := pull.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	for typ, p := range map[string]*sockettest.RawPeer{"PULL": sockettest.AcceptRaw(t, ln), "PUSH": sockettest.DialRaw(t, bound)} {
		p.ReadGreeting()
		p.SendGreeting(1, "NULL")
		p.ReadReady()
		p.SendReady(sockettest.Property{Name: "Socket-Type", Value: typ})
		defer p.Close()
	}
	require.NoError(t, push.WaitPeers(limit(t), 1))
	require.NoError(t, pull.WaitPeers(limit(t), 1))
}

// Trap 4: property names are sent as libzmq spells them and understood in any spelling.
func TestTrap04_NamesInAnyCase(t *testing.T) {
	t.Parallel()
	router := socket.NewRouter()
	defer router.Close()
	bound, err := router.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	p := sockettest.DialRaw(t, bound)
	p.SendGreeting(1, "NULL")
	p.ReadGreeting()
	p.Expect("04 35 05 'READY' 0b 'Socket-Type' 00 00 00 06 'ROUTER' 08 'Identity' 00 00 00 00 06 'X-Mesh' 00 00 00 01 '1'")
	p.SendReady(sockettest.Property{Name: "SOCKET-type", Value: "DEALER"}, sockettest.Property{Name: "identitY", Value: "id"})
	p.SendMessage("x")
	m, err := router.Recv(limit(t))
	require.NoError(t, err)
	assert.Equal(t, "id", string(m.Frames[0]))
	assert.Equal(t, "DEALER", m.Peer().SocketType())

	wrong := sockettest.DialRaw(t, bound)
	wrong.SendGreeting(1, "NULL")
	wrong.SendReady(sockettest.Property{Name: "socket-type", Value: "PULL"})
	assert.Contains(t, string(wrong.ExpectClosed()), "ERROR")
}

// Trap 3: as-server says nothing about who a peer is, and is not held against it. Nor are the padding and versions to come.
func TestTrap03_GreetingsAreReadLeniently(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	for name, change := range map[string]func([]byte){
		"as-server":          func(g []byte) { g[32] = 1 },
		"padding of libzmq":  func(g []byte) { g[8] = 6 },
		"padding of any":     func(g []byte) { copy(g[1:9], "anything") },
		"ZMTP 3.7":           func(g []byte) { g[11] = 7 },
		"ZMTP 4.0":           func(g []byte) { g[10], g[11] = 4, 0 },
		"filler that is not": func(g []byte) { g[50] = 9 },
	} {
		t.Run(name, func(t *testing.T) {
			g := make([]byte, 64)
			copy(g, "\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7f\x03\x01NULL")
			change(g)
			p := sockettest.DialRaw(t, v.bound)
			p.Write(g)
			p.SendReady(sockettest.Property{Name: "Socket-Type", Value: "PUSH"})
			p.ReadGreeting()
			p.ReadReady()
			v.event(socket.Connected)
			p.SendMessage(name)
			m, err := v.Recv(limit(t))
			require.NoError(t, err)
			assert.Equal(t, name, m.String())
			p.Close()
			v.event(socket.Disconnected)
		})
	}
	v.serves()
}

// Whoever does not finish the handshake is never a peer, is told so by the end of the connection, and is an event with
// the reason.
func TestFailedHandshakes(t *testing.T) {
	t.Parallel()
	property := func(name, value string) string {
		return string([]byte{byte(len(name))}) + name + string([]byte{0, 0, 0, byte(len(value))}) + value
	}
	command := func(name, data string) string {
		return string([]byte{sockettest.Command, byte(1 + len(name) + len(data)), byte(len(name))}) + name + data
	}
	hello := "\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7f\x03\x01NULL" + strings.Repeat("\x00", 48)
	ready := hello + command("READY", property("Socket-Type", "PUSH"))
	require.Len(t, hello, 64)
	cases := map[string]struct{ send, reason string }{
		"garbage":                       {"\x00\x01\x02\x03 this is no greeting", "0x00"},
		"SSH":                           {"SSH-2.0-OpenSSH_9.9\r\n", "SSH"},
		"identity of ZMTP 1.0":          {"\x05\x00\x00abc", "identity"},
		"2^62 octets of ZMTP 1.0":       {"\xff\x40\x00\x00\x00\x00\x00\x00\x00\x00", "identity"},
		"half an identity":              {"\x05\x00ab", "closed"},
		"ZMTP 2.0 of the wrong type":    {"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x01\x07\x00\x00", "PULL"},
		"ZMTP 2.0 of no type":           {"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x01\xff\x00\x00", "255"},
		"ZMTP 2.0 without an identity":  {"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x01\x08\x01\x00", "identity"},
		"signature":                     {"\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7d", "0x7d"},
		"mechanism":                     {strings.Replace(hello, "NULL\x00", "CURVE", 1), "CURVE"},
		"mechanism with a tail":         {strings.Replace(hello, "NULL\x00", "NULLX", 1), "NULLX"},
		"nothing behind the greeting":   {hello, "closed"},
		"half a greeting":               {hello[:20], "closed"},
		"a message for READY":           {hello + "\x00\x01x", "message"},
		"a PING for READY":              {hello + "\x04\x07\x04PING\x00\x00", "PING"},
		"READY of 2^62 octets":          {hello + "\x06\x40\x00\x00\x00\x00\x00\x00\x00", "octets"},
		"READY of 5000 octets":          {hello + "\x06\x00\x00\x00\x00\x00\x00\x13\x88", "5000"},
		"READY with MORE":               {hello + "\x05" + ready[65:], "MORE"},
		"READY cut short":               {ready[:len(ready)-3], "closed"},
		"property without a name":       {hello + command("READY", "\x00\x00\x00\x00\x00"), "metadata"},
		"property of 2^31-1 octets":     {hello + command("READY", "\x0bSocket-Type\x7f\xff\xff\xff"), "metadata"},
		"property with a cut length":    {hello + command("READY", "\x0bSocket-Type\x00\x00"), "metadata"},
		"Socket-Type twice":             {hello + command("READY", property("Socket-Type", "PUSH")+property("socket-type", "SUB")), "metadata"},
		"many properties":               {hello + command("READY", strings.Repeat(property("X", ""), 41)), "metadata"},
		"unknown Socket-Type":           {hello + command("READY", property("Socket-Type", "\x1b[2J")), `?[2J`},
		"ERROR":                         {hello + command("ERROR", "\x04busy"), "busy"},
		"ERROR with a lying length":     {hello + command("ERROR", "\xffbusy"), "ERROR"},
		"the handshake of a REQ":        {hello + command("READY", property("Socket-Type", "REQ")), "REQ"},
		"identity with a zero in front": {hello + command("READY", property("Identity", "\x00abcd")), "identity"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVictim(t)
			p := sockettest.DialRaw(t, v.bound)
			p.Write([]byte(c.send))
			if c.reason == "closed" {
				require.NoError(t, p.Conn().(*net.TCPConn).CloseWrite())
			}
			e := v.event(socket.HandshakeFailed)
			assert.ErrorContains(t, e.Err, c.reason)
			assert.NotContains(t, e.String(), "\x1b", "what peers say is shown as text")
			assert.Equal(t, v.bound, e.Endpoint)
			p.ExpectClosed()
			assert.Empty(t, v.Stats().Peers)
			v.serves()
		})
	}
}

// The limit is on the handshake as a whole, not on the time between two octets of it.
func TestDrippingHandshakeIsEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ev := &events{}
		pull := socket.NewPull(socket.WithHandshakeTimeout(30*time.Second), ev.option())
		defer pull.Close()
		endpoint, err := pull.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		drip, silent := dialInproc(t, endpoint), dialInproc(t, endpoint)
		octets := strings.Fields(strings.Repeat("00 ", 8) + "7f 03 01" + strings.Repeat(" 00", 20))
		drip.Send("ff")
		for _, octet := range octets[:29] {
			after(time.Second)
			drip.Send(octet)
		}
		synctest.Wait()
		assert.Empty(t, ev.of(socket.HandshakeFailed))
		after(time.Second)
		drip.ExpectClosed()
		silent.ExpectClosed()
		require.Len(t, ev.of(socket.HandshakeFailed), 2)
		for _, e := range ev.of(socket.HandshakeFailed) {
			assert.EqualError(t, e.Err, "no handshake within WithHandshakeTimeout")
		}
	})
}

// RFC 37, "The Identity Property": a peer that takes what is a ROUTER's to give is told so. Types without an identity
// may say what they like.
func TestIdentityRules(t *testing.T) {
	t.Parallel()
	router, pull := socket.NewRouter(), socket.NewPull()
	defer router.Close()
	defer pull.Close()
	routerAt, err := router.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	pullAt, err := pull.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	for _, id := range []string{"\x00", "\x00\x00\x00\x00\x01", strings.Repeat("i", 256)} {
		p := sockettest.DialRaw(t, routerAt)
		p.SendGreeting(1, "NULL")
		p.SendReady(sockettest.Property{Name: "Socket-Type", Value: "DEALER"}, sockettest.Property{Name: "Identity", Value: id})
		p.ReadGreeting()
		p.ReadReady()
		assert.Contains(t, string(p.ExpectCommand("ERROR")), "identity")
		p.ExpectClosed()
		p = sockettest.DialRaw(t, pullAt)
		p.Handshake("PUSH", 1, sockettest.Property{Name: "Identity", Value: id})
		p.SendMessage("x")
		m, err := pull.Recv(limit(t))
		require.NoError(t, err)
		assert.Empty(t, m.Peer().Identity())
	}
	longest := strings.Repeat("\xff", 255)
	for _, id := range []string{"", "", "a\x00b", longest} {
		p := sockettest.DialRaw(t, routerAt)
		p.Handshake("DEALER", 1, sockettest.Property{Name: "Identity", Value: id})
		p.SendMessage("mine")
		m, err := router.Recv(limit(t))
		require.NoError(t, err)
		if id == "" {
			assert.Regexp(t, `(?s)^\x00....$`, string(m.Frames[0]))
		} else {
			assert.Equal(t, id, string(m.Frames[0]))
		}
		require.NoError(t, router.Send(limit(t), m.Frames[0], []byte("yours")))
		assert.Equal(t, []string{"yours"}, p.ReadMessage())
	}
}
