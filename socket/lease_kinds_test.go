package socket_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// All types that receive on acknowledged links have leases; no others do, nor do sockets without WithAck.
func TestLease_EachType(t *testing.T) {
	t.Parallel()
	for typ, peer := range map[string]string{"PULL": "PUSH", "DEALER": "DEALER", "ROUTER": "DEALER", "SUB": "PUB"} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			with := socket.WithAck()
			if typ == "SUB" {
				with = socket.WithDurable("x", spool.End())
			}
			s := makers[typ](with, sluggish(), socket.WithLease(time.Millisecond))
			closing(t, s)
			if sub, ok := s.(*socket.Sub); ok {
				require.NoError(t, sub.Subscribe("a"))
			}
			raw := sockettest.DialRaw(t, bind(t, s, "tcp://127.0.0.1:0"))
			raw.Handshake(peer, 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
			expectCredit(t, raw, 32768, 8<<20)
			if typ == "SUB" {
				raw.ExpectCommand("SUBSCRIBE")
				raw.ExpectCommand("RESUME")
			}
			raw.SendMessage("a", "hangs")
			m := recv(t, s.(recver))
			expectCredit(t, raw, 0, 8<<20)
			expectNack(t, raw, zmtp.Nack{Tag: 1, Reason: "its lease of 1ms ran out"})
			assert.ErrorIs(t, m.Ack(), socket.ErrLease)
		})
	}
	for typ, s := range map[string]anySocket{
		"PUSH": socket.NewPush(socket.WithAck(), socket.WithLease(1)), "REP": socket.NewRep(socket.WithLease(1)), "PULL": socket.NewPull(socket.WithLease(time.Second)),
		"negative":  socket.NewPull(socket.WithAck(), socket.WithLease(-1)),
		"key order": socket.NewSub(socket.WithDurable("x", spool.End()), socket.WithKeyOrder(), socket.WithLease(1)),
	} {
		_, err := s.Bind("tcp://127.0.0.1:0")
		assert.ErrorIs(t, err, socket.ErrOption, typ)
		assert.ErrorContains(t, err, "WithLease", typ)
	}
}

// Peers that do not acknowledge get nothing back, and their messages have no lease.
func TestLease_PlainPeers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithLease(lease), socket.WithHeartbeat(0, 0))
		defer pull.Close()
		addr, err := pull.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		raw := dialInproc(t, addr)
		defer raw.Close()
		raw.Handshake("PUSH", 1)
		raw.SendMessage("plain")
		m := taken(t, pull)
		after(time.Hour)
		require.NoError(t, m.Extend())
		require.NoError(t, m.Ack())
		assert.Zero(t, pull.Stats().Acks.ExpiredIn)
		require.NoError(t, pull.Close())
		assert.Empty(t, raw.ExpectClosed())
	})
}

// With a window, a message whose lease ran out is not marked, nor is it by who acknowledges it too late; who acknowledges the next attempt marks it. A copy that waited
// for it is returned, also where its connection has ended.
func TestLease_Window(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprint("cut ", cut), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := memWindow(t, spooltest.NewMem(), spool.WindowOptions{})
				pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithAckDelay(0), socket.WithWindowOn(w), socket.WithLease(lease), socket.WithHeartbeat(0, 0))
				defer pull.Close()
				addr, err := pull.Bind("inproc://" + t.Name())
				require.NoError(t, err)
				peer := func() *sockettest.RawPeer {
					raw := dialInproc(t, addr)
					raw.Handshake("PUSH", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
					expectCredit(t, raw, 32768, 8<<20)
					return raw
				}
				first, second := peer(), peer()
				defer second.Close()
				deliver(first, "s", 1, 1, "m")
				late := taken(t, pull)
				if cut {
					first.Close()
				}
				deliver(second, "s", 1, 2, "m")
				after(lease - 1)
				_, err = pull.Recv(ended())
				require.Error(t, err, "the copy waits")
				after(1)
				if !cut {
					expectGivenBack(t, first, 1)
					first.Close()
				}
				assert.ErrorIs(t, late.Ack(), socket.ErrLease)
				again := taken(t, pull)
				assert.Equal(t, 2, again.Attempt())
				mark, ok := again.Mark()
				require.True(t, ok)
				assert.ErrorIs(t, late.Nack(socket.Nack{}), socket.ErrLease)
				assert.False(t, w.Seen(mark), "the late one marked nothing")
				require.NoError(t, again.Ack())
				synctest.Wait()
				assert.True(t, w.Seen(mark))
				s := pull.Stats().Acks
				assert.Equal(t, []uint64{1, 1, 1, 0}, []uint64{s.AckedIn, s.ExpiredIn, s.LateIn, s.DuplicatesIn})
				after(2 * lease)
				assert.EqualValues(t, 1, pull.Stats().Acks.ExpiredIn)
			})
		})
	}
}

