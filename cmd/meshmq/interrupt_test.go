package main

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func skipWithoutSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signal that one process could send another")
	}
}

// TestInterrupt: whoever waits ends with a summary and exit code 130.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	for _, args := range []string{
		"pull -b " + anyPort,
		"sub -b " + anyPort,
		"rep --echo -b " + anyPort,
		"router -b " + anyPort,
		"pair -b " + anyPort,
		"dealer -b " + anyPort,
		"push -b " + anyPort,
		"push -b " + anyPort + " hello",
		"pub --topic t -b " + anyPort,
		"pub --topic t --interval 1ms x -b " + anyPort,
		"req -b " + anyPort + " x",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			p := start(t, strings.Fields(args)...)
			p.endpoint()
			p.signal(os.Interrupt)
			r := p.wait()
			assert.Equal(t, 130, r.code, r.stderr)
			assert.Empty(t, r.stdout)
			assert.Regexp(t, `interrupted \(interrupt\): \d+ messages? sent, 0 received in \S+\n$`, r.stderr)
		})
	}
}

// TestInterruptPrintsWhatArrived: nothing that was received is lost.
func TestInterruptPrintsWhatArrived(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	pull := start(t, "pull", "-b", anyPort)
	ok(t, "push", "-c", pull.endpoint(), "--count", "5000", "x") // handed over when it ends
	pull.signal(os.Interrupt)
	r := pull.wait()
	assert.Equal(t, 130, r.code, r.stderr)
	assert.Equal(t, strings.Repeat("x\n", 5000), r.stdout)
	assert.Contains(t, r.stderr, "5000 received")
}

// TestSecondInterrupt ends at once what the first lets linger.
func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	push := start(t, "push", "-c", nobody, "--linger", "10m", "-v", "x")
	push.says("retrying")
	push.signal(os.Interrupt)
	push.signal(os.Interrupt)
	// Two signals of a kind may arrive as one: a further one cannot.
	for {
		select {
		case <-push.done:
			r := push.wait()
			assert.Equal(t, 130, r.code, r.stderr)
			return
		default:
			_ = push.cmd.Process.Signal(os.Interrupt)
		}
	}
}

func TestInterruptLeavesLinger(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	push := start(t, "push", "-c", nobody, "--linger", "100ms", "x")
	push.says("retrying")
	push.signal(os.Interrupt)
	r := push.wait()
	assert.Equal(t, 130, r.code, r.stderr)
	assert.Contains(t, r.stderr, "1 accepted but not handed over")
}

// TestClosedOutput: a reader that leaves ends the program quietly.
func TestClosedOutput(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	stderr := newCapture()
	pull := exec.Command(self, "pull", "-b", anyPort)
	pull.Stdout, pull.Stderr = w, stderr
	require.NoError(t, pull.Start())
	require.NoError(t, w.Close())
	require.NoError(t, r.Close())
	ok(t, "push", "-c", stderr.await(t, listening)[1], "x")
	require.Error(t, pull.Wait())
	assert.Len(t, lines(stderr.String()), 1, stderr.String())
}
