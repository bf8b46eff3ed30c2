//go:build linux || darwin

package pubsub_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// childEnv is where a child finds its publisher; with hastyEnv it does not wait until it knows that its connection is gone.
const childEnv, hastyEnv = "MESHMQ_FAULT34_PUBLISHER", "MESHMQ_FAULT34_HASTY"

// TestFault34_Child is the member that is stopped: it takes an event, and is done with it when it is told to.
func TestFault34_Child(t *testing.T) {
	addr := os.Getenv(childEnv)
	if addr == "" {
		t.Skip("runs as a child of TestFault34_StoppedMember")
	}
	s := pubsub.NewSubscriber(pubsub.WithDurable("team", spool.Beginning()), patterns.WithPrefetch(10),
		patterns.WithSocketOptions(socket.WithReconnect(time.Hour, time.Hour))) // it is not to come back
	gone := make(chan struct{})
	go func() { // ends with the connection
		for e := range s.Events(t.Context()) {
			if e.Kind == socket.Disconnected {
				close(gone)
				return
			}
		}
	}()
	done := make(chan struct{})
	var first sync.Once
	_, err := pubsub.Subscribe(s, "items", func(_ context.Context, _ string, it Item) error {
		first.Do(func() {
			fmt.Println("@took", it.N)
			_, err := io.Copy(io.Discard, os.Stdin)
			assert.NoError(t, err)
			if os.Getenv(hastyEnv) == "" {
				<-gone
			}
			close(done)
		})
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, s.Connect(addr))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }() // ended by Shutdown, awaited below
	<-done
	require.NoError(t, s.Shutdown(within(t)))
	require.NoError(t, <-ended)
	c := s.Counts()
	fmt.Println("@counts", c.Handled, c.Unanswered)
}

// Row 34 of the fault plan: a member is stopped (SIGSTOP) with events in hand. What it has goes to another once it has not answered for as long as heartbeats allow, as a later attempt. When it goes
// on (SIGCONT), its acknowledgements settle nothing, whether it knows by then that its connection is gone, which has it count them, or not; nothing is lost. It is stopped until the
// other has an event of its, and MESHMQ_PAUSE longer.
func TestFault34_StoppedMember(t *testing.T) {
	t.Parallel()
	for name, hasty := range map[string]bool{"it knows": false, "it may not know": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stopMember(t, hasty)
		})
	}
}

func stopMember(t *testing.T, hasty bool) {
	const n = 20
	pause, _ := time.ParseDuration(os.Getenv("MESHMQ_PAUSE"))
	p, addr := logged(t, filepath.Join(t.TempDir(), "log"), swift(heartbeats()))
	for i := range n {
		require.NoError(t, p.Publish(within(t), "items", Item{N: i + 1}))
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFault34_Child$")
	cmd.Env = append(os.Environ(), childEnv+"="+addr)
	if hasty {
		cmd.Env = append(cmd.Env, hastyEnv+"=1")
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	waited := false
	t.Cleanup(func() {
		if !waited {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	lines := bufio.NewScanner(out)
	says := func(format string, values ...any) {
		t.Helper()
		for lines.Scan() {
			if _, err := fmt.Sscanf(lines.Text(), format, values...); err == nil {
				return
			}
		}
		require.Fail(t, "the child ended", "want %s", format)
	}
	var first int
	says("@took %d", &first)
	require.Equal(t, 1, first)
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))

	took, release := make(chan int, 100), make(chan struct{})
	other := pubsub.NewSubscriber(pubsub.WithDurable("team", spool.Beginning()), patterns.WithMiddleware(func(next patterns.Handler) patterns.Handler {
		return func(ctx context.Context, d *patterns.Delivery) error {
			if d.Value.(*Item).N == first {
				took <- d.Attempt // again, if it was late itself
				<-release         // it has not handled it yet when the other says so
			}
			return next(ctx, d)
		}
	}))
	handled := make(chan Item, 10*n)
	_, err = pubsub.Subscribe(other, "items", func(_ context.Context, _ string, it Item) error {
		handled <- it
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, other.Connect(addr))
	run(t, other)
	select {
	case attempt := <-took:
		assert.GreaterOrEqual(t, attempt, 2)
	case <-within(t).Done():
		require.Fail(t, "what the stopped member has goes to nobody")
	}
	<-time.After(pause)
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	require.NoError(t, in.Close()) // go on
	var done, unanswered int
	says("@counts %d %d", &done, &unanswered)
	require.NoError(t, cmd.Wait())
	waited = true
	assert.Positive(t, done, "the one in hand, and what had arrived besides")
	if hasty {
		t.Logf("%d of %d acknowledgements went to the connection that was gone", done-unanswered, done)
	} else {
		assert.Equal(t, done, unanswered, "its acknowledgements went nowhere")
	}
	require.Len(t, p.Durables(), 1)
	assert.Positive(t, p.Durables()[0].Lag, "and settled nothing")

	close(release)
	drained(t, p, "team")
	seen := map[int]int{}
	for len(handled) > 0 {
		seen[(<-handled).N]++
	}
	assert.Len(t, seen, n, "nothing is lost")
	assert.EqualValues(t, n, p.Durables()[0].Acked)
}

// heartbeats have a peer that does not answer taken for dead in no time.
func heartbeats() socket.Option {
	return socket.WithHeartbeat(20*time.Millisecond, 200*time.Millisecond)
}
