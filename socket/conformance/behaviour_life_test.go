package conformance

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// patterns are pairs of types of which one listens here.
var patterns = []struct {
	name string
	make func(...socket.Option) connector
	peer string
}{
	{"PULL", func(o ...socket.Option) connector { return socket.NewPull(o...) }, "PUSH"},
	{"REP", func(o ...socket.Option) connector { return socket.NewRep(o...) }, "REQ"},
	{"ROUTER", func(o ...socket.Option) connector { return socket.NewRouter(o...) }, "DEALER"},
	{"DEALER", func(o ...socket.Option) connector { return socket.NewDealer(o...) }, "DEALER"},
	{"PUB", func(o ...socket.Option) connector { return socket.NewPub(o...) }, "SUB"},
	{"PAIR", func(o ...socket.Option) connector { return socket.NewPair(o...) }, "PAIR"},
}

// eachPattern runs test in a bubble of time with a socket of each kind and a raw peer, over inproc, which has no descriptors.
func eachPattern(t *testing.T, test func(t *testing.T, s connector, raw *sockettest.RawPeer), opts ...socket.Option) {
	for _, pattern := range patterns {
		t.Run(pattern.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := pattern.make(opts...)
				raw := rawPeer(t, bound(t, "inproc", s), pattern.peer)
				synctest.Wait()
				require.Len(t, s.Stats().Peers, 1)
				test(t, s, raw)
				raw.Close()
			})
		})
	}
}

// pass lets time pass in a bubble, and then all that is due happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// Behaviour 68: a peer that never answers a PING is disconnected.
func TestBehaviour68_UnansweredPing(t *testing.T) {
	eachPattern(t, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
		start := time.Now()
		require.Contains(t, string(raw.ExpectClosed()), "\x04PING")
		require.Equal(t, 6*time.Second, time.Since(start))
		synctest.Wait()
		require.Empty(t, s.Stats().Peers)
	}, socket.WithHeartbeat(2*time.Second, 6*time.Second))
}

// Behaviour 68: the TTL of a peer's PING is obeyed, also by a socket that sends no heartbeats itself.
func TestBehaviour68_TTLIsObeyed(t *testing.T) {
	eachPattern(t, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
		raw.SendCommand("PING", []byte{0, 20}) // 2 s
		require.Empty(t, raw.ExpectCommand("PONG"))
		pass(1900 * time.Millisecond)
		require.Len(t, s.Stats().Peers, 1)
		pass(200 * time.Millisecond)
		require.Empty(t, s.Stats().Peers)
	}, socket.WithHeartbeat(0, 0))
}

// Behaviour 68: PING and PONG keep the connection as long as both sides live.
func TestBehaviour68_SteadyHeartbeat(t *testing.T) {
	eachPattern(t, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
		for range 1000 {
			ping := raw.ExpectCommand("PING")
			require.GreaterOrEqual(t, len(ping), 2)
			raw.SendCommand("PONG", ping[2:])
		}
		synctest.Wait()
		require.Len(t, s.Stats().Peers, 1)
	}, socket.WithHeartbeat(2*time.Second, 6*time.Second))
	synctest.Test(t, func(t *testing.T) { // and between two of ours
		a, b := socket.NewPair(socket.WithHeartbeat(time.Second, 3*time.Second)), socket.NewPair()
		closing(t, b)
		connect(t, b, bound(t, "inproc", a))
		pass(time.Hour)
		require.Len(t, a.Stats().Peers, 1)
		require.Zero(t, b.Stats().Peers[0].Reconnects)
		require.True(t, b.Stats().Peers[0].Connected)
	})
}

// Behaviour 68: PONG echoes the context of PING.
func TestBehaviour68_ContextIsEchoed(t *testing.T) {
	eachPattern(t, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
		for _, context := range []string{"", "c", "0123456789abcdef"} {
			raw.SendCommand("PING", []byte("\x00\x00"+context))
			require.Equal(t, context, string(raw.ExpectCommand("PONG")))
		}
	}, socket.WithHeartbeat(0, 0))
}

// Behaviour 68: of a context of 56 bytes, PONG echoes the first 16.
//
// Differs: a context may have 16 bytes (RFC 37), and a peer that breaks the protocol is disconnected.
func TestBehaviour68_LongContextIsRefused(t *testing.T) {
	eachPattern(t, func(t *testing.T, s connector, raw *sockettest.RawPeer) {
		raw.SendCommand("PING", make([]byte, 2+56))
		require.Empty(t, raw.ExpectClosed())
	}, socket.WithHeartbeat(0, 0))
}

