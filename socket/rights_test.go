package socket_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// owned lets peers have topics that begin with their identity, which is made up in these tests only.
func owned(peer *socket.Peer, topic []byte) error {
	if owner := peer.UserID(); !strings.HasPrefix(string(topic), owner+".") {
		return fmt.Errorf("%s is not of %s", topic, owner)
	}
	return nil
}

// byName has an authenticator take peers for who they say they are.
func byName() socket.Option {
	return socket.WithAuthenticator(socket.AuthenticatorFunc(func(_ context.Context, r socket.Request) socket.Verdict {
		name, _ := r.Properties.Get("X-Name")
		return socket.Verdict{Decision: socket.Allow, UserID: string(name)}
	}))
}

func named(name string) socket.Option { return socket.WithProperty("X-Name", name) }

func TestRights_Subscribe(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pub := socket.NewXPub(byName(), socket.WithTopicAuthorizer(owned))
		sub := socket.NewSub(named("joe"))
		refused := watch(t, pub)
		join(t, transport, pub, sub)
		require.NoError(t, sub.Subscribe("ann.", "", "joe.a"))
		topics := map[string]bool{"ann.": true, "": true}
		for range 2 {
			e := refused(socket.Forbidden)
			assert.True(t, topics[e.Topic], "%q once", e.Topic)
			delete(topics, e.Topic)
			assert.ErrorIs(t, e.Err, socket.ErrForbidden)
			assert.ErrorContains(t, e.Err, e.Topic+" is not of joe")
			assert.Equal(t, "joe", e.Peer.UserID())
			assert.Contains(t, e.String(), "forbidden ")
		}
		requireMsg(t, recv(t, pub), "\x01joe.a")
		assert.Equal(t, []string{"joe.a"}, pub.Topics())
		assert.Equal(t, uint64(2), pub.Stats().Forbidden)
		send(t, pub, "ann.1", "secret")
		send(t, pub, "joe.a", "mine")
		requireMsg(t, recv(t, sub), "joe.a", "mine")
		require.NoError(t, sub.Unsubscribe("ann.", "", "joe.a"))
		requireMsg(t, recv(t, pub), "\x00joe.a")
	})
}

// The forms that subscriptions have: messages of ZMTP 3.0, groups of RADIO, the everything of ZMTP 1.0, manual ones.
func TestRights_SubscribeForms(t *testing.T) {
	t.Parallel()
	never := socket.WithTopicAuthorizer(func(*socket.Peer, []byte) error { return errors.New("no") })
	pub, manual := socket.NewPub(never), socket.NewXPub(never, socket.WithManual())
	radio, dish := socket.NewRadio(never), socket.NewDish()
	closing(t, pub, manual, radio, dish)

	require.NoError(t, dish.Join("g"))
	joined := watch(t, radio)
	require.NoError(t, dish.Connect(bind(t, radio, "inproc://"+t.Name())))
	assert.Equal(t, "g", joined(socket.Forbidden).Topic)
	assert.Empty(t, radio.Topics())

	asked := watch(t, manual)
	raw := rawOf(t, bind(t, manual, "tcp://127.0.0.1:0"), "SUB")
	raw.Subscribe("a")
	assert.Equal(t, "a", asked(socket.Forbidden).Topic)
	_, err := manual.Recv(try())
	assert.ErrorIs(t, err, context.Canceled)

	subscribed := watch(t, pub)
	endpoint := bind(t, pub, "tcp://127.0.0.1:0")
	raw = rawOf(t, endpoint, "SUB")
	raw.SendMessage("\x01b")
	assert.Equal(t, "b", subscribed(socket.Forbidden).Topic)
	assert.Empty(t, pub.Topics())
}

