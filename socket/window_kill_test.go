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
	onceSpare    = "MESHMQ_ONCE_SPARE" // the child is to live
)

// deadly is a window that ends the process, as kill -9 does, when something is marked and nobody knows yet.
type deadly struct {
	*spool.Window
	spare bool
}

func (d deadly) Mark(ctx context.Context, marks ...spool.Mark) error {
	err := d.Window.Mark(ctx, marks...)
	if d.spare {
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
	pull := socket.NewPull(socket.WithAck(), socket.WithAckCredit(1, 1<<20), socket.WithWindowOn(deadly{w, os.Getenv(onceSpare) != ""}))
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

// A receiver that is killed between the mark and the acknowledgement of each message handles none of them twice.
func TestWindow_KillOfTheReceiver(t *testing.T) {
	t.Parallel()
	rounds, dir := kills(4), t.TempDir()
	push := socket.NewPush(socket.WithAck())
	closing(t, push)
	bound := bind(t, push, "tcp://127.0.0.1:0")
	start := func(spare string) *exec.Cmd {
		cmd := exec.CommandContext(limit(t), os.Args[0], "-test.run=^TestWindowChild$")
		cmd.Env = append(os.Environ(), onceEndpoint+"="+bound, onceDir+"="+dir, onceSpare+"="+spare)
		require.NoError(t, cmd.Start())
		return cmd
	}
	var want []string
	for i := range rounds {
		child := start("")
		want = append(want, fmt.Sprint(i))
		send(t, push, fmt.Sprint(i))
		require.ErrorContains(t, child.Wait(), "killed")
	}
	last := start("yes")
	send(t, push, "end")
	require.NoError(t, last.Wait())
	require.NoError(t, push.WaitAcked(limit(t)))
	b, err := os.ReadFile(filepath.Join(dir, "handled"))
	require.NoError(t, err)
	assert.Equal(t, want, strings.Fields(string(b)))
	assert.EqualValues(t, rounds+1, push.Stats().Acks.AckedOut)
}
