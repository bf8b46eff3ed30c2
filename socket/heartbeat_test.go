package socket_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport"
)

// The clock of these tests is synctest's, and the connections are inproc, which has no descriptors.

// events collects the events of a socket.
type events struct {
	mu  sync.Mutex
	all []socket.Event
}

func (e *events) option() socket.Option {
	return socket.WithEventHandler(func(ev socket.Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all = append(e.all, ev)
	})
}

// of returns the events of a kind so far.
func (e *events) of(kind socket.EventKind) (some []socket.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		if ev.Kind == kind {
			some = append(some, ev)
		}
	}
	return some
}

// dialInproc connects a raw peer to an inproc endpoint.
func dialInproc(t *testing.T, endpoint string) *sockettest.RawPeer {
	t.Helper()
	ep, err := transport.ParseConnect(endpoint)
	require.NoError(t, err)
	conn, err := ep.Dial(t.Context())
	require.NoError(t, err)
	return sockettest.NewRaw(t, conn)
}

// beating runs test in a bubble with a PULL socket and a raw PUSH peer of ZMTP 3.minor.
func beating(t *testing.T, minor byte, test func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events), opts ...socket.Option) {
	synctest.Test(t, func(t *testing.T) {
		ev := &events{}
		pull := socket.NewPull(append(opts, ev.option())...)
		defer pull.Close()
		endpoint, err := pull.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		raw := dialInproc(t, endpoint)
		defer raw.Close()
		raw.Handshake("PUSH", minor)
		synctest.Wait()
		require.Len(t, ev.of(socket.Connected), 1)
		test(t, pull, raw, ev)
	})
}

// after waits in the bubble's time until everything that is due in d has happened.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// arrived takes one message that is there already. Callers in a bubble may not wait: what waiters wait on is shared
// between sockets, and so between bubbles.
func arrived(t *testing.T, pull *socket.Pull) string {
	t.Helper()
	synctest.Wait()
	m, err := pull.Recv(ended())
	require.NoError(t, err)
	return m.String()
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func disconnected(t *testing.T, ev *events) error {
	t.Helper()
	synctest.Wait()
	require.Len(t, ev.of(socket.Disconnected), 1)
	return ev.of(socket.Disconnected)[0].Err
}

// RFC 37, "Connection Heartbeating": PING, a TTL of two octets in tenths of a second, a context of up to 16 octets.
func TestHeartbeat_PingOnTheWire(t *testing.T) {
	beating(t, 1, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
		start := time.Now()
		for n := range 5 {
			raw.Expect("04 0f 04 'PING' 00 96") // 15 s
			context := raw.Read(8)
			assert.Equal(t, time.Duration(n+1)*5*time.Second, time.Since(start))
			raw.SendCommand("PONG", context)
		}
		assert.Empty(t, ev.of(socket.Disconnected))
	}, socket.WithHeartbeat(5*time.Second, 15*time.Second))
}

// Trap 10: libzmq keeps a TTL in 16 bits of milliseconds, so more than 65.5 s wraps there to something short.
func TestTrap10_TTLIsAtMost655(t *testing.T) {
	for _, c := range []struct {
		interval, dead time.Duration
		ttl            string
	}{
		{time.Second, 65 * time.Second, "02 8a"},
		{time.Second, 65500 * time.Millisecond, "02 8f"},
		{time.Second, 70 * time.Second, "02 8f"},
		{time.Second, 24 * time.Hour, "02 8f"},
		{30 * time.Second, 90 * time.Second, "02 8f"},
		// A peer that obeys would hang up between two PINGs.
		{time.Minute, 3 * time.Minute, "00 00"},
		{2 * time.Minute, 5 * time.Minute, "00 00"},
	} {
		t.Run(fmt.Sprint(c.interval, c.dead), func(t *testing.T) {
			beating(t, 1, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
				after(c.interval)
				raw.Expect("04 0f 04 'PING'" + c.ttl)
			}, socket.WithHeartbeat(c.interval, c.dead))
		})
	}
}

// Trap 10 and P1, P2: PONG echoes the context, which has at most 16 octets.
func TestTrap10_PongEchoesContext(t *testing.T) {
	for _, minor := range []byte{0, 1} { // P5: also where no PING may be sent
		t.Run(fmt.Sprint("3.", minor), func(t *testing.T) {
			beating(t, minor, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
				for n := range 17 {
					context := hex.EncodeToString([]byte("0123456789abcdef")[:n])
					raw.Send(fmt.Sprintf("04 %02x 04 'PING' 00 00 %s", 7+n, context))
					raw.Expect(fmt.Sprintf("04 %02x 04 'PONG' %s", 5+n, context))
				}
				raw.Send("04 18 04 'PING' 00 00 '0123456789abcdefg'")
				raw.ExpectClosed()
				assert.ErrorContains(t, disconnected(t, ev), "PING has a context of 17 octets")
			}, socket.WithHeartbeat(0, 0))
		})
	}
}

