package socket_test

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// TestDurable_MembersAgreeOnTopics: who wants something else than the others of the name is refused in words, and let in when it is alone.
func TestDurable_MembersAgreeOnTopics(t *testing.T) {
	t.Parallel()
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"))
	defer pub.Close()
	event := watch(t, pub)
	team := durable(t, endpoint, "team", spool.Beginning())
	defer team.Close()
	event(socket.Resumed)
	other := socket.NewSub(socket.WithDurable("team", spool.Beginning()), swift())
	defer other.Close()
	told := watch(t, other)
	require.NoError(t, other.Subscribe("u", "t.b"))
	require.NoError(t, other.Connect(endpoint))
	why := event(socket.Disconnected).Err
	require.ErrorIs(t, why, socket.ErrState)
	require.ErrorContains(t, why, `durable subscription "team"`)
	require.ErrorContains(t, why, `others alone have "t", this one alone has "t.b u"`)
	require.ErrorContains(t, told(socket.Disconnected).Err, `others_alone_have_"t",_this_one_alone_has_"t.b_u"`)

	publish(t, pub, 0, 3)
	send(t, pub, "u", "for nobody of the name as it is")
	requireOrdinals(t, team, 0, 3)
	require.NoError(t, team.Close())
	told(socket.Resumed)
	send(t, pub, "u", "for those who are left")
	assert.Equal(t, "u", string(recv(t, other).Frames[0]))
}

// TestDurable_MembersThatChangeTheirMind: a member that changes what it is subscribed to beside others has to come anew, and what it had goes to those, though it says that it is done with it. Members
// change one after the other, and one that is alone as it likes.
func TestDurable_MembersThatChangeTheirMind(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*socket.Sub) error{
		"other topics": func(s *socket.Sub) error { return errors.Join(s.Subscribe("u"), s.Unsubscribe("t")) },
		"more":         func(s *socket.Sub) error { return s.Subscribe("u") },
		"none":         func(s *socket.Sub) error { return s.Unsubscribe("t") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 3
			pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"))
			defer pub.Close()
			event := watch(t, pub)
			one := durable(t, endpoint, "team", spool.Beginning(), socket.WithManualAck())
			defer one.Close()
			event(socket.Resumed)
			publish(t, pub, 0, n)
			var held []socket.Msg
			for range n {
				held = append(held, recv(t, one))
			}
			two := durable(t, endpoint, "team", spool.Beginning(), socket.WithManualAck())
			defer two.Close()
			event(socket.Resumed)

			require.NoError(t, change(one))
			for _, m := range held {
				_ = m.Ack() // an error if the connection has ended already
			}
			require.ErrorIs(t, event(socket.Disconnected).Err, socket.ErrState)
			for i := range n {
				m := recv(t, two)
				assert.Equal(t, i, ordinalOf(socket.Msg{Frames: m.Frames[1:]}))
				require.NoError(t, m.Ack())
			}
			awaitLag(t, pub, "team", 0)
			assert.Zero(t, pub.Durables()[0].DeadLettered)

			require.NoError(t, change(two)) // it is the only one
			if name != "none" {
				for pub.Durables()[0].Members < 2 {
					event(socket.Resumed)
				}
				send(t, pub, "u", "for either")
				require.Eventually(t, func() bool { return pub.Durables()[0].InFlight == 1 }, time.Minute, time.Millisecond)
			}
		})
	}
}

// TestDurable_NothingIsSettledAfterADisagreement: an acknowledgement or refusal right behind the change counts for nothing, for the member may have dropped what it did not want any more.
func TestDurable_NothingIsSettledAfterADisagreement(t *testing.T) {
	t.Parallel()
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"))
	defer pub.Close()
	raw := sockettest.DialRaw(t, endpoint)
	raw.Handshake("SUB", 1, receives)
	raw.Subscribe("t")
	raw.SendCommand("RESUME", []byte("\x00\x00\x04team"))
	raw.ExpectCommand("RESUMED")
	raw.Write(zmtp.AppendCredit(nil, 100, 1<<20))
	publish(t, pub, 0, 3)
	raw.ExpectCommand("STREAM")
	for range 3 {
		raw.ReadMessage()
	}
	event := watch(t, pub)
	team := durable(t, endpoint, "team", spool.Beginning())
	defer team.Close()
	event(socket.Resumed)
	said := zmtp.AppendCancel(zmtp.AppendAck(nil, 1, nil), 1, text("t"))
	said = zmtp.AppendNack(said, &zmtp.Nack{Tag: 2, Reject: true})
	raw.Write(zmtp.AppendAck(said, 3, nil))
	raw.ExpectCommand("ERROR")
	raw.ExpectClosed()
	requireOrdinals(t, team, 1, 3)
	assert.Zero(t, pub.Durables()[0].DeadLettered)
}

