package socket_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// windowedSocket is what has a window, of whatever type.
type windowedSocket interface {
	connector
	recver
	Stats() socket.Stats
}

// Each type that receives on acknowledged links drops what it has handled, whatever connection it comes again on, tells copies of a place apart by what the sender wrote
// (a ROUTER's routing ids are not part of that), and holds back what comes while it is being handled. Others have no such option.
func TestWindow_EachType(t *testing.T) {
	t.Parallel()
	subscribed := func(s *socket.Sub) *socket.Sub { require.NoError(t, s.Subscribe("")); return s }
	for name, test := range map[string]struct {
		open func(...socket.Option) windowedSocket
		peer string
		lead int // frames that the sender did not write
	}{
		"PULL":   {func(o ...socket.Option) windowedSocket { return socket.NewPull(o...) }, "PUSH", 0},
		"DEALER": {func(o ...socket.Option) windowedSocket { return socket.NewDealer(o...) }, "ROUTER", 0},
		"ROUTER": {func(o ...socket.Option) windowedSocket { return socket.NewRouter(o...) }, "DEALER", 1},
		"SUB": {func(o ...socket.Option) windowedSocket {
			return subscribed(socket.NewSub(append(o, socket.WithDurable("name", spool.Beginning()))...))
		}, "PUB", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := test.open(socket.WithAck(), socket.WithManualAck(), socket.WithAckDelay(0), socket.WithWindowOn(memWindow(t, spooltest.NewMem(), spool.WindowOptions{})))
			closing(t, s)
			bound := bind(t, s, "tcp://127.0.0.1:0")
			dial := func() *sockettest.RawPeer {
				raw := sockettest.DialRaw(t, bound)
				raw.Handshake(test.peer, 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
				raw.ExpectCommand(zmtp.CommandCredit)
				if name == "SUB" {
					raw.ExpectCommand("SUBSCRIBE")
					raw.ExpectCommand(zmtp.CommandResume)
					raw.Write(zmtp.AppendResumed(nil, &zmtp.Resumed{Next: 1}))
				}
				return raw
			}
			take := func(want string) socket.Msg {
				m := recv(t, s)
				require.Equal(t, want, string(m.Frames[test.lead]))
				return m
			}
			first := dial()
			deliver(first, "s", 1, 1, "one", "two", "three")
			require.NoError(t, take("one").Ack())
			require.NoError(t, take("two").Ack())
			awaitAck(t, first, 2)
			three := take("three")
			first.Close()

			second := dial()
			deliver(second, "s", 1, 2, "one", "two", "three", "four")
			require.NoError(t, take("four").Ack())
			require.NoError(t, three.Ack(), "its connection has ended, and its copy is dropped for it")
			awaitAck(t, second, 4)
			deliver(second, "s", 2, 3, "two")
			deliver(second, "s", 5, 1, "five")
			require.NoError(t, take("five").Ack())
			awaitAck(t, second, 6)
			assert.EqualValues(t, 4, s.Stats().Acks.DuplicatesIn)
			assert.EqualValues(t, 5, s.Stats().MessagesIn)
		})
	}
	w := socket.WithWindowOn(memWindow(t, spooltest.NewMem(), spool.WindowOptions{}))
	for name, s := range map[string]connector{
		"PUSH": socket.NewPush(socket.WithAck(), w), "PUB": socket.NewPub(w), "REP": socket.NewRep(w), "REQ": socket.NewReq(w), "PAIR": socket.NewPair(w),
	} {
		_, err := s.Bind("inproc://" + fmt.Sprintf("%p", s))
		require.ErrorIs(t, err, socket.ErrOption, name)
		assert.ErrorContains(t, err, "WithWindowOn", name)
	}
}

