package socket_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// oldHello is what a peer of an old version says before its messages, and what it must have heard from a socket of ours by then. %s is
// the number of the socket type in 2.0.
var oldHello = map[string]struct{ theirs, ours string }{
	"1.0":      {"01 00", "ff 00 00 00 00 00 00 00 01 7f"},
	"1.0 long": {"ff 00 00 00 00 00 00 00 01 7e", "ff 00 00 00 00 00 00 00 01 7f"},
	"2.0":      {"ff 00 00 00 00 00 00 00 01 7f 01 %s 00 00", "ff 00 00 00 00 00 00 00 01 7f 03 %s 00 00"},
}

var oldType = map[string]string{
	"PAIR": "00", "PUB": "01", "SUB": "02", "REQ": "03", "REP": "04", "DEALER": "05", "ROUTER": "06", "PULL": "07", "PUSH": "08",
	"XPUB": "01", "XSUB": "02",
}

type typed interface {
	connector
	Type() string
	Stats() socket.Stats
}

// oldSpeaks is how soon an old peer must speak (holdBack).
const oldSpeaks = 300 * time.Millisecond

// meetOld has s meet a raw peer of an old version, which says only what it must, and hears all.
func meetOld(t *testing.T, s typed, version, role, theirType string) *sockettest.RawPeer {
	t.Helper()
	closing(t, s)
	var meet func() *sockettest.RawPeer
	began := time.Now()
	if role == "binds" {
		addr := bind(t, s, "tcp://127.0.0.1:0")
		meet = func() *sockettest.RawPeer { return sockettest.DialRaw(t, addr) }
	} else {
		ln, endpoint := sockettest.Listen(t)
		require.NoError(t, s.Connect(endpoint))
		meet = func() *sockettest.RawPeer { return sockettest.AcceptRaw(t, ln) }
	}
	with := func(script, typ string) string { return strings.Replace(script, "%s", oldType[typ], 1) }
	p := meet()
	p.Send(with(oldHello[version].theirs, theirType))
	for time.Since(began) >= oldSpeaks { // the test was held up: s may take it for a peer of today
		began = time.Now()
		p.Close()
		p = meet()
		p.Send(with(oldHello[version].theirs, theirType))
	}
	p.Expect(with(oldHello[version].ours, s.Type()))
	require.Eventually(t, func() bool {
		peers := s.Stats().Peers
		return len(peers) == 1 && peers[0].Connected
	}, sockettest.Timeout, time.Millisecond)
	who := s.Stats().Peers[0].Peer
	assert.Equal(t, version[:3], who.Version())
	if version == "2.0" {
		assert.Equal(t, theirType, who.SocketType())
	} else {
		assert.Empty(t, who.SocketType())
	}
	_, found := who.Property("Socket-Type")
	assert.False(t, found, "older versions have no metadata")
	return p
}

// eachOld runs a test with each older version, we bound and we connected.
func eachOld(t *testing.T, test func(t *testing.T, version, role string)) {
	for version := range oldHello {
		for _, role := range []string{"binds", "connects"} {
			t.Run(version+" "+role, func(t *testing.T) { t.Parallel(); test(t, version, role) })
		}
	}
}

// frame is a frame as a version writes it.
func frame(version string, more bool, body string) string {
	flags := "\x00"
	if more {
		flags = "\x01"
	}
	size := len(body)
	switch {
	case version == "2.0" && size > 255:
		return flag("\x02", more) + big(size) + body
	case version == "2.0":
		return flags + string([]byte{byte(size)}) + body
	case size+1 >= 255:
		return "\xff" + big(size+1) + flags + body
	}
	return string([]byte{byte(size + 1)}) + flags + body
}

func flag(b string, more bool) string {
	if more {
		return string([]byte{b[0] | 1})
	}
	return b
}

