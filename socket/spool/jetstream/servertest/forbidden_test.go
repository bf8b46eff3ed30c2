package servertest

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// TestForbidden: servers answer nothing to what they do not permit. The spool says what that is, and does not wait for it.
func TestForbidden(t *testing.T) {
	t.Parallel()
	n := startNode(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "all"}}
		for name, deny := range map[string]string{
			"writer": "meshmq.spool.>", "position": "meshmq.state.*.at.>", "looker": "$JS.API.STREAM.INFO.>", "reader": "$JS.API.DIRECT.GET.>",
		} {
			o.Users = append(o.Users, user(name, deny))
		}
	})
	as := func(user string) *nats.Conn {
		return connect(t, n, nats.UserInfo(user, ""))
	}
	_, err := jetstream.Open(bounded(t), as("looker"), "orders", quick)
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
	assert.NotErrorIs(t, err, spool.ErrFailed, "there is none")

	s := open(t, as("writer"), "writer", quick)
	_, err = s.Append(bounded(t), []byte(text(1)))
	require.ErrorIs(t, err, spool.ErrFailed)
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
	require.ErrorContains(t, err, "meshmq.spool.writer.1")

	s = open(t, as("position"), "position", quick)
	_, err = s.Append(bounded(t), []byte(text(1)))
	require.NoError(t, err)
	err = s.Flush(bounded(t))
	require.ErrorIs(t, err, spool.ErrFailed)
	require.ErrorIs(t, err, nats.ErrPermissionViolation)

	s = open(t, as("reader"), "reader", quick)
	_, err = s.Append(bounded(t), []byte(text(1)))
	require.NoError(t, err)
	_, err = reader(t, s, 0).TryNext()
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
}

// TestForbidden_LettingGo: acknowledged messages that may not be let go would fill the servers.
func TestForbidden_LettingGo(t *testing.T) {
	t.Parallel()
	n := startNode(t, func(o *server.Options) { o.Users = []*server.User{user("purger", "$JS.API.STREAM.PURGE.orders")} })
	s := open(t, connect(t, n, nats.UserInfo("purger", "")), "orders", quick)
	c, err := s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	_, err = s.Append(bounded(t), []byte(text(1)))
	require.NoError(t, err)
	require.NoError(t, c.Ack(1, 1))
	require.Eventually(t, func() bool { return s.State().Failed != nil }, time.Minute, time.Millisecond)
	require.ErrorIs(t, s.State().Failed, nats.ErrPermissionViolation)
	require.ErrorContains(t, s.State().Failed, "STREAM.PURGE.orders")
}

// TestForbidden_Open: who lacks what it takes to open a spool is told so, each time, and not only when its patience ends.
func TestForbidden_Open(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background()) // without an end: Open knows by itself
	t.Cleanup(cancel)
	n := startNode(t, func(o *server.Options) {
		o.Users = []*server.User{
			user("maker", "$JS.API.STREAM.CREATE.>"), user("purger", "$JS.API.STREAM.PURGE.>"), user("owner", "meshmq.state.*.owner"),
			deaf("deaf", "_INBOX.>"), user("asker", "meshmq.owner.>"), deaf("asked", "meshmq.owner.>"),
		}
	})
	for name, part := range map[string]string{"maker": "CREATE", "purger": "PURGE", "owner": "state.orders-owner.owner", "deaf": "_INBOX", "asker": "owner.orders-asker", "asked": "owner.orders-asked"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc := connect(t, n, nats.UserInfo(name, ""))
			for range 2 {
				_, err := jetstream.Open(ctx, nc, "orders-"+name, quick)
				require.ErrorIs(t, err, nats.ErrPermissionViolation)
				require.ErrorContains(t, err, part)
			}
		})
	}
}