// Row 21 of the fault plan: a sender's spool is removed and made anew under the same name, so that its numbers begin at 1 again. A window takes nothing of it for what is marked, or being handled, of
// the one before: neither that of a receiver which stays nor one that is opened again.
func TestWindow_SpoolMadeAnew(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _ string, w way) {
		dir, window := filepath.Join(t.TempDir(), "spool"), filepath.Join(t.TempDir(), "window")
		receive := func() (letterReceiver, string) {
			r := w.receiver(socket.WithManualAck(), socket.WithAckDelay(0), socket.WithWindow(window, spool.WindowOptions{}))
			closing(t, r)
			return r, bind(t, r, "tcp://127.0.0.1:0")
		}
		receiver, endpoint := receive()
		for life := range 3 {
			if life == 2 {
				require.NoError(t, receiver.Close())
				receiver, endpoint = receive()
			}
			require.NoError(t, os.RemoveAll(dir))
			s := w.open(t, dir, socket.WithLinger(0))
			closing(t, s)
			sendLetters(t, s, 1, 4)
			require.NoError(t, s.Connect(endpoint))
			for n := uint64(1); n <= 3; n++ {
				requireLetter(t, recv(t, receiver), n)
			}
			last := recv(t, receiver) // is being handled
			number, _, whole := openLetterOf(last)
			require.True(t, whole && number == 4)
			require.Eventually(t, func() bool { return floorOf(s.log) == 3 }, sockettest.Timeout, time.Millisecond)
			_ = s.Close() // a queue says that a message stays
		}
		assert.Zero(t, receiver.Stats().Acks.DuplicatesIn)
	})
}

// TestWindow_BehindTheLastNumber: a message that follows number 2^63-1 has no place (ACK.md, 5), and so no mark, which no window would take, nor others with it.
func TestWindow_BehindTheLastNumber(t *testing.T) {
	t.Parallel()
	w := memWindow(t, spooltest.NewMem(), spool.WindowOptions{})
	pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithWindowOn(w))
	closing(t, pull)
	raw := source(t, pull, 32768, 8<<20)
	raw.Write(streamed(math.MaxInt64, 1, "s"))
	for _, body := range []string{"last", "behind"} {
		raw.SendMessage(body)
		m := recv(t, pull)
		_, numbered := m.Mark()
		require.Equal(t, body == "last", numbered)
		require.NoError(t, m.Ack())
	}
	awaitAck(t, raw, 2)
	assert.Equal(t, 1, w.Len())
}

// Row 21, where the stream is the same: a sender's disk loses all since its spool was opened, and its numbers are given again, under another incarnation. A window takes nothing of it for what is marked, or being handled,
// of the one before.
func TestWindow_NumbersGivenAgain(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _ string, w way) {
		window := filepath.Join(t.TempDir(), "window")
		receive := func() (letterReceiver, string) {
			r := w.receiver(socket.WithManualAck(), socket.WithAckDelay(0), socket.WithWindow(window, spool.WindowOptions{}))
			closing(t, r)
			return r, bind(t, r, "tcp://127.0.0.1:0")
		}
		receiver, endpoint := receive()
		disk, lives := spooltest.NewMem(), map[uint32]bool{}
		for life := range 3 {
			if life == 2 {
				require.NoError(t, receiver.Close())
				receiver, endpoint = receive()
			}
			s := w.openFS(t, disk, spool.Options{}, socket.WithLinger(0))
			closing(t, s)
			lost := disk.Synced()
			require.EqualValues(t, 1, s.log.Next())
			lives[s.log.Incarnation()] = true
			require.Len(t, lives, life+1)
			sendLetters(t, s, 1, 4)
			require.NoError(t, s.Connect(endpoint))
			for n := uint64(1); n <= 3; n++ {
				requireLetter(t, recv(t, receiver), n)
			}
			number, _, whole := openLetterOf(recv(t, receiver)) // is being handled
			require.True(t, whole && number == 4)
			require.Eventually(t, func() bool { return floorOf(s.log) == 3 }, sockettest.Timeout, time.Millisecond)
			disk = lost
			_ = s.Close() // a queue says that a message stays
		}
		assert.Zero(t, receiver.Stats().Acks.DuplicatesIn)
	})
}
