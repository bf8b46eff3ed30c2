package socket_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/transporttest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// receipt is a message as Recv returned it: its number and attempt.
type receipt struct{ number, attempt int }

// A sender connects anew, and sends again what is not settled, before the receiver knows that the connection before has ended, on which messages wait for Recv, or just after. Where the sender says on
// which way it connects they are left to come again. Where it does not, one of them is received after newer messages, as the first attempt that it is. It is a copy then: what came again was received before.
func TestWays_SenderThatConnectsAnew(t *testing.T) {
	t.Parallel()
	anewOnly := []receipt{{1, 1}, {1, 2}, {2, 2}, {3, 2}, {4, 1}}
	for name, want := range map[string]struct {
		offer     string
		seen      bool // the receiver knows that the first has ended
		unsettled int  // on all connections
		receipts  []receipt
	}{
		"on a way":               {"1 send way=00000000000000ff", false, 4, anewOnly},
		"on a way, the end seen": {"1 send way=00000000000000ff", true, 4, anewOnly},
		"without a way":          {"1 send", false, 7, []receipt{{1, 1}, {2, 1}, {1, 2}, {2, 2}, {3, 2}, {4, 1}, {3, 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pull := socket.NewPull(socket.WithAck(), socket.WithManualAck())
			closing(t, pull)
			happens := watch(t, pull)
			bound := bind(t, pull, "tcp://127.0.0.1:0")
			connect := func() *sockettest.RawPeer {
				raw := sockettest.DialRaw(t, bound)
				raw.Handshake("PUSH", 1, sockettest.Property{Name: zmtp.PropertyAck, Value: want.offer})
				raw.ExpectCommand(zmtp.CommandCredit)
				return raw
			}
			var got []receipt
			take := func() {
				m := recv(t, pull)
				mark, _ := m.Mark()
				got = append(got, receipt{int(mark.Number), m.Attempt()})
			}
			old := connect()
			old.Write(streamed(1, 1, "s"))
			for n := 1; n <= 3; n++ { // each a batch
				old.SendMessage("old")
				arrive(t, pull, n)
			}
			take()
			if want.seen {
				old.Close()
				happens(socket.Disconnected)
			}
			anew := connect()
			again := streamed(1, 2, "s")
			for range 3 {
				again = zmtp.AppendFrame(again, 0, text("again"))
			}
			anew.Write(zmtp.AppendFrame(append(again, streamed(4, 1, "")...), 0, text("new")))
			require.Eventually(t, func() bool { return pull.Stats().Acks.UnackedIn == want.unsettled }, sockettest.Timeout, time.Millisecond)
			for len(got) < len(want.receipts) {
				take()
			}
			assert.Equal(t, want.receipts, got)
			_, err := pull.Recv(try())
			require.ErrorIs(t, err, context.Canceled, "there is none")
		})
	}
}

// A receiver connects anew before the sender knows that the connection before has ended: what was on that goes out first.
func TestWays_ReceiverThatConnectsAnew(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, keep socket.Option) {
		push := socket.NewPush(keep, socket.WithAttempts(0))
		closing(t, push)
		disconnected := watch(t, push)
		at := bind(t, push, "tcp://127.0.0.1:0")
		const offer = "1 receive way=00000000000000ff"
		old := taker(t, at, 10, offer)
		for _, body := range []string{"1", "2", "3"} {
			send(t, push, body)
			require.Equal(t, body, takeBody(old))
		}
		anew := taker(t, at, 10, offer)
		gone := disconnected(socket.Disconnected)
		send(t, push, "4")
		for _, body := range []string{"1", "2", "3", "4"} {
			require.Equal(t, body, takeBody(anew))
		}
		assert.ErrorContains(t, gone.Err, "connected anew")
		old.ExpectClosed()
		anew.Write(zmtp.AppendAck(nil, 4, nil))
		require.NoError(t, push.WaitAcked(limit(t)))
		assert.EqualValues(t, 3, push.Stats().Acks.RedeliveredOut)
	})
}

// A receiver that connects anew lives: the message that it had is not to blame.
func TestWays_ConnectingAnewIsNoFailure(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, keep socket.Option) {
		push := socket.NewPush(keep, socket.WithAttempts(1))
		closing(t, push)
		at := bind(t, push, "tcp://127.0.0.1:0")
		const offer = "1 receive way=00000000000000ff"
		old := taker(t, at, 10, offer)
		send(t, push, "once more")
		require.Equal(t, "once more", takeBody(old))
		anew := taker(t, at, 10, offer)
		require.Equal(t, "once more", takeBody(anew))
		anew.Write(zmtp.AppendAck(nil, 1, nil))
		require.NoError(t, push.WaitAcked(limit(t)))
	})
}