// TestForbidden_NoMore: a permission that was missing once is not why servers that have given it since are silent.
func TestForbidden_NoMore(t *testing.T) {
	t.Parallel()
	for name, deny := range map[string]string{"messages": "meshmq.spool.>", "positions": "meshmq.state.*.at.>"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNode(t, func(o *server.Options) { o.Users = []*server.User{user("one", deny)} })
			wall := newPartition()
			nc := connect(t, n, nats.UserInfo("one", ""), nats.SetCustomDialer(hush{wall}))
			t.Cleanup(wall.open)
			o := jetstream.Options{Patience: 200 * time.Millisecond}
			s := open(t, nc, "orders", o)
			_, err := s.Append(bounded(t), []byte(text(1)))
			if err == nil {
				err = s.Flush(bounded(t))
			}
			require.ErrorIs(t, err, nats.ErrPermissionViolation)
			require.NoError(t, s.Close())
			given := n.options.Clone()
			given.Users = []*server.User{user("one", "nothing")}
			require.NoError(t, n.ReloadOptions(given))

			silence, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			wall.shut()
			_, err = jetstream.Open(silence, nc, "orders", o)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotErrorIs(t, err, nats.ErrPermissionViolation)
			wall.open()
			s = open(t, nc, "orders", o)
			c, err := s.Consumer("", spool.Beginning())
			require.NoError(t, err)
			_, err = s.Append(bounded(t), []byte(text(2)))
			require.NoError(t, err)
			require.NoError(t, s.Flush(bounded(t)))

			silence, cancel = context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			wall.shut()
			require.NoError(t, c.Ack(1, 1))
			_, err = s.Append(silence, []byte(text(3)))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			wall.open()
			require.NoError(t, s.Flush(bounded(t)))
			require.Zero(t, nc.Stats().Reconnects, "which would have it forget")
			require.NoError(t, s.Close())
		})
	}
}

// hush is a partition that lets pass what goes to the servers: they are silent.
type hush struct{ *partition }

// Dial implements nats.CustomDialer.
func (h hush) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	return hushed{parted{conn, h.partition}}, err
}

type hushed struct{ parted }

func (c hushed) Write(b []byte) (int, error) { return c.Conn.Write(b) }

// user is one that may not publish on a subject.
func user(name, deny string) *server.User {
	return &server.User{Username: name, Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{deny}}}}
}

// deaf is one that may not subscribe to a subject.
func deaf(name, deny string) *server.User {
	return &server.User{Username: name, Permissions: &server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{deny}}}}
}

// TestForbidden_Answers: who may hear answers no more is told so, in the middle or at a new connection, whether it sends, acknowledges, reads or does nothing.
func TestForbidden_Answers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		deny    string
		restart bool
		act     func(t *testing.T, s *jetstream.Spool, c socket.SpoolConsumer) error
	}{
		"idle":         {"_INBOX.>", false, func(*testing.T, *jetstream.Spool, socket.SpoolConsumer) error { return nil }},
		"disconnected": {"_INBOX.>", true, func(*testing.T, *jetstream.Spool, socket.SpoolConsumer) error { return nil }},
		"sending": {"_INBOX.>", false, func(t *testing.T, s *jetstream.Spool, _ socket.SpoolConsumer) error {
			_, err := s.Append(bounded(t), []byte(text(2)))
			return err
		}},
		"only of messages": {"_INBOX.*.*.*", false, func(t *testing.T, s *jetstream.Spool, _ socket.SpoolConsumer) error {
			_, _ = s.Append(bounded(t), []byte(text(2))) // it is stored, as is found without an answer, or possibly stored
			_, err := s.Append(bounded(t), []byte(text(3)))
			return err
		}},
		"acknowledging": {"_INBOX.>", false, func(t *testing.T, s *jetstream.Spool, c socket.SpoolConsumer) error {
			require.NoError(t, c.Ack(1, 1))
			return s.Flush(bounded(t))
		}},
		"reading": {"_INBOX.>", false, func(_ *testing.T, _ *jetstream.Spool, c socket.SpoolConsumer) error {
			r := c.Reader(0)
			defer r.Close()
			_, err := r.TryNext()
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNode(t, func(o *server.Options) { o.Users = []*server.User{user("one", "nothing")} })
			s := open(t, connect(t, n, nats.UserInfo("one", "")), "orders", jetstream.Options{Patience: 300 * time.Millisecond})
			_, err := s.Append(bounded(t), []byte(text(1)))
			require.NoError(t, err)
			consumer, err := s.Consumer("", spool.Beginning())
			require.NoError(t, err)
			require.NoError(t, s.Flush(bounded(t)))
			taken := n.options.Clone()
			taken.Users = []*server.User{deaf("one", c.deny)}
			if c.restart {
				n.stop()
				n.options = taken
				n.start(t)
			} else {
				require.NoError(t, n.ReloadOptions(taken))
			}
			if err := c.act(t, s, consumer); err != nil {
				require.ErrorIs(t, err, nats.ErrPermissionViolation)
			}
			select {
			case <-s.Broken():
			case <-bounded(t).Done():
				require.Fail(t, "nobody is told")
			}
			require.ErrorIs(t, s.State().Failed, nats.ErrPermissionViolation)
			require.ErrorContains(t, s.State().Failed, "give it on the servers")
			require.ErrorContains(t, s.State().Failed, "_INBOX.")
			require.NoError(t, s.Close())
		})
	}
}
