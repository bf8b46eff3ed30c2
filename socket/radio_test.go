package socket_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

func TestRadioDish_ExactGroup(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		radio, dish := socket.NewRadio(), socket.NewDish()
		longest := strings.Repeat("g", 255)
		require.NoError(t, dish.Join("news", "", longest))
		join(t, transport, radio, dish)
		for _, group := range []string{"news", "", longest} { // their JOINs may come in any order
			require.NoError(t, radio.WaitSubscribers(limit(t), group, 1))
		}
		for _, group := range []string{"new", "news", "newsflash", "", "n", longest, longest[1:]} {
			require.NoError(t, radio.Send(limit(t), group, text("to "+group)))
		}
		for _, group := range []string{"news", "", longest} {
			m := recv(t, dish)
			require.Equal(t, group, m.Group())
			requireMsg(t, m, "to "+group)
			require.Equal(t, group, m.Clone().Group())
		}
		recvNothing(t, dish)
		require.Empty(t, radio.Stats().Dropped)
		require.Empty(t, socket.Msg{}.Group())

		require.NoError(t, dish.Leave("news"))
		require.NoError(t, dish.Join("new"))
		require.NoError(t, radio.WaitSubscribers(limit(t), "new", 1))
		require.NoError(t, radio.Send(limit(t), "news", text("x")))
		require.NoError(t, radio.Send(limit(t), "new", text("y")))
		requireMsg(t, recv(t, dish), "y")
	})
}

func TestDish_JoinAndLeaveErrors(t *testing.T) {
	t.Parallel()
	dish, radio := socket.NewDish(), socket.NewRadio()
	require.NoError(t, dish.Join("a"))
	require.ErrorIs(t, dish.Join("a"), socket.ErrState)
	require.ErrorIs(t, dish.Leave("b"), socket.ErrState)
	require.NoError(t, dish.Leave("a"))
	require.ErrorIs(t, dish.Leave("a"), socket.ErrState)
	long := strings.Repeat("x", 256)
	for _, illegal := range []string{long, strings.Repeat("x", 1<<20), "a\x00b"} {
		require.ErrorIs(t, dish.Join(illegal), socket.ErrGroup)
		require.ErrorIs(t, dish.Leave(illegal), socket.ErrGroup)
		require.ErrorIs(t, radio.Send(limit(t), illegal, nil), socket.ErrGroup)
	}
	require.NoError(t, dish.Close())
	require.NoError(t, radio.Close())
	require.ErrorIs(t, dish.Join("c"), socket.ErrClosed)
	require.ErrorIs(t, radio.Send(limit(t), "c", nil), socket.ErrClosed)
	require.ErrorIs(t, (&socket.Dish{}).Join("c"), socket.ErrState)
	require.ErrorIs(t, (&socket.Radio{}).Send(limit(t), "c", nil), socket.ErrState)
}

// A radio that comes back is told all groups again, and those joined meanwhile.
func TestDish_JoinsAgainAfterReconnect(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		radio, dish := socket.NewRadio(), socket.NewDish(swift(), socket.WithRecvHWM(10))
		bound := join(t, transport, radio, dish)
		const groups = 2000
		for i := range groups {
			require.NoError(t, dish.Join(fmt.Sprint(i)))
		}
		require.NoError(t, radio.WaitSubscribers(limit(t), fmt.Sprint(groups-1), 1))
		lost := watch(t, dish)
		require.NoError(t, radio.Close())
		lost(socket.Disconnected)
		require.NoError(t, dish.Leave("0"))
		require.NoError(t, dish.Join("new"))
		again := socket.NewRadio()
		closing(t, again)
		bind(t, again, bound)
		require.NoError(t, again.WaitSubscribers(limit(t), "new", 1))
		for i := 1; i < groups; i++ {
			require.NoError(t, again.WaitSubscribers(limit(t), fmt.Sprint(i), 1))
		}
		require.Error(t, again.WaitSubscribers(try(), "0", 1))
	})
}

