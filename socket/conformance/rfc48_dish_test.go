package conformance

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// dishOf makes a DISH that joined groups.
func dishOf(t *testing.T, groups []string, opts ...socket.Option) *socket.Dish {
	t.Helper()
	dish := socket.NewDish(opts...)
	require.NoError(t, dish.Join(groups...))
	return dish
}

// rawRadio connects a raw RADIO to a DISH and waits for what that joins.
func rawRadio(t *testing.T, endpoint string, joins int, properties ...sockettest.Property) *sockettest.RawPeer {
	t.Helper()
	raw := rawPeer(t, endpoint, "RADIO", properties...)
	for range joins {
		raw.ExpectCommand("JOIN")
	}
	return raw
}

// RFC 48, DISH: MAY be connected to any number of RADIO sockets, and SHALL only receive messages.
func TestRFC48_DISH_OnlyReceives(t *testing.T) {
	t.Parallel()
	_, sends := reflect.TypeFor[*socket.Dish]().MethodByName("Send")
	require.False(t, sends)
}

// RFC 48, DISH: SHALL not modify incoming messages in any way.
// RFC 48, DISH: SHALL attach the group to the message.
// RFC 48, DISH: SHALL deliver messages to its calling application.
func TestRFC48_DISH_DeliversAsIs(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		groups := []string{"", "a", strings.Repeat("g", 255)}
		dish := dishOf(t, groups)
		raw := rawRadio(t, bound(t, transport, dish), len(groups))
		for _, group := range groups {
			for _, b := range oddBodies() {
				raw.SendMessage(group, b)
				m := recv(t, dish)
				require.Equal(t, group, m.Group())
				require.Equal(t, []string{b}, texts(m.Frames))
			}
		}
		raw.SendMessage("not joined", "x")
		raw.SendMessage("a", "several", "frames")
		raw.SendMessage("a")
		raw.SendMessage("a", "end")
		requireRecv(t, dish, "end")
	})
}

// RFC 37, DISH: SHALL send a JOIN command to join a group.
// RFC 37, DISH: SHALL send a LEAVE command to leave a group.
// RFC 48, DISH: MAY send join and leave commands to radios.
func TestRFC48_DISH_JoinsAndLeaves(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		dish := dishOf(t, []string{"first"})
		endpoint := bound(t, transport, dish)
		raw := rawPeer(t, endpoint, "RADIO")
		require.Equal(t, "first", string(raw.ExpectCommand("JOIN")))
		long := strings.Repeat("g", 255) // which takes a long command
		require.NoError(t, dish.Join("", long))
		require.Empty(t, raw.ExpectCommand("JOIN"))
		require.Equal(t, long, string(raw.ExpectCommand("JOIN")))
		require.NoError(t, dish.Leave("first", long))
		require.Equal(t, "first", string(raw.ExpectCommand("LEAVE")))
		require.Equal(t, long, string(raw.ExpectCommand("LEAVE")))
		require.Empty(t, rawPeer(t, endpoint, "RADIO").ExpectCommand("JOIN"), "another radio is told what is joined now")
	})
}

// RFC 48, DISH: SHALL maintain a single incoming message queue for each connected radio.
// RFC 48, DISH: SHOULD constrain queue sizes to a limit that is set at run time.
func TestRFC48_DISH_QueuePerRadio(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		dish := dishOf(t, []string{"g"}, socket.WithRecvHWM(3))
		endpoint := bound(t, transport, dish)
		eager := rawRadio(t, endpoint, 1, sockettest.Property{Name: "X-Name", Value: "eager"})
		modest := rawRadio(t, endpoint, 1, sockettest.Property{Name: "X-Name", Value: "modest"})
		awaitPeers(t, dish, 2)
		clog(t, dish, eager, "g", strings.Repeat("e", 64<<10))
		full := inboxOf(dish, "eager")
		require.GreaterOrEqual(t, full, 3)
		require.LessOrEqual(t, full, 3+4, "one read may go beyond, which is at most 256 KiB")
		modest.SendMessage("g", "m")
		eventually(t, func() bool { return inboxOf(dish, "modest") == 1 }, "the message of the other radio")
		for i := 0; ; i++ {
			require.Less(t, i, full, "the other radio has its turn")
			if recv(t, dish).String() == "m" {
				return
			}
		}
	})
}