// With a window, too, Extend says that the connection has ended, or the window is of no use; it may be acknowledged, and then there is nothing to extend.
func TestLease_WindowThatHasNothingToExtend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := memWindow(t, spooltest.NewMem(), spool.WindowOptions{})
		pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithAckDelay(0), socket.WithWindowOn(w), socket.WithLease(lease), socket.WithHeartbeat(0, 0))
		defer pull.Close()
		addr, err := pull.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		first, second := dialInproc(t, addr), dialInproc(t, addr)
		defer second.Close()
		for _, raw := range []*sockettest.RawPeer{first, second} {
			raw.Handshake("PUSH", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
			expectCredit(t, raw, 32768, 8<<20)
		}
		deliver(first, "s", 1, 1, "m")
		cut := taken(t, pull)
		deliver(second, "t", 1, 1, "n", "o")
		n, o := taken(t, pull), taken(t, pull)
		first.Close()
		synctest.Wait()
		assert.ErrorIs(t, cut.Extend(), socket.ErrPeerGone)
		require.NoError(t, cut.Ack())
		require.NoError(t, cut.Extend(), "it is acknowledged")
		synctest.Wait()
		require.NoError(t, n.Extend())
		require.NoError(t, w.Close())
		require.NoError(t, n.Ack())
		synctest.Wait()
		assert.ErrorIs(t, o.Extend(), socket.ErrWindow)
	})
}

// What waits to be marked is acknowledged, as far as its lease goes.
func TestLease_WindowThatIsSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGated(t)
		pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithAckDelay(0), socket.WithWindowOn(g), socket.WithLease(lease), socket.WithHeartbeat(0, 0))
		defer pull.Close()
		addr, err := pull.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		raw := dialInproc(t, addr)
		defer raw.Close()
		raw.Handshake("PUSH", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
		expectCredit(t, raw, 32768, 8<<20)
		deliver(raw, "s", 1, 1, "m")
		require.NoError(t, taken(t, pull).Ack())
		after(2 * lease)
		g.gate <- nil
		expectAck(t, raw, "1")
		assert.Zero(t, pull.Stats().Acks.ExpiredIn)
	})
}

type (
	sending interface {
		anySocket
		sender
		WaitAcked(context.Context) error
	}
	receiving interface {
		anySocket
		recver
	}
)

