//go:build linux || darwin

package socket_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

const (
	onceEndpoint = "MESHMQ_ONCE_ENDPOINT"
	onceDir      = "MESHMQ_ONCE_DIR"
	onceEnd      = "MESHMQ_ONCE_END" // one of the ends below
)

const ( // when the child ends, as by kill -9
	unmarked = "before it marks"
	marked   = "when something is marked and nobody knows yet"
	inOrder  = "when it is told to"
)

// deadly is a window that ends the process.
type deadly struct {
	*spool.Window
	end string
}

func (d deadly) Mark(ctx context.Context, marks ...spool.Mark) error {
	if d.end == unmarked {
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	err := d.Window.Mark(ctx, marks...)
	if d.end == inOrder {
		return err
	}
	return errors.Join(err, syscall.Kill(os.Getpid(), syscall.SIGKILL))
}

// TestWindowChild is the receiver that TestWindow_KillOfTheReceiver has killed: its handler writes into a file.
func TestWindowChild(t *testing.T) {
	dir := os.Getenv(onceDir)
	if dir == "" {
		t.Skip("runs as the child of TestWindow_KillOfTheReceiver")
	}
	w, err := spool.OpenWindow(filepath.Join(dir, "window"), spool.WindowOptions{})
	require.NoError(t, err)
	defer w.Close()
	done, err := os.OpenFile(filepath.Join(dir, "handled"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	pull := socket.NewPull(socket.WithAck(), socket.WithAckCredit(1, 1<<20), socket.WithWindowOn(deadly{w, os.Getenv(onceEnd)}))
	require.NoError(t, pull.Connect(os.Getenv(onceEndpoint)))
	for m, err := range pull.Messages(limit(t)) {
		require.NoError(t, err)
		if m.String() == "end" {
			require.NoError(t, m.Ack())
			break
		}
		fmt.Fprintln(done, m)
	}
	require.NoError(t, pull.Close())
}

// ending starts processes that receive what push sends, each of which ends as it is told.
func ending(t *testing.T, push *socket.Push, dir string) (start func(end string) *exec.Cmd) {
	t.Helper()
	bound := bind(t, push, "tcp://127.0.0.1:0")
	return func(end string) *exec.Cmd {
		cmd := exec.CommandContext(limit(t), os.Args[0], "-test.run=^TestWindowChild$")
		cmd.Env = append(os.Environ(), onceEndpoint+"="+bound, onceDir+"="+dir, onceEnd+"="+end)
		require.NoError(t, cmd.Start())
		return cmd
	}
}

// finish has a receiver take what is left, and returns what all of them have handled.
func finish(t *testing.T, push *socket.Push, dir string, start func(end string) *exec.Cmd) (handled []string) {
	t.Helper()
	last := start(inOrder)
	send(t, push, "end")
	require.NoError(t, last.Wait())
	require.NoError(t, push.WaitAcked(limit(t)))
	return handledIn(t, dir)
}

// handledIn returns what receivers have handled so far.
func handledIn(t *testing.T, dir string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "handled"))
	require.NoError(t, err)
	return strings.Fields(string(b))
}

// A receiver that is killed between the mark and the acknowledgement of each message handles none of them twice.
func TestWindow_KillOfTheReceiver(t *testing.T) {
	t.Parallel()
	rounds, dir := kills(4), t.TempDir()
	push := socket.NewPush(socket.WithAck())
	closing(t, push)
	start := ending(t, push, dir)
	var want []string
	for i := range rounds {
		child := start(marked)
		want = append(want, fmt.Sprint(i))
		send(t, push, fmt.Sprint(i))
		require.ErrorContains(t, child.Wait(), "killed")
		require.Equal(t, want, handledIn(t, dir))
	}
	assert.Equal(t, want, finish(t, push, dir, start))
	assert.EqualValues(t, rounds+1, push.Stats().Acks.AckedOut)
}

// One that is killed between the handler's work and the mark has the work done again.
func TestWindow_KillBeforeTheMark(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	push := socket.NewPush(socket.WithAck())
	closing(t, push)
	start := ending(t, push, dir)
	child := start(unmarked)
	send(t, push, "work")
	require.ErrorContains(t, child.Wait(), "killed")
	assert.Equal(t, []string{"work", "work"}, finish(t, push, dir, start))
}