// Who connects says on which way it does, each time the same on one, and who binds does not.
func TestWays_WhoConnectsSaysOnWhich(t *testing.T) {
	t.Parallel()
	said := func(raw *sockettest.RawPeer, peer string) string {
		_, properties := raw.Handshake(peer, 1, sockettest.Property{Name: zmtp.PropertyAck, Value: "1 send receive"})
		_, way, _ := strings.Cut(properties[zmtp.PropertyAck], "way=")
		return way
	}
	for name, s := range map[string]connector{"PULL": socket.NewPush(socket.WithAck(), swift()), "PUSH": socket.NewPull(socket.WithAck(), swift())} {
		closing(t, s)
		assert.Empty(t, said(sockettest.DialRaw(t, bind(t, s, "tcp://127.0.0.1:0")), name))
		var ways []string
		for range 2 {
			ln, endpoint := sockettest.Listen(t)
			require.NoError(t, s.Connect(endpoint))
			for range 2 {
				raw := sockettest.AcceptRaw(t, ln)
				ways = append(ways, said(raw, name))
				raw.Close()
			}
		}
		assert.Len(t, ways[0], 16)
		assert.Equal(t, []string{ways[0], ways[2]}, []string{ways[1], ways[3]})
		assert.NotEqual(t, ways[0], ways[2])
	}
}

// Peers of different users do not end each other's connections, whatever they say; nor does one end a connection whose messages would be lost with it.
func TestWays_OnlyOfOneUserAndWhatIsAcknowledged(t *testing.T) {
	t.Parallel()
	var users atomic.Int32
	each := socket.AuthenticatorFunc(func(context.Context, socket.Request) socket.Verdict {
		return socket.Verdict{Decision: socket.Allow, UserID: fmt.Sprint("user ", users.Add(1))}
	})
	for name, test := range map[string]struct {
		typ, peer, offer string
		options          []socket.Option
	}{
		"other users":                {"PULL", "PUSH", "1 send", []socket.Option{socket.WithAck(), socket.WithAuthenticator(each)}},
		"not acknowledged":           {"PULL", "PUSH", "1 send", nil},
		"only ours are acknowledged": {"DEALER", "DEALER", "1 receive", []socket.Option{socket.WithAck()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := makers[test.typ](append(test.options, socket.WithHeartbeat(0, 0))...)
			closing(t, s)
			at := bind(t, s, "tcp://127.0.0.1:0")
			var peers [2]*sockettest.RawPeer
			for i := range peers {
				peers[i] = sockettest.DialRaw(t, at)
				peers[i].Handshake(test.peer, 1, sockettest.Property{Name: zmtp.PropertyAck, Value: test.offer + " way=00000000000000ff"})
			}
			require.NoError(t, s.(interface {
				WaitPeers(context.Context, int) error
			}).WaitPeers(limit(t), 2))
			for _, p := range peers {
				p.SendMessage("here")
				requireMsg(t, recv(t, s.(recver)), "here")
			}
		})
	}
}

// Peers with keys, or certificates, of their own are as different as users, though an authenticator has not given them names: only a peer of the same key ends a connection.
func TestWays_OnlyOfOneKeyOrCertificate(t *testing.T) {
	t.Parallel()
	way := zmtp.Property{Name: zmtp.PropertyAck, Value: []byte("1 send way=00000000000000ff")}
	keys := []socket.KeyPair{socket.NewKeyPair(), socket.NewKeyPair()}
	ca := transporttest.NewAuthority(t)
	proofs := []*tls.Config{ca.Mutual("worker.example"), ca.Mutual("worker.example")}
	for name, test := range map[string]struct {
		at    string
		with  socket.Option
		enter func(conn net.Conn, as int) (*zmtp.Handshake, error)
	}{
		"keys": {"tcp://127.0.0.1:0", socket.WithCurveServer(besiegedKeys), func(conn net.Conn, as int) (*zmtp.Handshake, error) {
			return enterCurve(conn, "PUSH", keys[as], way)
		}},
		"certificates": {tlsAnywhere, socket.WithTLS(ca.Mutual("queue.example")), func(conn net.Conn, as int) (*zmtp.Handshake, error) {
			return enterWith(tls.Client(conn, clientOf(proofs[as])), "PUSH", nil, way)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pull := socket.NewPull(socket.WithAck(), test.with, socket.WithHeartbeat(0, 0))
			closing(t, pull)
			ended := watch(t, pull)
			at := hostPort(bind(t, pull, test.at))
			enter := func(as int) (address string) {
				conn, err := net.Dial("tcp", at)
				require.NoError(t, err)
				t.Cleanup(func() { conn.Close() })
				_, err = test.enter(conn, as)
				require.NoError(t, err)
				return conn.LocalAddr().String()
			}
			first := enter(0)
			require.NoError(t, pull.WaitPeers(limit(t), 1))
			enter(1)
			require.NoError(t, pull.WaitPeers(limit(t), 2))
			enter(0)
			e := ended(socket.Disconnected)
			assert.ErrorContains(t, e.Err, "connected anew")
			assert.Equal(t, first, e.Peer.Address())
			require.NoError(t, pull.WaitPeers(limit(t), 2))
		})
	}
}

// clientOf is the configuration of a raw client on this machine.
func clientOf(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.ServerName = "127.0.0.1"
	return c
}