func TestHeartbeat_SilentPeerIsDead(t *testing.T) {
	beating(t, 1, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
		start := time.Now()
		assert.Contains(t, string(raw.ExpectClosed()), "PING")
		assert.Equal(t, 9*time.Second, time.Since(start))
		assert.EqualError(t, disconnected(t, ev), "peer is silent: no traffic and no answer to PING for 9s")
		assert.Empty(t, pull.Stats().Peers)
	}, socket.WithHeartbeat(3*time.Second, 9*time.Second))
}

// P3: any traffic is a sign of life, and no PONG is needed then.
func TestHeartbeat_AnyTrafficIsLife(t *testing.T) {
	for name, speak := range map[string]func(*sockettest.RawPeer){
		"message":                   func(raw *sockettest.RawPeer) { raw.SendMessage("x") },
		"a byte of a large message": func(raw *sockettest.RawPeer) { raw.Send("00") },
		"an unknown command":        func(raw *sockettest.RawPeer) { raw.SendCommand("HUM", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			beating(t, 1, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
				if name == "a byte of a large message" {
					raw.Send("02 00 00 00 00 00 01 00 00")
				}
				for range 30 {
					after(8 * time.Second)
					speak(raw)
				}
				synctest.Wait()
				assert.Empty(t, ev.of(socket.Disconnected))
				after(20 * time.Second)
				assert.ErrorContains(t, disconnected(t, ev), "peer is silent")
			}, socket.WithHeartbeat(3*time.Second, 9*time.Second))
		})
	}
}

// Peers that speak ZMTP 3.0 would hand a PING to the application.
func TestHeartbeat_NoneTowardsOldPeers(t *testing.T) {
	beating(t, 0, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
		raw.ExpectSilence(10 * time.Minute)
		raw.SendMessage("still here")
		assert.Equal(t, "still here", arrived(t, pull))
	})
}

func TestHeartbeat_ZeroTurnsOff(t *testing.T) {
	for _, dead := range []time.Duration{0, time.Minute} {
		t.Run(dead.String(), func(t *testing.T) {
			beating(t, 1, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
				raw.ExpectSilence(10 * time.Minute)
				// The peer's own wish is obeyed all the same.
				raw.Send("04 07 04 'PING' 03 84") // 90 s
				raw.Expect("04 05 04 'PONG'")
				start := time.Now()
				after(89 * time.Second)
				assert.Empty(t, ev.of(socket.Disconnected))
				after(2 * time.Second)
				assert.ErrorContains(t, disconnected(t, ev), "peer is silent")
				assert.Equal(t, 91*time.Second, time.Since(start))
			}, socket.WithHeartbeat(0, dead))
		})
	}
}

// A peer that says nothing of itself must have time to answer a PING.
func TestHeartbeat_LeavesTimeForAnAnswer(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull(socket.WithHeartbeat(time.Second, time.Second))
	_, err := pull.Bind("inproc://" + t.Name())
	require.ErrorIs(t, err, socket.ErrOption)
	assert.ErrorContains(t, err, "WithHeartbeat(1s, 1s): want 0 <= interval < dead")
	require.NoError(t, pull.Close())

	beating(t, 1, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
		for range 100 {
			context := raw.Read(17)[9:]
			after(99 * time.Millisecond)
			raw.SendCommand("PONG", context)
		}
		synctest.Wait()
		assert.Empty(t, ev.of(socket.Disconnected))
	}, socket.WithHeartbeat(time.Second, 1100*time.Millisecond))
}

// RFC 37: after a PING with a TTL, that much silence means that the peer is gone. The shorter of it and our own limit
// counts.
func TestHeartbeat_ObeysTTL(t *testing.T) {
	for _, minor := range []byte{0, 1} {
		t.Run(fmt.Sprint("3.", minor), func(t *testing.T) {
			beating(t, minor, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
				raw.Send("04 07 04 'PING' 00 14") // 2 s
				raw.Expect("04 05 04 'PONG'")
				after(1900 * time.Millisecond)
				assert.Empty(t, ev.of(socket.Disconnected))
				after(200 * time.Millisecond)
				assert.ErrorContains(t, disconnected(t, ev), "peer is silent")
			})
		})
	}
}

