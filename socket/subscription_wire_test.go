package socket_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// synced returns when everything that p sent has been dealt with.
func synced(p *sockettest.RawPeer) {
	p.SendCommand("PING", []byte("\x00\x00synced"))
	p.ExpectCommand("PONG")
}

// S2: a topic of 246 octets and more makes SUBSCRIBE a long command, of 249 and more CANCEL; with ZMTP 3.0 it is 255.
func TestTrap05_LongTopics(t *testing.T) {
	t.Parallel()
	for minor, forms := range map[byte][2]string{1: {"\x09SUBSCRIBE", "\x06CANCEL"}, 0: {"\x01", "\x00"}} {
		sub, pub := socket.NewSub(socket.WithMaxTopic(16<<10)), socket.NewPub(socket.WithMaxTopic(16<<10))
		defer sub.Close()
		defer pub.Close()
		ln, endpoint := sockettest.Listen(t)
		require.NoError(t, sub.Connect(endpoint))
		theirs := sockettest.AcceptRaw(t, ln)
		theirs.Handshake("PUB", minor)
		require.NoError(t, sub.WaitPeers(limit(t), 1))
		bound, err := pub.Bind("tcp://127.0.0.1:0")
		require.NoError(t, err)
		mine := sockettest.DialRaw(t, bound)
		mine.Handshake("SUB", minor)
		for _, n := range []int{0, 245, 246, 248, 249, 254, 255, 256, 16 << 10} {
			topic := strings.Repeat("t", n)
			require.NoError(t, sub.Subscribe(topic))
			require.NoError(t, sub.Unsubscribe(topic))
			for _, form := range forms {
				body := form + topic
				flags := minor * sockettest.Command
				want := []byte{flags, byte(len(body))}
				if len(body) > 255 {
					want = binary.BigEndian.AppendUint64([]byte{flags | sockettest.Long}, uint64(len(body)))
				}
				assert.Equal(t, append(want, body...), theirs.Read(len(want)+len(body)))
			}
			mine.Subscribe(topic)
			require.NoError(t, pub.WaitSubscribers(limit(t), topic, 1))
			require.NoError(t, pub.Send(limit(t), []byte(topic), []byte(fmt.Sprint(n))))
			assert.Equal(t, []string{topic, fmt.Sprint(n)}, mine.ReadMessage())
			mine.Cancel(topic)
			synced(mine)
			require.NoError(t, pub.Send(limit(t), []byte(topic), []byte("not wanted")))
		}
		synced(mine)
	}
}

// S4: a publisher counts the subscriptions of each peer, in whatever form they came, and a CANCEL too many is nothing.
func TestTrap06_PublisherCounts(t *testing.T) {
	t.Parallel()
	pub := socket.NewPub()
	defer pub.Close()
	bound, err := pub.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	a, b := sockettest.DialRaw(t, bound), sockettest.DialRaw(t, bound)
	a.Handshake("SUB", 1)
	b.Handshake("XSUB", 0)
	wanted := func(wantA, wantB bool) {
		t.Helper()
		require.NoError(t, pub.Send(limit(t), []byte("T")))
		for p, want := range map[*sockettest.RawPeer]bool{a: wantA, b: wantB} {
			if want {
				assert.Equal(t, []string{"T"}, p.ReadMessage())
			}
			synced(p)
		}
	}
	wanted(false, false)
	a.SendCommand("SUBSCRIBE", []byte("T"))
	a.SendMessage("\x01T")
	b.SendMessage("\x01")
	synced(a)
	synced(b)
	wanted(true, true)
	a.SendMessage("\x00T")
	b.SendCommand("CANCEL", []byte("T")) // never asked for
	synced(a)
	synced(b)
	wanted(true, true)
	a.SendCommand("CANCEL", []byte("T"))
	a.SendCommand("CANCEL", []byte("T"))
	b.SendCommand("CANCEL", nil)
	synced(a)
	synced(b)
	wanted(false, false)
	a.SendCommand("SUBSCRIBE", []byte("T"))
	synced(a)
	wanted(true, false)
}

// U6, CVE-2021-20237: what is no subscription is dropped and counted by a PUB, however it looks.
func TestPub_DropsWhatPeersSend(t *testing.T) {
	t.Parallel()
	pub := socket.NewPub()
	defer pub.Close()
	bound, err := pub.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	p := sockettest.DialRaw(t, bound)
	p.Handshake("XSUB", 1)
	odd := [][]string{{""}, {"", ""}, {"\x01A", "more"}, {"\x02A"}, {"", "\x01A"}, {"upstream"}, {strings.Repeat("x", 1<<20)}}
	for _, m := range odd {
		p.SendMessage(m...)
	}
	p.Subscribe("A")
	synced(p)
	assert.Equal(t, uint64(len(odd)), pub.Stats().Dropped[socket.DropUnwanted])
	require.NoError(t, pub.Send(limit(t), []byte("A")))
	assert.Equal(t, []string{"A"}, p.ReadMessage())
}

// S8: what one peer may subscribe to is bounded, and the SUB that would go beyond is told before.
func TestSubscriptionsAreBounded(t *testing.T) {
	t.Parallel()
	const most = 10_000
	ev := &events{}
	pub := socket.NewPub(ev.option())
	defer pub.Close()
	bound, err := pub.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	p := sockettest.DialRaw(t, bound)
	p.Handshake("SUB", 1)
	var all []byte
	topics := make([]string, most)
	for n := range most {
		topics[n] = fmt.Sprintf("%06x", n)
		all = append(append(all, "\x04\x10\x09SUBSCRIBE"...), topics[n]...)
	}
	p.Write(all)
	synced(p)
	require.NoError(t, pub.Send(limit(t), []byte("001fff")))
	assert.Equal(t, []string{"001fff"}, p.ReadMessage())
	p.Subscribe("one more")
	p.ExpectClosed()
	require.NoError(t, pub.WaitSubscribers(limit(t), "001fff", 0))
	require.Eventually(t, func() bool { return len(ev.of(socket.Disconnected)) == 1 }, sockettest.Timeout, time.Millisecond)
	assert.ErrorIs(t, ev.of(socket.Disconnected)[0].Err, socket.ErrTooLarge)

	sub := socket.NewSub()
	defer sub.Close()
	require.NoError(t, sub.Subscribe(topics...))
	assert.ErrorIs(t, sub.Subscribe("one more"), socket.ErrTooLarge)
	require.NoError(t, sub.Unsubscribe(topics[0]))
	require.NoError(t, sub.Subscribe("one more"))
}