func big(n int) string {
	return string([]byte{0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func message(version string, frames ...string) (wire string) {
	for i, f := range frames {
		wire += frame(version, i < len(frames)-1, f)
	}
	return wire
}

// oldSizes of a body at which a version changes its form of a frame, or we our way of keeping it.
var oldSizes = []int{0, 1, 252, 253, 254, 255, 256, 32 << 10, 32<<10 + 1, 1 << 20}

// RFC 37, "Backwards Interoperability": messages go to 1.0 and 2.0 peers in their framing, octet for octet.
func TestOldPeers_AreSentMessages(t *testing.T) {
	eachOld(t, func(t *testing.T, version, role string) {
		push := socket.NewPush()
		p := meetOld(t, push, version, role, "PULL")
		for _, size := range oldSizes {
			body := strings.Repeat("x", size)
			send(t, push, body)
			send(t, push, "first", body, "")
			want := message(version, body) + message(version, "first", body, "")
			assert.Equal(t, want, string(p.Read(len(want))), "%d octets", size)
		}
	})
}

// RFC 37, "Backwards Interoperability": messages come from 1.0 and 2.0 peers in their framing, cut anywhere.
func TestOldPeers_AreHeard(t *testing.T) {
	eachOld(t, func(t *testing.T, version, role string) {
		pull := socket.NewPull()
		p := meetOld(t, pull, version, role, "PUSH")
		for _, size := range oldSizes {
			body := strings.Repeat("x", size)
			wire := message(version, body) + message(version, "first", body, "")
			p.Write([]byte(wire[:3]))
			p.Write([]byte(wire[3 : len(wire)/2]))
			p.Write([]byte(wire[len(wire)/2:]))
			requireMsg(t, recv(t, pull), body)
			requireMsg(t, recv(t, pull), "first", body, "")
		}
		if version != "2.0" { // flags of libzmq 2.2, and a frame of no length
			p.Send("00 02 7f 'a' 02 7e 'b'")
			requireMsg(t, recv(t, pull), "a", "b")
		}
	})
}

// RFC 28: envelopes are the same in all versions.
func TestOldPeers_RequestReply(t *testing.T) {
	eachOld(t, func(t *testing.T, version, role string) {
		req := socket.NewReq()
		p := meetOld(t, req, version, role, "REP")
		send(t, req, "ask")
		p.Expect(script(message(version, "", "ask")))
		p.Write([]byte(message(version, "", "answer")))
		requireMsg(t, recv(t, req), "answer")

		rep := socket.NewRep()
		p = meetOld(t, rep, version, role, "REQ")
		p.Write([]byte(message(version, "hop", "", "ask")))
		requireMsg(t, recv(t, rep), "ask")
		send(t, rep, "answer")
		p.Expect(script(message(version, "hop", "", "answer")))
	})
}

// script is octets as a script has them.
func script(octets string) string { return fmt.Sprintf("%x", octets) }

// A ROUTER knows old peers by their identity, and our own is told to them.
func TestOldPeers_Identity(t *testing.T) {
	t.Parallel()
	for version, hello := range map[string][2]string{
		"1.0": {"05 00 'them'", "ff 00 00 00 00 00 00 00 03 7f 'us'"},
		"2.0": {"ff 00 00 00 00 00 00 00 05 7f 01 05 00 04 'them'", "ff 00 00 00 00 00 00 00 03 7f 03 06 00 02 'us'"},
	} {
		router := socket.NewRouter(socket.WithIdentity("us"))
		closing(t, router)
		p := sockettest.DialRaw(t, bind(t, router, "tcp://127.0.0.1:0"))
		p.Send(hello[0])
		p.Expect(hello[1])
		p.Write([]byte(message(version, "", "hi")))
		m := recv(t, router)
		requireMsg(t, m, "them", "", "hi")
		assert.Equal(t, "them", m.Peer().Identity())
		send(t, router, "them", "", "ho")
		p.Expect(script(message(version, "", "ho")))
	}
}

// RFC 37 and G13: a subscriber of 1.0 cannot subscribe and gets everything; one of 2.0 subscribes with messages.
func TestOldPeers_Subscribers(t *testing.T) {
	eachOld(t, func(t *testing.T, version, role string) {
		xpub := socket.NewXPub()
		p := meetOld(t, xpub, version, role, "SUB")
		if version == "2.0" {
			p.Write([]byte(message(version, "\x01A")))
			requireMsg(t, recv(t, xpub), "\x01A")
			send(t, xpub, "B")
		} else {
			requireMsg(t, recv(t, xpub), "\x01")
			send(t, xpub, "B")
			p.Expect(script(message(version, "B")))
		}
		send(t, xpub, "Apple", "more")
		p.Expect(script(message(version, "Apple", "more")))
		if version == "2.0" {
			p.Write([]byte(message(version, "\x00A")))
			requireMsg(t, recv(t, xpub), "\x00A")
		}
		p.Close()
		if version != "2.0" {
			requireMsg(t, recv(t, xpub), "\x00")
		}

		pub := socket.NewPub()
		p = meetOld(t, pub, version, role, "SUB")
		if version == "2.0" {
			p.Write([]byte(message(version, "\x01")))
		}
		require.NoError(t, pub.WaitSubscribers(limit(t), "any", 1))
		send(t, pub, "any")
		p.Expect(script(message(version, "any")))
	})
}

// RFC 13: a subscriber sends a 1.0 publisher nothing, and takes what it wants of all that comes. RFC 15: a 2.0 publisher is told with
// messages.
func TestOldPeers_Publishers(t *testing.T) {
	eachOld(t, func(t *testing.T, version, role string) {
		sub := socket.NewSub()
		require.NoError(t, sub.Subscribe("A"))
		p := meetOld(t, sub, version, role, "PUB")
		if version == "2.0" {
			p.Expect(script(message(version, "\x01A"))) // what comes before that is not told
		}
		require.NoError(t, sub.Subscribe("B"))
		require.NoError(t, sub.Unsubscribe("A"))
		if version != "2.0" {
			require.NoError(t, sub.WaitSubscribed(limit(t), 1))
		} else {
			p.Expect(script(message(version, "\x01B") + message(version, "\x00A")))
		}
		p.Write([]byte(message(version, "Apple") + message(version, "Banana")))
		requireMsg(t, recv(t, sub), "Banana")
		assert.Empty(t, lastWords(sub, p))

		xsub := socket.NewXSub()
		p = meetOld(t, xsub, version, role, "PUB")
		require.NoError(t, xsub.WaitPeers(limit(t), 1))
		require.NoError(t, xsub.Subscribe("A"))
		send(t, xsub, "upstream")
		assert.Equal(t, version != "2.0", xsub.Stats().Dropped[socket.DropUnwanted] == 1)
		want := ""
		if version == "2.0" {
			want = message(version, "\x01A") + message(version, "upstream")
		}
		assert.Equal(t, want, lastWords(xsub, p))
	})
}

// lastWords closes s and returns what the peer had not read by then.
func lastWords(s io.Closer, p *sockettest.RawPeer) string {
	var closing sync.WaitGroup
	closing.Go(func() { s.Close() })
	rest := p.ExpectClosed()
	p.Close()
	closing.Wait()
	return string(rest)
}

// Older versions have no commands: none is sent, however long it is silent, and those of 2.0 that use the bit lose the connection.
func TestOldPeers_HaveNoCommands(t *testing.T) {
	for version, hello := range oldHello {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ev := &events{}
				pull := socket.NewPull(ev.option())
				defer pull.Close()
				endpoint, err := pull.Bind("inproc://" + t.Name())
				require.NoError(t, err)
				raw := dialInproc(t, endpoint)
				defer raw.Close()
				raw.Send(strings.Replace(hello.theirs, "%s", oldType["PUSH"], 1))
				raw.Expect(strings.Replace(hello.ours, "%s", oldType["PULL"], 1))
				raw.ExpectSilence(10 * time.Minute)
				raw.Write([]byte(message(version, "still here")))
				assert.Equal(t, "still here", arrived(t, pull))
				if version != "2.0" {
					return
				}
				raw.Send("04 07 04 'PING' 00 00")
				assert.Empty(t, raw.ExpectClosed())
				assert.ErrorContains(t, disconnected(t, ev), "ZMTP 2.0 has no commands")
			})
		})
	}
}

