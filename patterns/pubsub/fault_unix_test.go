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
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
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
	select {
	case <-done:
	case <-gone:
		idle := false
		first.Do(func() { idle = true })
		if idle { // it was too slow for heartbeats, and has taken nothing
			return
		}
	}
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

// stoppable is a process with a member of the group.
type stoppable struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
	wait  func() error
}

func startStoppable(t *testing.T, addr string, hasty bool) *stoppable {
	t.Helper()
	c := &stoppable{cmd: exec.Command(os.Args[0], "-test.run=^TestFault34_Child$")}
	c.cmd.Env = append(os.Environ(), childEnv+"="+addr)
	if hasty {
		c.cmd.Env = append(c.cmd.Env, hastyEnv+"=1")
	}
	c.cmd.Stderr = os.Stderr
	var err error
	c.in, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	c.lines = bufio.NewScanner(out)
	require.NoError(t, c.cmd.Start())
	c.wait = sync.OnceValue(c.cmd.Wait)
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // if it has not ended
		_ = c.wait()
	})
	return c
}

// says returns up to two numbers of the next line of that format, or zeros when the process has ended.
func (c *stoppable) says(t *testing.T, format string) (one, two int) {
	t.Helper()
	for c.lines.Scan() {
		if n, _ := fmt.Sscanf(c.lines.Text(), format, &one, &two); n > 0 {
			return one, two
		}
	}
	return 0, 0
}

func stopMember(t *testing.T, hasty bool) {
	const n, first = 20, 1 // first is what it has when it is stopped
	pause, _ := time.ParseDuration(os.Getenv("MESHMQ_PAUSE"))
	forgiving := patterns.WithSocketOptions(socket.WithAttempts(0)) // a busy machine may have heartbeats end the other's connections, too
	p, addr := logged(t, filepath.Join(t.TempDir(), "log"), swift(heartbeats()), forgiving)
	for i := range n {
		require.NoError(t, p.Publish(within(t), "items", Item{N: i + 1}))
	}
	var c *stoppable
	for took := 0; took == 0; { // a busy machine may make it too slow for heartbeats before it has taken anything
		c = startStoppable(t, addr, hasty)
		took, _ = c.says(t, "@took %d")
		require.Contains(t, []int{0, first}, took)
	}
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGSTOP))

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
	_, err := pubsub.Subscribe(other, "items", func(_ context.Context, _ string, it Item) error {
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
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGCONT))
	require.NoError(t, c.in.Close()) // go on
	done, unanswered := c.says(t, "@counts %d %d")
	require.NoError(t, c.wait())
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