// What goes over the wire: RFC 37, 2.6, as libzmq does it.
func TestRadioDish_Wire(t *testing.T) {
	t.Parallel()
	for _, minor := range []byte{0, 1} {
		radio, dish := socket.NewRadio(), socket.NewDish()
		closing(t, radio, dish)
		peer := sockettest.DialRaw(t, bind(t, radio, "tcp://127.0.0.1:0"))
		peer.Handshake("DISH", minor)
		peer.SendCommand("JOIN", text("g"))
		require.NoError(t, radio.WaitSubscribers(limit(t), "g", 1))
		require.NoError(t, radio.Send(limit(t), "g", text("body")))
		require.Equal(t, []string{"g", "body"}, peer.ReadMessage())
		peer.SendCommand("LEAVE", text("never joined"))
		peer.SendCommand("LEAVE", text("g"))
		peer.SendCommand("SUBSCRIBE", text("s"))
		peer.SendCommand("JOIN", text("h"))
		require.NoError(t, radio.WaitSubscribers(limit(t), "h", 1))
		require.Error(t, radio.WaitSubscribers(try(), "g", 1))
		require.Error(t, radio.WaitSubscribers(try(), "s", 1))

		require.NoError(t, dish.Join("g"))
		peer = sockettest.DialRaw(t, bind(t, dish, "tcp://127.0.0.1:0"))
		peer.Handshake("RADIO", minor)
		require.Equal(t, "g", string(peer.ExpectCommand("JOIN")))
		require.NoError(t, dish.Leave("g"))
		require.Equal(t, "g", string(peer.ExpectCommand("LEAVE")))
	}
}

// Messages that are not a group and a body are dropped and counted; those of groups not joined are none of ours.
func TestDish_DropsMalformed(t *testing.T) {
	t.Parallel()
	dish := socket.NewDish()
	closing(t, dish)
	require.NoError(t, dish.Join("g"))
	peer := sockettest.DialRaw(t, bind(t, dish, "tcp://127.0.0.1:0"))
	peer.Handshake("RADIO", 1)
	peer.SendMessage("g")
	peer.SendMessage("g", "two", "frames")
	peer.SendMessage(strings.Repeat("g", 300), "not joined")
	peer.SendMessage("g", "good")
	m := recv(t, dish)
	requireMsg(t, m, "good")
	require.Equal(t, "g", m.Group())
	require.Equal(t, map[socket.DropReason]uint64{socket.DropMalformed: 2}, dish.Stats().Dropped)
}

// A RADIO drops what DISH peers send, drops for a peer that does not read, and never blocks.
func TestRadio_NeverBlocks(t *testing.T) {
	t.Parallel()
	radio := socket.NewRadio(socket.WithSendHWM(10))
	closing(t, radio)
	peer := sockettest.DialRaw(t, bind(t, radio, "tcp://127.0.0.1:0"))
	peer.Handshake("DISH", 1)
	peer.SendMessage("g", "from below")
	peer.SendCommand("JOIN", text("g"))
	require.NoError(t, radio.WaitSubscribers(limit(t), "g", 1))
	require.Equal(t, map[socket.DropReason]uint64{socket.DropUnwanted: 1}, radio.Stats().Dropped)
	body := make([]byte, 1<<20)
	for radio.Stats().Dropped[socket.DropFull] == 0 {
		require.NoError(t, radio.Send(try(), "g", body))
	}
}

// A DISH that breaks the rules loses its connection, and the reason is an event.
func TestRadio_HostileDish(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ command, group string }{
		{"JOIN", strings.Repeat("x", 256)}, {"JOIN", strings.Repeat("x", 30_000)}, {"LEAVE", strings.Repeat("x", 256)}, {"JOIN", "a\x00b"}, {"LEAVE", "\x00"},
	} {
		t.Run(fmt.Sprintf("%s of %d", tc.command, len(tc.group)), func(t *testing.T) {
			t.Parallel()
			radio := socket.NewRadio()
			closing(t, radio)
			lost := watch(t, radio)
			peer := sockettest.DialRaw(t, bind(t, radio, "tcp://127.0.0.1:0"))
			peer.Handshake("DISH", 1)
			peer.SendCommand(tc.command, text(tc.group))
			require.ErrorIs(t, lost(socket.Disconnected).Err, socket.ErrGroup)
		})
	}
}

// What one DISH may join is bounded, as subscriptions are.
func TestRadio_GroupsAreBounded(t *testing.T) {
	t.Parallel()
	lost := make(chan error, 1)
	radio := socket.NewRadio(socket.WithEventHandler(func(e socket.Event) {
		if e.Kind == socket.Disconnected {
			lost <- e.Err
		}
	}))
	closing(t, radio)
	peer := sockettest.DialRaw(t, bind(t, radio, "tcp://127.0.0.1:0"))
	peer.Handshake("DISH", 1)
	var flood []byte
	for i := range 10_000 + 1 {
		group := fmt.Appendf(nil, "%x", i)
		flood = append(flood, 4, byte(5+len(group)), 4)
		flood = append(append(flood, "JOIN"...), group...)
	}
	require.NoError(t, peer.Conn().SetDeadline(time.Now().Add(sockettest.Timeout)))
	peer.Conn().Write(flood) // fails when the connection ends before the last byte is taken
	select {
	case err := <-lost:
		require.ErrorIs(t, err, socket.ErrTooLarge)
	case <-time.After(sockettest.Timeout):
		require.Fail(t, "it joins without end")
	}
}