func TestRights_Publish(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		pull := socket.NewPull(byName(), socket.WithPublishAuthorizer(owned))
		push := socket.NewPush(named("joe"))
		dropped := watch(t, pull)
		join(t, transport, pull, push)
		const n = 300
		large := strings.Repeat("x", 100_000)
		for i := range n {
			send(t, push, "ann.", "forged")
			if i%100 == 0 {
				send(t, push, "ann."+large, large)
				send(t, push, "joe.", large)
			}
			send(t, push, "joe.", fmt.Sprint(i))
		}
		for i := range n {
			if i%100 == 0 {
				requireMsg(t, recv(t, pull), "joe.", large)
			}
			requireMsg(t, recv(t, pull), "joe.", fmt.Sprint(i))
		}
		s := pull.Stats()
		assert.Equal(t, uint64(n+3), s.Dropped[socket.DropForbidden])
		assert.Equal(t, uint64(n+3), s.MessagesIn)
		assert.Equal(t, uint64(n+3), s.Peers[0].Dropped[socket.DropForbidden])
		e := dropped(socket.Dropped)
		assert.Equal(t, socket.DropForbidden, e.Reason)
		assert.Equal(t, "joe", e.Peer.UserID())
	})
}

func TestRights_PublishToSubAndDish(t *testing.T) {
	t.Parallel()
	only := socket.WithPublishAuthorizer(func(_ *socket.Peer, topic []byte) error {
		if string(topic) != "good" {
			return errors.New("bad")
		}
		return nil
	})
	pub, sub := socket.NewPub(), socket.NewSub(only)
	require.NoError(t, sub.Subscribe(""))
	join(t, "tcp", pub, sub)
	require.NoError(t, pub.WaitSubscribers(limit(t), "", 1))
	send(t, pub, "bad", "1")
	send(t, pub, "good", "2")
	requireMsg(t, recv(t, sub), "good", "2")

	radio, dish := socket.NewRadio(), socket.NewDish(only)
	require.NoError(t, dish.Join("bad", "good"))
	join(t, "tcp", radio, dish)
	require.NoError(t, radio.WaitSubscribers(limit(t), "bad", 1))
	require.NoError(t, radio.WaitSubscribers(limit(t), "good", 1))
	require.NoError(t, radio.Send(limit(t), "bad", text("1")))
	require.NoError(t, radio.Send(limit(t), "good", text("2")))
	requireMsg(t, recv(t, dish), "2")
	assert.Equal(t, uint64(1), dish.Stats().Dropped[socket.DropForbidden])
}

func TestRights_Disconnect(t *testing.T) {
	t.Parallel()
	no := func(*socket.Peer, []byte) error { return errors.New("no") }
	pub := socket.NewPub(socket.WithTopicAuthorizer(no), socket.WithDisconnectForbidden())
	pull := socket.NewPull(socket.WithPublishAuthorizer(no), socket.WithDisconnectForbidden())
	sub, push := socket.NewSub(), socket.NewPush()
	closing(t, pub, pull, sub, push)
	left, gone := watch(t, pub), watch(t, pull)
	require.NoError(t, sub.Subscribe("a"))
	require.NoError(t, sub.Connect(bind(t, pub, "tcp://127.0.0.1:0")))
	err := left(socket.Disconnected).Err
	assert.ErrorIs(t, err, socket.ErrForbidden)
	assert.ErrorContains(t, err, `subscription to "a": forbidden by the authorizer: no`)
	require.NoError(t, push.Connect(bind(t, pull, "tcp://127.0.0.1:0")))
	send(t, push, "t", "x")
	err = gone(socket.Disconnected).Err
	assert.ErrorIs(t, err, socket.ErrForbidden)
	assert.ErrorContains(t, err, `message on "t"`)
}

func TestRights_Options(t *testing.T) {
	t.Parallel()
	for problem, s := range map[string]connector{
		"WithTopicAuthorizer(nil)":                   socket.NewPub(socket.WithTopicAuthorizer(nil)),
		"WithPublishAuthorizer(nil)":                 socket.NewSub(socket.WithPublishAuthorizer(nil)),
		"WithTopicAuthorizer on a SUB socket":        socket.NewSub(socket.WithTopicAuthorizer(owned)),
		"WithPublishAuthorizer on a PUB socket":      socket.NewPub(socket.WithPublishAuthorizer(owned)),
		"without WithTopicAuthorizer or WithPublish": socket.NewPub(socket.WithDisconnectForbidden()),
	} {
		_, err := s.Bind("tcp://127.0.0.1:0")
		assert.ErrorIs(t, err, socket.ErrOption, problem)
		assert.ErrorContains(t, err, problem)
	}
}
