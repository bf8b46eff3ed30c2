package servertest

import (
	"context"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// changeStream changes the configuration of a stream behind the back of its spool.
func changeStream(t *testing.T, nc *nats.Conn, name string, change func(*natsjs.StreamConfig)) {
	t.Helper()
	js, err := natsjs.New(nc)
	require.NoError(t, err)
	stream, err := js.Stream(bounded(t), name)
	require.NoError(t, err)
	config := stream.CachedInfo().Config
	change(&config)
	_, err = js.UpdateStream(bounded(t), config)
	require.NoError(t, err)
}

// replaceStream has another stream of that name in the place of a spool's.
func replaceStream(t *testing.T, nc *nats.Conn, name string) {
	t.Helper()
	js, err := natsjs.New(nc)
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(bounded(t), name))
	_, err = js.CreateStream(bounded(t), natsjs.StreamConfig{Name: name, Subjects: []string{"meshmq.spool." + name + ".1"}})
	require.NoError(t, err)
}

// TestLastingTrouble: what keeps messages out for good ends the spool, says why, and counts what it had taken; what is safe is there to be read.
func TestLastingTrouble(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	for name, trouble := range map[string]struct {
		begin func(t *testing.T, name string)
		says  string
		is    error
	}{
		"sealed": {func(t *testing.T, name string) {
			changeStream(t, nc, name, func(c *natsjs.StreamConfig) { c.Sealed = true })
		}, "sealed", nil},
		"narrow": {func(t *testing.T, name string) {
			changeStream(t, nc, name, func(c *natsjs.StreamConfig) { c.MaxMsgSize = 300 })
		}, "undo what was changed", nil},
		"redirected": {func(t *testing.T, name string) {
			changeStream(t, nc, name, func(c *natsjs.StreamConfig) { c.Subjects = []string{"elsewhere"} })
		}, "other subjects", nil},
		"replaced": {func(t *testing.T, name string) { replaceStream(t, nc, name) }, "made anew by somebody else", spool.ErrForeign},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, nc, name, quick)
			_, err := s.Append(bounded(t), []byte(text(1)))
			require.NoError(t, err)
			trouble.begin(t, name)
			for n := uint64(2); n <= 3; n++ {
				number, err := s.Enqueue(bounded(t), make([]byte, 1000))
				require.NoError(t, err)
				assert.Equal(t, n, number)
			}
			err = s.Flush(bounded(t))
			require.ErrorIs(t, err, spool.ErrFailed)
			require.ErrorContains(t, err, trouble.says)
			require.ErrorContains(t, err, "2 messages are not confirmed")
			if trouble.is != nil {
				require.ErrorIs(t, err, trouble.is)
			}
			for n := uint64(2); n <= 3; n++ {
				require.ErrorIs(t, s.Wait(bounded(t), n), spool.ErrFailed)
			}
			_, err = s.Append(bounded(t), []byte(text(4)))
			require.ErrorIs(t, err, spool.ErrFailed)
			state := s.State()
			assert.ErrorIs(t, state.Failed, spool.ErrFailed)
			assert.NoError(t, state.Full)
			assert.Equal(t, uint64(4), state.Next, "what was accepted stays counted")
			if trouble.is == nil {
				assert.Equal(t, text(1), string(next(t, reader(t, s, 0)).Frames[0]))
			}
			require.NoError(t, s.Close(), "everybody was told")
		})
	}
}

// TestLastingTrouble_Positions: the same of acknowledgements.
func TestLastingTrouble_Positions(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	s := open(t, nc, "orders", quick)
	_, err := s.Append(bounded(t), []byte(text(1)))
	require.NoError(t, err)
	c, err := s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	require.NoError(t, s.Flush(bounded(t)))
	changeStream(t, nc, "orders_state", func(c *natsjs.StreamConfig) { c.Sealed = true })
	require.NoError(t, c.Ack(1, 1))
	err = s.Flush(bounded(t))
	require.ErrorIs(t, err, spool.ErrFailed)
	require.ErrorContains(t, err, "sealed")
	require.ErrorIs(t, c.Ack(1, 1), spool.ErrFailed)
	require.NoError(t, s.Close(), "everybody was told")
}

// TestForbidden: servers answer nothing to what they do not permit. The spool says what that is, and does not wait for it.
func TestForbidden(t *testing.T) {
	t.Parallel()
	n := startNode(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "all"}}
		for name, deny := range map[string]string{
			"writer": "meshmq.spool.>", "position": "meshmq.state.*.at.>", "looker": "$JS.API.STREAM.INFO.>", "reader": "$JS.API.DIRECT.GET.>",
		} {
			o.Users = append(o.Users, &server.User{Username: name, Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{deny}}}})
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

// TestLastingTrouble_Socket: who sends is told, and the statistics say why.
func TestLastingTrouble_Socket(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	push := socket.NewPush(socket.WithAck(), socket.WithSpoolOn(open(t, nc, "orders", quick)))
	require.NoError(t, push.Send(bounded(t), []byte(text(1))))
	changeStream(t, nc, "orders", func(c *natsjs.StreamConfig) { c.Sealed = true })
	require.ErrorIs(t, push.Send(bounded(t), []byte(text(2))), spool.ErrFailed)
	stats := push.Stats().Spool
	require.ErrorContains(t, stats.Broken, "sealed")
	assert.Equal(t, uint64(1), stats.Messages)
	assert.Equal(t, uint64(3), stats.Next)
	ctx, cancel := context.WithCancel(bounded(t))
	cancel()
	err := push.Shutdown(ctx)
	require.ErrorIs(t, err, spool.ErrFailed)
	assert.ErrorIs(t, err, socket.ErrSpooled)
}