// Each connection finds out for itself what the peer speaks; what is queued meanwhile goes out in that.
func TestOldPeers_GrowUp(t *testing.T) {
	t.Parallel()
	sub, push := socket.NewSub(swift()), socket.NewPush(swift())
	closing(t, sub, push)
	ln, endpoint := sockettest.Listen(t)
	require.NoError(t, push.Connect(endpoint))
	send(t, push, "one")
	p := sockettest.AcceptRaw(t, ln)
	p.Send("01 00")
	p.Expect("ff 00 00 00 00 00 00 00 01 7f 04 00 'one'")
	p.Close()
	p = sockettest.AcceptRaw(t, ln)
	p.Handshake("PULL", 1)
	send(t, push, "two")
	p.Expect("00 03 'two'")
	p.Close()
	p = sockettest.AcceptRaw(t, ln)
	p.Send("ff 00 00 00 00 00 00 00 01 7f 02 07 00 00")
	p.Expect("ff 00 00 00 00 00 00 00 01 7f 03 08 00 00")
	send(t, push, "three")
	p.Expect("00 05 'three'")

	ln, endpoint = sockettest.Listen(t)
	require.NoError(t, sub.Subscribe("A"))
	require.NoError(t, sub.Connect(endpoint))
	p = sockettest.AcceptRaw(t, ln)
	p.Send("01 00")
	require.NoError(t, sub.WaitPeers(limit(t), 1))
	p.Close()
	p = sockettest.AcceptRaw(t, ln)
	p.Handshake("PUB", 0)
	assert.Equal(t, []string{"\x01A"}, p.ReadMessage())
}

// A message goes out once or not at all, also to a peer whose frames are longer than those that were queued.
func TestOldPeers_NothingTwice(t *testing.T) {
	t.Parallel()
	push := socket.NewPush(swift(), socket.WithLinger(0))
	closing(t, push)
	ln, endpoint := sockettest.Listen(t)
	require.NoError(t, push.Connect(endpoint))
	body := strings.Repeat("x", 250)
	const most = 40000
	sent := 0
	seen := map[string]bool{}
	for range 3 {
		p := sockettest.AcceptRaw(t, ln)
		p.Send("01 00")
		p.Expect("ff 00 00 00 00 00 00 00 01 7f")
		for n := 0; n < 1000 && sent < most; n++ {
			send(t, push, fmt.Sprintf("%06d%s", sent, body))
			sent++
		}
		for range 100 { // then it is gone, with a part of a message read
			p.Expect("ff 00 00 00 00 00 00 01 01 00")
			number := string(p.Read(6))
			assert.False(t, seen[number], number)
			seen[number] = true
			p.Read(250)
		}
		p.Read(100)
		p.Reset()
	}
}