// eachLeasing runs a test with senders that keep messages in memory, a spool, and the log of a durable subscription, and what receives from them and acknowledges by hand.
func eachLeasing(t *testing.T, test func(t *testing.T, open func() sending, receiver func(opts ...socket.Option) receiving)) {
	acked := []socket.Option{socket.WithAck(), socket.WithManualAck()}
	member := func(opts ...socket.Option) receiving {
		s := socket.NewSub(append(opts, socket.WithDurable("group", spool.Beginning()), socket.WithManualAck())...)
		_ = s.Subscribe("") // what is wrong with the options Connect says
		return s
	}
	pull := func(opts ...socket.Option) receiving { return socket.NewPull(append(opts, acked...)...) }
	dealer := func(opts ...socket.Option) receiving { return socket.NewDealer(append(opts, acked...)...) }
	for name, pair := range map[string]struct {
		from func(dir string) sending
		to   func(opts ...socket.Option) receiving
	}{
		"memory": {func(string) sending { return socket.NewPush(socket.WithAck(), swiftRetry()) }, pull},
		"dealer": {func(string) sending { return socket.NewDealer(socket.WithAck(), swiftRetry()) }, dealer},
		"spool":  {func(dir string) sending { return socket.NewPush(socket.WithSpool(dir, smallSpool), swiftRetry()) }, pull},
		"log": {func(dir string) sending {
			return socket.NewPub(socket.WithSpool(dir, spool.Options{Kind: spool.Topic, SegmentSize: 64 << 10}), swiftRetry())
		}, member},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			test(t, func() sending { return pair.from(dir) }, pair.to)
		})
	}
}

// One of two receivers hangs: the other gets the message, as the second attempt, and no third is made; from memory, a spool, and the log of a durable subscription.
func TestLease_AnotherReceiverTakesOver(t *testing.T) {
	t.Parallel()
	eachLeasing(t, func(t *testing.T, open func() sending, receiver func(opts ...socket.Option) receiving) {
		from, hanging, other := open(), receiver(socket.WithLease(100*time.Millisecond)), receiver()
		closing(t, from, hanging, other)
		addr := bind(t, from, "tcp://127.0.0.1:0")
		require.NoError(t, hanging.Connect(addr))
		require.NoError(t, from.WaitPeers(limit(t), 1))
		send(t, from, "m")
		m := recv(t, hanging)
		assert.Equal(t, 1, m.Attempt())
		require.NoError(t, other.Connect(addr))
		again := recv(t, other)
		requireMsg(t, again, "m")
		assert.Equal(t, 2, again.Attempt())
		assert.ErrorIs(t, m.Ack(), socket.ErrLease)
		require.Error(t, from.WaitAcked(try()), "which settled nothing")
		require.NoError(t, again.Ack())
		require.NoError(t, from.WaitAcked(limit(t)))
		_, err := other.Recv(soon(t))
		require.Error(t, err)
		_, err = hanging.Recv(try())
		require.Error(t, err)
		assert.EqualValues(t, 1, hanging.Stats().Acks.LateIn)
	})
}

// While one of two receivers extends its lease, the other, which is idle, gets no message: not before the very end of the last lease, and then it does.
func TestLease_NobodyElseWhileExtended(t *testing.T) {
	t.Parallel()
	eachLeasing(t, func(t *testing.T, open func() sending, receiver func(opts ...socket.Option) receiving) {
		synctest.Test(t, func(t *testing.T) {
			from, slow, other := open(), receiver(socket.WithLease(lease)), receiver(socket.WithLease(lease))
			closing(t, from, slow, other)
			addr := bind(t, from, "inproc://"+t.Name())
			require.NoError(t, slow.Connect(addr))
			synctest.Wait()
			send(t, from, "m")
			synctest.Wait()
			m, err := slow.Recv(ended())
			require.NoError(t, err)
			require.NoError(t, other.Connect(addr))
			synctest.Wait()
			require.Len(t, from.Stats().Peers, 2)
			for range 10 {
				after(lease - 1)
				_, err := other.Recv(ended())
				require.Error(t, err)
				require.NoError(t, m.Extend())
			}
			require.Zero(t, slow.Stats().Acks.ExpiredIn)
			after(lease)
			require.ErrorIs(t, m.Extend(), socket.ErrLease)
			again, err := other.Recv(ended())
			require.NoError(t, err)
			assert.Equal(t, 2, again.Attempt())
			require.NoError(t, again.Ack())
			after(lease)
			require.NoError(t, from.WaitAcked(ended()))
			assert.EqualValues(t, 1, slow.Stats().Acks.ExpiredIn)
			assert.Zero(t, other.Stats().Acks.ExpiredIn)
		})
	})
}
