package socket_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// inAMinute runs a test in a bubble, with a ROUTER that keeps messages for a minute.
func inAMinute(t *testing.T, test func(t *testing.T, router *socket.Router, endpoint string, letters <-chan socket.DeadLetter)) {
	synctest.Test(t, func(t *testing.T) {
		letters := make(chan socket.DeadLetter, 2)
		router := socket.NewRouter(socket.WithAck(), socket.WithAwayLimit(time.Minute), socket.WithHeartbeat(0, 0),
			socket.WithDeadLetter(func(d socket.DeadLetter) { letters <- d }))
		defer router.Close()
		endpoint, err := router.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		test(t, router, endpoint, letters)
	})
}

// dialD is known within a bubble, for the identity d.
func dialD(t *testing.T, endpoint string, credit uint64) *sockettest.RawPeer {
	t.Helper()
	return dialAs(t, "d", endpoint, credit)
}

// dialAs has an empty identity for none.
func dialAs(t *testing.T, identity, endpoint string, credit uint64) *sockettest.RawPeer {
	t.Helper()
	raw := dialInproc(t, endpoint)
	raw.Handshake("DEALER", 1, sockettest.Property{Name: "Identity", Value: identity}, sockettest.Property{Name: zmtp.PropertyAck, Value: "1 receive"})
	raw.Write(zmtp.AppendCredit(nil, credit, 1<<20))
	synctest.Wait()
	return raw
}

// Messages are kept for a peer that has gone for as long as it may stay away: then they are dead letters, and nothing is left of them. Send to it is ErrNoPeer all the while: a server has
// to know which clients have gone.
func TestAssured_RouterGivesUpWhoStaysAway(t *testing.T) {
	inAMinute(t, func(t *testing.T, router *socket.Router, endpoint string, letters <-chan socket.DeadLetter) {
		peer := dialD(t, endpoint, 1)
		send(t, router, "d", "1")
		require.Equal(t, "1", takeBody(peer))
		peer.Close()
		synctest.Wait()
		require.ErrorIs(t, router.Send(limit(t), text("d"), text("2")), socket.ErrNoPeer)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		require.Empty(t, letters)
		time.Sleep(time.Second)
		synctest.Wait()
		require.ErrorIs(t, router.Send(limit(t), text("d"), text("2")), socket.ErrNoPeer)
		require.Len(t, letters, 1)
		require.Contains(t, (<-letters).Reason, "did not come back within 1m")
		require.Zero(t, router.Stats().Acks.UnackedOut)
		require.NoError(t, router.WaitAcked(ended()))
	})
}

// What waits for room at a peer that is there is not given up as if the peer were away.
func TestAssured_RouterKeepsWhatWaitsForRoom(t *testing.T) {
	inAMinute(t, func(t *testing.T, router *socket.Router, endpoint string, letters <-chan socket.DeadLetter) {
		peer := dialD(t, endpoint, 1)
		send(t, router, "d", "put off")
		require.Equal(t, "put off", takeBody(peer))
		peer.Write(zmtp.AppendNack(nil, &zmtp.Nack{Tag: 1, After: time.Second}))
		synctest.Wait()
		send(t, router, "d", "slow")
		require.Equal(t, "slow", takeBody(peer))
		time.Sleep(time.Hour)
		peer.Close()
		time.Sleep(59 * time.Second)
		peer = dialD(t, endpoint, 0)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, letters)
		peer.Write(zmtp.AppendCredit(nil, 1, 1<<20))
		require.Equal(t, "put off", takeBody(peer))
		peer.Close()
		time.Sleep(59 * time.Second)
		synctest.Wait()
		require.Empty(t, letters)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, letters, 2)
	})
}

// What a peer without an identity put off, or has no room for, is given up when it goes: nobody can come back for it.
func TestAssured_RouterKeepsNothingForTheNameless(t *testing.T) {
	inAMinute(t, func(t *testing.T, router *socket.Router, endpoint string, letters <-chan socket.DeadLetter) {
		peer := dialAs(t, "", endpoint, 1)
		id := router.Peers()[0].RoutingID()
		for tag, after := range []time.Duration{time.Hour, time.Second, 0} {
			send(t, router, id, "x")
			require.Equal(t, "x", takeBody(peer))
			if after > 0 {
				peer.Write(zmtp.AppendNack(nil, &zmtp.Nack{Tag: uint64(tag) + 1, After: after}))
			}
			synctest.Wait()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		require.Empty(t, letters)
		peer.Close()
		for range 3 {
			require.Contains(t, (<-letters).Reason, "no identity")
		}
		synctest.Wait()
		require.NoError(t, router.WaitAcked(ended()))
		require.Zero(t, router.Stats().Acks.UnackedOut)
	})
}
