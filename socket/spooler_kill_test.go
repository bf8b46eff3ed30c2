//go:build linux || darwin

package socket_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// What TestSpoolKillChild is told.
const (
	spoolKillRole     = "MESHMQ_SPOOL_ROLE" // push or pull
	spoolKillDir      = "MESHMQ_SPOOL_DIR"
	spoolKillEndpoint = "MESHMQ_SPOOL_ENDPOINT"
)

// TestSpoolKillChild is a process that TestSpool_LosesNothingToKills kills. The sender tells the number of each message that Send has taken,
// the receiver that of each it got, before it is acknowledged. Both end in order when their input does.
func TestSpoolKillChild(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	switch os.Getenv(spoolKillRole) {
	case "push":
		push := spooled(t, os.Getenv(spoolKillDir), socket.WithAck(), swift())
		require.NoError(t, push.Connect(os.Getenv(spoolKillEndpoint)))
		for n := push.Stats().Spool.Next; ctx.Err() == nil; n++ {
			number, err := push.Enqueue(t.Context(), ordinal(int(n), 1000))
			require.NoError(t, err)
			require.Equal(t, n, number)
			if n%16 == 0 {
				require.NoError(t, push.WaitSpooled(t.Context(), n))
				fmt.Println(n)
			}
		}
		require.NoError(t, push.Shutdown(limit(t)))
	case "pull":
		pull := socket.NewPull(socket.WithAck(), socket.WithAckCredit(100, 1<<20))
		_, err := rebind(pull, os.Getenv(spoolKillEndpoint))
		require.NoError(t, err)
		for m, err := range pull.Messages(ctx) {
			if err != nil {
				break
			}
			fmt.Println(ordinalOf(m))
		}
		require.NoError(t, pull.Close())
	default:
		t.Skip("runs as a child of TestSpool_LosesNothingToKills")
	}
}

// spoolChild is such a process.
type spoolChild struct {
	cmd   *exec.Cmd
	in    io.Closer
	lines chan int // what it tells; closed at its end
}

func startSpoolChild(t *testing.T, role, dir, endpoint string) *spoolChild {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSpoolKillChild$")
	cmd.Env = append(os.Environ(), spoolKillRole+"="+role, spoolKillDir+"="+dir, spoolKillEndpoint+"="+endpoint)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	c := &spoolChild{cmd: cmd, in: in, lines: make(chan int, 1<<20)}
	go func() { // ends with the process
		defer close(c.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			if n, err := strconv.Atoi(s.Text()); err == nil { // the rest is of package testing
				c.lines <- n
			}
		}
	}()
	return c
}

// next waits for the next number that the process tells.
func (c *spoolChild) next(t *testing.T) int {
	t.Helper()
	select {
	case n, ok := <-c.lines:
		require.True(t, ok, "the process ended")
		return n
	case <-time.After(time.Minute):
		require.Fail(t, "the process says nothing")
		return 0
	}
}

// end waits for the end of the process, and passes the rest of what it told on.
func (c *spoolChild) end(t *testing.T, rest func(int)) error {
	t.Helper()
	for n := range c.lines {
		rest(n)
	}
	return c.cmd.Wait()
}

// TestSpool_LosesNothingToKills ends a sender and its receiver with SIGKILL, in turns, in the middle of their work. MESHMQ_KILLS says how
// often; 4 times without it.
func TestSpool_LosesNothingToKills(t *testing.T) {
	t.Parallel()
	kills := 4
	if n, err := strconv.Atoi(os.Getenv("MESHMQ_KILLS")); err == nil {
		kills = n
	}
	dir, endpoint := filepath.Join(t.TempDir(), "spool"), unused(t)
	promised, last := 0, 0
	got := map[int]int{}
	promise := func(n int) { promised = max(promised, n) }
	receive := func(n int) {
		if got[n]++; got[n] == 1 {
			assert.Equal(t, last+1, n, "the first delivery is in order")
			last = n
		}
	}
	push, pull := startSpoolChild(t, "push", dir, endpoint), startSpoolChild(t, "pull", dir, endpoint)
	for i := range kills {
		for range 20 + i*31%100 {
			receive(pull.next(t))
		}
		if i%2 == 0 {
			require.NoError(t, push.cmd.Process.Kill())
			require.Error(t, push.end(t, promise))
			push = startSpoolChild(t, "push", dir, endpoint)
		} else {
			require.NoError(t, pull.cmd.Process.Kill())
			require.Error(t, pull.end(t, receive))
			pull = startSpoolChild(t, "pull", dir, endpoint)
		}
	}
	promise(push.next(t))
	require.NoError(t, push.in.Close())
	require.NoError(t, push.end(t, promise), "Shutdown waits until all is acknowledged")
	require.NoError(t, pull.in.Close())
	require.NoError(t, pull.end(t, receive))
	again := 0
	for n := 1; n <= promised; n++ {
		require.Positive(t, got[n], "message %d of %d", n, promised)
		again += got[n] - 1
	}
	assert.LessOrEqual(t, again, kills*(100+1000), "the credit, and what was settled in the 50 ms before")
	t.Logf("%d messages, %d again", promised, again)
}