// RFC 48, DISH: SHALL silently discard messages if the queue for a radio is full.
//
// Differs: the dish reads no further from that radio, as libzmq does. The radio then drops what it cannot queue, where the drop is
// counted and can be configured; what is on its way already is not lost.
func TestRFC48_DISH_FullQueueHoldsTheRadioBack(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		dish := dishOf(t, []string{"g"}, socket.WithRecvHWM(3))
		raw := rawRadio(t, bound(t, transport, dish), 1)
		var sent int
		message := func(i int) []byte {
			body := binary.BigEndian.AppendUint32(make([]byte, 0, 64<<10), uint32(i))[:64<<10]
			return append(binary.BigEndian.AppendUint64([]byte("\x01\x01g\x02"), uint64(len(body))), body...)
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		defer raw.Close()
		wg.Go(func() { // held back, again and again
			for ; sent < 200; sent++ {
				if _, err := raw.Conn().Write(message(sent)); err != nil {
					return
				}
			}
		})
		awaitInbox(t, dish, 3)
		for i := range 200 {
			require.Equal(t, uint32(i), binary.BigEndian.Uint32(recv(t, dish).Bytes()))
		}
		require.Empty(t, dish.Stats().Dropped)
	})
}

// RFC 48, DISH: SHALL create the queue of a radio that it connects to at once, and SHALL maintain it whether or not the connection is established.
func TestRFC48_DISH_QueueOutlivesConnection(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		dish := dishOf(t, []string{"g"}, swift())
		closing(t, dish)
		l := listenRaw(t, fresh(transport))
		connect(t, dish, l.Endpoint)
		for range 2 {
			raw := l.Peer("RADIO")
			require.Equal(t, "g", string(raw.ExpectCommand("JOIN")))
			for i := range 3 {
				raw.SendMessage("g", fmt.Sprint(i))
			}
			awaitInbox(t, dish, 3)
			gone := watch(t, dish)
			raw.Close()
			gone(socket.Disconnected)
			for i := range 3 {
				requireRecv(t, dish, fmt.Sprint(i))
			}
		}
	})
}

// RFC 48, DISH: SHALL create a queue when a radio connects to it; when that disconnects, SHALL destroy the queue and discard the messages in it.
//
// Differs: what has arrived is delivered. A RADIO that sends its last message and closes would otherwise lose it, and nobody would know.
func TestRFC48_DISH_KeepsWhatArrived(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		dish := dishOf(t, []string{"g"})
		gone := watch(t, dish)
		raw := rawRadio(t, bound(t, transport, dish), 1)
		for i := range 3 {
			raw.SendMessage("g", fmt.Sprint(i))
		}
		raw.Close()
		gone(socket.Disconnected)
		for i := range 3 {
			requireRecv(t, dish, fmt.Sprint(i))
		}
		requireNothing(t, dish)
	})
}

// RFC 48, DISH: SHALL receive from its sockets with a fair-queuing strategy.
func TestRFC48_DISH_FairQueue(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		dish := dishOf(t, []string{"g"})
		endpoint := bound(t, transport, dish)
		radios := map[string]*sockettest.RawPeer{"a": rawRadio(t, endpoint, 1), "b": rawRadio(t, endpoint, 1), "c": rawRadio(t, endpoint, 1)}
		awaitPeers(t, dish, len(radios))
		const rounds = 4
		for round := range rounds {
			n := 0
			for name, raw := range radios {
				raw.SendMessage("g", name)
				n++
				awaitInbox(t, dish, round*len(radios)+n)
			}
		}
		for range rounds {
			turn := map[string]bool{}
			for range radios {
				turn[recv(t, dish).String()] = true
			}
			require.Len(t, turn, len(radios), "each has its turn")
		}
	})
}