// TestDurable_NothingDiffersFromNothing: who is subscribed to nothing yet is no member that others would have to agree with.
func TestDurable_NothingDiffersFromNothing(t *testing.T) {
	t.Parallel()
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"))
	defer pub.Close()
	idle := sockettest.DialRaw(t, endpoint)
	idle.Handshake("SUB", 1, receives)
	idle.SendCommand("RESUME", []byte("\x00\x00\x04team"))
	idle.ExpectCommand("RESUMED")
	team := durable(t, endpoint, "team", spool.Beginning())
	defer team.Close()
	publish(t, pub, 0, 3)
	requireOrdinals(t, team, 0, 3)
	assert.Equal(t, 2, pub.Durables()[0].Members)
	idle.Subscribe("u")
	idle.ExpectCommand("ERROR")
	idle.ExpectClosed()
}

// TestDurable_WaitsWithNothingSubscribedTo: what has come goes back with the last topic, which is no failure of it, and waits for whoever of the name subscribes next. With a topic left the rest is
// done with, as is what the publisher passes over.
func TestDurable_WaitsWithNothingSubscribedTo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		more []string
		lag  int
	}{"nothing": {nil, 3}, "another topic": {[]string{"u"}, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"), socket.WithAttempts(1))
			defer pub.Close()
			sub := durable(t, endpoint, "team", spool.Beginning(), socket.WithManualAck())
			defer sub.Close()
			require.NoError(t, sub.Subscribe(c.more...))
			publish(t, pub, 0, 3)
			first := recv(t, sub)
			require.Eventually(t, func() bool { return pub.Durables()[0].InFlight == 3 }, time.Minute, time.Millisecond)
			require.NoError(t, sub.Unsubscribe("t"))
			if c.lag == 0 {
				require.NoError(t, first.Ack())
			} else {
				require.NoError(t, first.Nack(socket.Nack{}))
			}
			next := make(chan socket.Msg, 3)
			var receiving sync.WaitGroup
			defer receiving.Wait()
			defer sub.Close()
			receiving.Go(func() { // ended by Close
				for m, err := range sub.Messages(t.Context()) {
					if err != nil {
						return
					}
					next <- m
				}
			})
			require.Eventually(t, func() bool {
				d := pub.Durables()[0]
				return d.InFlight == 0 && d.Lag == uint64(c.lag)
			}, time.Minute, time.Millisecond)
			assert.Empty(t, next)
			require.NoError(t, sub.Subscribe("t"))
			for i := range c.lag {
				select {
				case m := <-next:
					assert.Equal(t, i, ordinalOf(socket.Msg{Frames: m.Frames[1:]}))
					require.NoError(t, m.Ack())
				case <-limit(t).Done():
					require.Fail(t, "it does not come again")
				}
			}
			awaitLag(t, pub, "team", 0)
			assert.Zero(t, pub.Durables()[0].Failed)
		})
	}
}

// TestDurable_HandsBackBehindASubscription: what goes back because nothing was subscribed to is no failure of it, though the next topic is told before it.
func TestDurable_HandsBackBehindASubscription(t *testing.T) {
	t.Parallel()
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"), socket.WithAttempts(1))
	defer pub.Close()
	sub := durable(t, endpoint, "team", spool.Beginning(), socket.WithManualAck())
	defer sub.Close()
	publish(t, pub, 0, 1)
	m := recv(t, sub)
	require.NoError(t, sub.Unsubscribe("t"))
	require.NoError(t, sub.Subscribe("t"))
	require.NoError(t, m.Nack(socket.Nack{}))
	m = recv(t, sub)
	assert.Zero(t, pub.Durables()[0].Failed)
	require.NoError(t, m.Nack(socket.Nack{}))
	awaitLag(t, pub, "team", 0)
	d := pub.Durables()[0]
	assert.Equal(t, [2]uint64{1, 1}, [2]uint64{d.Failed, d.DeadLettered}, "it is one by itself")
}