// Behaviour 68: the TTL that is announced is rounded to tenths of a second and kept within what fits.
func TestBehaviour68_TTLBounds(t *testing.T) {
	for _, c := range []struct {
		dead time.Duration
		ttl  byte
		high byte
	}{
		{3 * time.Second, 30, 0}, {2500 * time.Millisecond, 25, 0}, {65500 * time.Millisecond, 0x8f, 2}, {10 * time.Minute, 0x8f, 2},
	} {
		t.Run(fmt.Sprint(c.dead), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pull := socket.NewPull(socket.WithHeartbeat(time.Second, c.dead))
				raw := rawPeer(t, bound(t, "inproc", pull), "PUSH")
				require.Equal(t, []byte{c.high, c.ttl}, raw.ExpectCommand("PING")[:2])
				raw.Close()
			})
		})
	}
}

// Behaviour 69: one that accepts or connects and then says nothing is dropped after the time for the handshake, 30 s if not set.
//
// Differs: who connects to us has 5 s if nothing is set, since it can be anybody; where we connect it is 30 s.
func TestBehaviour69_SilentPeerIsDropped(t *testing.T) {
	for name, c := range map[string]struct {
		opts           []socket.Option
		client, server time.Duration
	}{
		"default": {nil, 5 * time.Second, 30 * time.Second},
		"set":     {[]socket.Option{socket.WithHandshakeTimeout(4 * time.Second)}, 4 * time.Second, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dealer := socket.NewDealer(c.opts...)
				endpoint, start := bound(t, "inproc", dealer), time.Now()
				raw := dialRaw(t, endpoint) // connects
				raw.ReadGreeting()
				raw.ExpectSilence(c.client - time.Since(start) - time.Millisecond)
				raw.ExpectClosed()

				l := listenRaw(t, fresh("inproc")) // accepts
				start = time.Now()
				connect(t, dealer, l.Endpoint)
				raw = l.Accept()
				raw.SendGreeting(1, "NULL") // as far as that
				raw.ReadGreeting()
				raw.ExpectCommand("READY")
				raw.ExpectSilence(c.server - time.Since(start) - time.Millisecond)
				raw.ExpectClosed()
			})
		})
	}
}

// Behaviour 79: what happens to a connection is told to both sides in order: the server that it listens, accepted, has a peer, lost it; the client that it
// connected, lost the connection and tries again; both that the end has come.
func TestBehaviour79_Events(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		server, client := socket.NewPull(), socket.NewPush(swift())
		serverEvents, clientEvents := server.Events(limit(t)), client.Events(limit(t))
		serverMet := watch(t, server)
		endpoint := bind(t, server, fresh(transport))
		connect(t, client, endpoint)
		awaitPeers(t, client, 1)
		serverMet(socket.Connected) // which is told when the peer is counted already
		clientLost := watch(t, client)
		require.NoError(t, server.Close())
		clientLost(socket.Disconnected)
		if transport == "tcp" { // inproc waits until the name is bound again
			clientLost(socket.Retrying)
			clientLost(socket.Retrying)
		}
		require.NoError(t, client.Close())
		var kinds []socket.EventKind
		for e := range serverEvents { // ends by itself when the socket has
			require.Equal(t, endpoint, e.Endpoint)
			kinds = append(kinds, e.Kind)
		}
		require.Subset(t, kinds, []socket.EventKind{socket.Listening, socket.Accepted, socket.Connected, socket.Disconnected, socket.Unbound})
		require.Equal(t, []socket.EventKind{socket.Listening, socket.Accepted, socket.Connected}, kinds[:3])
		kinds = nil
		for e := range clientEvents {
			require.Equal(t, endpoint, e.Endpoint)
			kinds = append(kinds, e.Kind)
		}
		require.Equal(t, []socket.EventKind{socket.Connected, socket.Disconnected, socket.Retrying}, kinds[:3])
	})
}

// Behaviour 79: a handshake that fails is told with its reason and the address of the peer.
func TestBehaviour79_FailedHandshake(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull()
		await := watch(t, pull)
		raw := dialRaw(t, bound(t, transport, pull))
		raw.SendGreeting(1, "UNKNOWN")
		raw.ExpectClosed()
		e := await(socket.HandshakeFailed)
		require.ErrorContains(t, e.Err, "UNKNOWN")
		require.NotEmpty(t, e.Peer.Address())
	})
}

// Behaviour 79: how full the queues are can be asked at any time, with and without peers.
func TestBehaviour79_QueueStatistics(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push, pull := socket.NewPush(socket.WithLinger(0)), socket.NewPull()
		require.Empty(t, push.Stats().Peers)
		closing(t, push)
		connect(t, push, unbound(t, transport))
		for range 5 {
			send(t, push, "1234567890")
		}
		require.Equal(t, 5, push.Stats().Peers[0].QueueMessages)
		require.Equal(t, 50, push.Stats().Peers[0].QueueBytes)
		raw := rawPeer(t, bound(t, transport, pull), "PUSH")
		for range 3 {
			raw.SendMessage("12345")
		}
		awaitInbox(t, pull, 3)
		require.Equal(t, 15, pull.Stats().Peers[0].InboxBytes)
	})
}
