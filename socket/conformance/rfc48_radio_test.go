package conformance

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// toGroup makes a RADIO one that sends to a single group.
func toGroup(s *socket.Radio, group string) body {
	return body{s, nil, func(ctx context.Context, b []byte) error { return s.Send(ctx, group, b) }}
}

// rawDish connects a raw DISH to a RADIO and joins groups.
func rawDish(t *testing.T, radio *socket.Radio, endpoint string, groups ...string) *sockettest.RawPeer {
	t.Helper()
	raw := rawPeer(t, endpoint, "DISH")
	for _, group := range groups {
		before := joined(radio, group)
		raw.SendCommand("JOIN", []byte(group))
		eventually(t, func() bool { return joined(radio, group) == before+1 }, "it has joined")
	}
	return raw
}

// joined returns how many peers are in a group.
func joined(radio *socket.Radio, group string) (n int) {
	for radio.WaitSubscribers(try(), group, n+1) == nil {
		n++
	}
	return n
}

// RFC 48: sending and receiving MUST be atomic, each a single call for a whole message; the pattern MUST NOT allow multipart messages.
// RFC 48, RADIO: MAY be connected to any number of DISH sockets, and SHALL only send messages.
// RFC 48, RADIO: SHALL silently discard any messages that dishes send it.
func TestRFC48_RADIO_OnlySends(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		radio := socket.NewRadio()
		requireNoMultipart(t, radio)
		_, receives := any(radio).(recver)
		require.False(t, receives)
		raw := rawDish(t, radio, bound(t, transport, radio), "g")
		raw.SendMessage("g", "against the rules")
		eventually(t, func() bool { return radio.Stats().Dropped[socket.DropUnwanted] == 1 }, "the message is dropped and counted")
		send(t, toGroup(radio, "g"), "goes on")
		require.Equal(t, []string{"g", "goes on"}, raw.ReadMessage())
	})
}

// RFC 48, RADIO: SHALL not modify outgoing messages in any way.
// RFC 37, RADIO: SHALL send a message as one of two frames, the group and the body.
func TestRFC48_RADIO_SendsAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		radio := socket.NewRadio()
		raw := rawDish(t, radio, bound(t, transport, radio), "g")
		for _, b := range oddBodies() {
			send(t, toGroup(radio, "g"), b)
			require.Equal(t, []string{"g", b}, raw.ReadMessage())
		}
	})
}

// RFC 48, RADIO: SHALL perform the check of membership by comparing whole groups.
// RFC 37, RADIO: SHALL make the checks of membership, rather than the DISH.
func TestRFC48_RADIO_ExactGroup(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		radio := socket.NewRadio()
		endpoint := bound(t, transport, radio)
		groups := []string{"", "a", "ab", "abc", "b", "\xff", strings.Repeat("a", 255)}
		for _, group := range groups {
			raw := rawDish(t, radio, endpoint, group)
			for _, to := range groups {
				send(t, toGroup(radio, to), "to "+to)
			}
			send(t, toGroup(radio, group), "end")
			require.Equal(t, []string{group, "to " + group}, raw.ReadMessage())
			require.Equal(t, []string{group, "end"}, raw.ReadMessage())
			raw.Close()
		}
	})
}

// RFC 48, RADIO: SHALL receive join and leave commands from dishes.
// RFC 48, RADIO: SHALL NOT deliver these commands to its calling application.
func TestRFC48_RADIO_JoinAndLeave(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		radio := socket.NewRadio()
		_, receives := any(radio).(recver)
		require.False(t, receives)
		raw := rawDish(t, radio, bound(t, transport, radio), "a", "b")
		raw.SendCommand("LEAVE", []byte("a"))
		raw.SendCommand("LEAVE", []byte("never joined"))
		eventually(t, func() bool { return joined(radio, "a") == 0 }, "it has left")
		send(t, toGroup(radio, "a"), "to nobody")
		send(t, toGroup(radio, "b"), "to the one")
		require.Equal(t, []string{"b", "to the one"}, raw.ReadMessage())
	})
}

// RFC 48, RADIO: SHALL maintain a single outgoing message queue for each connected socket.
// RFC 48, RADIO: SHALL silently drop the message if the queue for a dish is full.
// RFC 48, RADIO: SHALL NOT block on sending.
// RFC 48, RADIO: SHOULD constrain queue sizes to a limit that is set at run time.
func TestRFC48_RADIO_DropsWhatIsTooMuch(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		radio := socket.NewRadio(socket.WithSendHWM(3))
		endpoint := bound(t, transport, radio)
		slow := rawDish(t, radio, endpoint, "slow")
		quick := rawDish(t, radio, endpoint, "quick")
		large := strings.Repeat("l", 64<<10)
		for radio.Stats().Dropped[socket.DropFull] == 0 {
			require.NoError(t, trySend(toGroup(radio, "slow"), large))
		}
		require.NoError(t, trySend(toGroup(radio, "quick"), "not concerned"))
		require.Equal(t, []string{"quick", "not concerned"}, quick.ReadMessage())
		require.Equal(t, []string{"slow", large}, slow.ReadMessage())
	})
}