// What the peer demands of us is not what we demand of the peer: it may be a matter of its short interval.
func TestHeartbeat_TheirTTLIsNotOurs(t *testing.T) {
	beating(t, 1, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
		raw.Send("04 07 04 'PING' 00 14") // 2 s
		raw.Expect("04 05 04 'PONG'")
		after(1500 * time.Millisecond)
		raw.SendMessage("x")
		raw.Expect("04 0f 04 'PING' 01 2c") // 30 s
	})
}

func TestHeartbeat_RoundTripInStats(t *testing.T) {
	beating(t, 1, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
		assert.Zero(t, pull.Stats().Peers[0].LastRTT)
		raw.Expect("04 0f 04 'PING' 01 2c")
		context := raw.Read(8)
		after(42 * time.Millisecond)
		raw.SendCommand("PONG", context)
		synctest.Wait()
		assert.Equal(t, 42*time.Millisecond, pull.Stats().Peers[0].LastRTT)
		// Contexts that are none of ours say nothing.
		raw.SendCommand("PONG", nil)
		raw.SendCommand("PONG", []byte("\xff\xff\xff\xff\xff\xff\xff\xff"))
		raw.SendCommand("PONG", []byte("0123456789abcdef"))
		synctest.Wait()
		assert.Equal(t, 42*time.Millisecond, pull.Stats().Peers[0].LastRTT)
	}, socket.WithHeartbeat(5*time.Second, 30*time.Second))
}

// While the application is busy and the inbox full, nothing is read, so the peer's silence means nothing, and we show
// that we live. Nothing that was sent is lost.
func TestHeartbeat_GoesOnWhileInboxIsFull(t *testing.T) {
	beating(t, 1, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
		for n := range 10 {
			raw.SendMessage(fmt.Sprint(n))
			synctest.Wait()
		}
		for n := range 20 {
			raw.SendMessage(fmt.Sprint(10 + n))
		}
		for range 5 {
			raw.Expect("04 0f 04 'PING' 01 2c")
			raw.Read(8)
		}
		for range 35 {
			raw.Expect("04 05 04 'PONG'") // as good a sign of life, and asks for nothing
		}
		assert.Empty(t, ev.of(socket.Disconnected), "after 200 s")
		assert.Equal(t, 10, pull.Stats().Peers[0].InboxMessages)
		for n := range 30 {
			assert.Equal(t, fmt.Sprint(n), arrived(t, pull))
		}
	}, socket.WithRecvHWM(10), socket.WithHeartbeat(5*time.Second, 30*time.Second))
}

// RFC 37: only a small number of PINGs goes to a peer that never answers one, however much it says otherwise. What is sent in their
// place tells it that we live.
func TestHeartbeat_FewPingsUnanswered(t *testing.T) {
	beating(t, 1, func(t *testing.T, pull *socket.Pull, raw *sockettest.RawPeer, ev *events) {
		var context []byte
		for range 3 {
			for range 5 {
				raw.Expect("04 0f 04 'PING' 01 2c")
				context = raw.Read(8)
				raw.SendMessage("x")
			}
			for range 20 {
				raw.Expect("04 05 04 'PONG'")
				raw.SendMessage("x")
			}
			raw.SendCommand("PONG", context)
		}
		synctest.Wait()
		assert.Empty(t, ev.of(socket.Disconnected))
	}, socket.WithHeartbeat(5*time.Second, 30*time.Second))
}

// P6: a PONG does not wait behind messages to be sent, nor for a place among them.
func TestHeartbeat_PongPassesQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		push := socket.NewPush(socket.WithSendHWM(5), socket.WithLinger(0), socket.WithHeartbeat(0, 0))
		defer push.Close()
		endpoint, err := push.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		raw := dialInproc(t, endpoint)
		raw.Handshake("PULL", 1)
		synctest.Wait()
		body := make([]byte, 1<<20) // the connection holds one, and a flight one more
		sent := 0
		for ; push.Send(ended(), body) == nil; sent++ {
			synctest.Wait()
		}
		require.Equal(t, 1+5, sent)
		require.Equal(t, 5, push.Stats().Peers[0].QueueMessages)
		raw.SendCommand("PING", []byte("\x00\x00here"))
		synctest.Wait()
		assert.Equal(t, 5, push.Stats().Peers[0].QueueMessages, "a PONG is not counted")
		before := 0
		for {
			f := raw.ReadFrame()
			if f.Flags&sockettest.Command != 0 {
				assert.Equal(t, "\x04PONGhere", string(f.Body))
				break
			}
			before++
		}
		assert.Less(t, before, 5)
		for range sent - before {
			raw.ReadFrame()
		}
	})
}
