package intake_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/socket"
)

// reluctant is a socket whose Recv returns each message when it is let.
type reluctant struct {
	*socket.Pull
	has, let chan struct{}
}

func (r reluctant) Recv(ctx context.Context) (socket.Msg, error) {
	m, err := r.Pull.Recv(ctx)
	if err == nil {
		r.has <- struct{}{}
		<-r.let
	}
	return m, err
}

// A message that came as the loop was paused waits for that to end, and its lease runs. If it was given back meanwhile it is not handled; else its handler has all of it.
func TestLeaseOfWhatWaitsForResume(t *testing.T) {
	t.Parallel()
	const lease = time.Minute
	for name, c := range map[string]struct {
		paused  time.Duration
		handled int
	}{"short": {lease - 1, 1}, "long": {lease, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sock := reluctant{socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithLease(lease)), make(chan struct{}), make(chan struct{})}
				addr, err := sock.Bind("inproc://" + t.Name())
				require.NoError(t, err)
				var push *socket.Push
				for range 2 { // where there is one peer, Recv reads itself, at a lock that a bubble takes for work
					push = socket.NewPush(socket.WithAck())
					defer push.Close()
					require.NoError(t, push.Connect(addr))
				}
				require.NoError(t, sock.WaitPeers(t.Context(), 2))
				l := intake.New(sock, func(context.Context, error) {})
				l.Acknowledged()
				l.Leased(lease)
				handled, ended := make(chan struct{}, 10), make(chan error, 1)
				go func() { // ended by Close
					ended <- l.Run(t.Context(), 1, intake.Alike(func(ctx context.Context, m socket.Msg) {
						handled <- struct{}{}
						<-time.After(lease - 1)
						assert.True(t, ctx.Err() == nil || c.handled == 0)
						l.Answer(m, nil)
					}))
				}()
				require.NoError(t, push.Send(t.Context(), []byte("m")))
				<-sock.has
				l.Pause()
				sock.let <- struct{}{}
				<-time.After(c.paused)
				synctest.Wait()
				l.Resume()
				synctest.Wait()
				assert.Len(t, handled, c.handled)
				assert.EqualValues(t, 1-c.handled, l.Counts().Unhandled)
				assert.EqualValues(t, 1-c.handled, sock.Stats().Acks.ExpiredIn)
				<-time.After(lease)
				close(sock.let)
				go func() { // it comes again
					for range sock.has {
					}
				}()
				require.NoError(t, l.Close())
				require.NoError(t, <-ended)
				close(sock.has)
			})
		})
	}
}