// RFC 48, RADIO: SHALL create a queue when a socket connects to it; when that disconnects, SHALL destroy the queue and discard the messages in it.
func TestRFC48_RADIO_DestroysQueueOfAcceptedPeer(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		radio := socket.NewRadio(socket.WithSendHWM(5))
		endpoint := bound(t, transport, radio)
		raw := rawDish(t, radio, endpoint, "g")
		for radio.Stats().Dropped[socket.DropFull] == 0 {
			require.NoError(t, trySend(toGroup(radio, "g"), strings.Repeat("old", 20_000)))
		}
		gone := watch(t, radio)
		raw.Close()
		gone(socket.Disconnected)
		require.Positive(t, radio.Stats().Dropped[socket.DropPeerGone])
		require.Zero(t, joined(radio, "g"))

		raw = rawDish(t, radio, endpoint, "g")
		send(t, toGroup(radio, "g"), "new")
		require.Equal(t, []string{"g", "new"}, raw.ReadMessage())
	})
}

// RFC 48, RADIO: SHALL create the queue of a socket that it connects to at once, and SHALL maintain it whether or not the connection is established.
//
// Differs: which groups a dish joined is known only from its connection, so before that no message could be for it, and after it
// what is queued is out of date; it is discarded and counted. libzmq's RADIO queues nothing before the first JOIN either.
func TestRFC48_RADIO_NoQueueWithoutConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		radio := socket.NewRadio(swift())
		closing(t, radio)
		l := listenRaw(t, fresh(transport))
		connect(t, radio, l.Endpoint)
		require.NoError(t, trySend(toGroup(radio, "g"), "before"))
		for range 2 {
			raw := l.Peer("DISH")
			raw.SendCommand("JOIN", []byte("g"))
			require.NoError(t, radio.WaitSubscribers(limit(t), "g", 1))
			send(t, toGroup(radio, "g"), "now")
			require.Equal(t, []string{"g", "now"}, raw.ReadMessage())
			gone := watch(t, radio)
			raw.Close()
			gone(socket.Disconnected)
			require.NoError(t, trySend(toGroup(radio, "g"), "between"))
		}
	})
}

// RFC 48, RADIO: MUST be thread-safe and allow sending from several threads at once.
// RFC 48, RADIO: MUST allow attaching a group to a message in a thread-safe way.
// RFC 48, DISH: MUST be thread-safe and allow receiving from several threads at once.
// RFC 48, DISH: MUST allow retrieving the group of a message in a thread-safe way.
func TestRFC48_RADIO_DISH_ManyGoroutines(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const goroutines, each = 8, 50
		radio, dish := socket.NewRadio(), socket.NewDish(socket.WithRecvHWM(0))
		for g := range goroutines {
			require.NoError(t, dish.Join(fmt.Sprint(g)))
		}
		join(t, transport, radio, dish)
		require.NoError(t, radio.WaitSubscribers(limit(t), fmt.Sprint(goroutines-1), 1))
		var all sync.WaitGroup
		for g := range goroutines {
			all.Go(func() {
				for range each {
					assert.NoError(t, radio.Send(limit(t), fmt.Sprint(g), fmt.Append(nil, "to ", g)))
				}
			})
			all.Go(func() {
				for range each {
					m, err := dish.Recv(limit(t))
					assert.NoError(t, err)
					assert.Equal(t, "to "+m.Group(), m.String())
				}
			})
		}
		all.Wait()
	})
}

// RFC 48, Group: the length MUST be between 0 and 255 bytes.
// RFC 48, Group: each character MUST be one byte of 1 to 255.
func TestRFC48_Group(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		var all []byte
		for c := 1; c <= 255; c++ {
			all = append(all, byte(c))
		}
		radio, dish := socket.NewRadio(), socket.NewDish()
		for _, group := range []string{"", string(all)} {
			require.NoError(t, dish.Join(group))
		}
		endpoint := join(t, transport, radio, dish)
		for _, group := range []string{"", string(all)} {
			require.NoError(t, radio.WaitSubscribers(limit(t), group, 1))
			send(t, toGroup(radio, group), "legal")
			require.Equal(t, group, recv(t, dish).Group())
		}
		for _, illegal := range []string{strings.Repeat("x", 256), "zero\x00byte", "\x00"} {
			require.ErrorIs(t, dish.Join(illegal), socket.ErrGroup)
			require.ErrorIs(t, radio.Send(limit(t), illegal, nil), socket.ErrGroup)
			events := watch(t, radio)
			raw := rawPeer(t, endpoint, "DISH")
			raw.SendCommand("JOIN", []byte(illegal))
			raw.ExpectClosed()
			require.ErrorIs(t, events(socket.Disconnected).Err, socket.ErrGroup)
		}
	})
}
