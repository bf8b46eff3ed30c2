//go:build linux || darwin

package spool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

const (
	stepDir  = "MESHMQ_SPOOL_STEP_DIR"
	stepKill = "MESHMQ_SPOOL_STEP_KILL"
	stepBody = 2000
)

// TestStepChild does all that a queue does, in small: appends, turns, acknowledges, rewrites, lets go, buries. It ends
// itself with SIGKILL before the call to the disk that it is told, and says what was confirmed until then.
func TestStepChild(t *testing.T) {
	dir := os.Getenv(stepDir)
	if dir == "" {
		t.Skip("runs as the child of TestKillAtEveryStep")
	}
	at, err := strconv.ParseInt(os.Getenv(stepKill), 10, 64)
	require.NoError(t, err)
	real, done := spool.RealFS(t, dir)
	defer done()
	fs := &spooltest.Faulty{FS: real, Before: func(call int64, op, name string) error {
		if call == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}}
	l, err := spool.OpenFS(fs, small)
	require.NoError(t, err)
	ctx := context.Background()
	dead, err := l.Dead()
	require.NoError(t, err)
	first := l.Next()
	for n := first; n < first+120; n++ {
		got, err := l.Append(ctx, body(n, stepBody))
		require.NoError(t, err)
		require.Equal(t, n, got)
		fmt.Println("sent", n)
		switch m := n - 3; {
		case n < first+3:
		case m%31 == 0:
			buryOne(t, l, dead, m)
			fmt.Println("buried", m)
		case m%53 != 0:
			fmt.Println("acked", m) // perhaps
			require.NoError(t, l.Queue().Ack(m, m))
		}
		if n%30 == 0 {
			require.NoError(t, l.Release(ctx))
		}
	}
	require.NoError(t, l.Close())
	fmt.Println("calls", fs.Calls())
}

func buryOne(t *testing.T, l *spool.Log, dead *spool.Dead, n uint64) {
	t.Helper()
	r := l.Reader(spool.At(n))
	defer r.Close()
	rec, err := r.TryNext()
	require.NoError(t, err)
	require.Equal(t, n, rec.Number)
	require.NoError(t, dead.Bury(context.Background(), l.Queue(), rec, "poison"))
}

// TestKillAtEveryStep ends a process with SIGKILL before each of its calls to the disk: those of opening what the last
// one left, of turning, rewriting, dropping, burying, closing. No message that was confirmed is in neither the spool nor
// the dead letters, and nothing is damaged. MESHMQ_KILLS says how many calls are tried; 12 without it.
func TestKillAtEveryStep(t *testing.T) {
	t.Parallel()
	kills, calls := int64(12), int64(500)
	if n, err := strconv.ParseInt(os.Getenv("MESHMQ_KILLS"), 10, 64); err == nil {
		kills = n
	}
	dir := filepath.Join(t.TempDir(), "spool")
	sent, acked, buried := make(map[uint64]bool), make(map[uint64]bool), make(map[uint64]bool)
	for i := range kills {
		at := 1 + i*calls/kills
		if i%3 == 1 {
			at = 1 + i%40 // in the recovery from the last
		}
		said := killedAt(t, dir, at)
		for _, line := range strings.Split(said, "\n") {
			what, number, _ := strings.Cut(line, " ")
			n, err := strconv.ParseUint(number, 10, 64)
			if err != nil {
				continue
			}
			switch what {
			case "sent":
				sent[n] = true
			case "acked":
				acked[n] = true
			case "buried":
				buried[n] = true
			}
		}
		letters := lookAtSteps(t, dir, sent, acked)
		for n := range buried {
			require.Positive(t, letters[n], "message %d was buried and is no letter", n)
		}
	}
	assert.NotEmpty(t, buried)
}

// killedAt runs the child and returns what it said.
func killedAt(t *testing.T, dir string, call int64) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestStepChild$")
	cmd.Env = append(os.Environ(), stepDir+"="+dir, stepKill+"="+strconv.FormatInt(call, 10))
	out, err := cmd.Output()
	require.NoError(t, ctx.Err(), "the child was too slow")
	var exit *exec.ExitError
	if err != nil {
		require.ErrorAs(t, err, &exit)
		require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal(), "%s%s", out, exit.Stderr)
	}
	return string(out)
}

// lookAtSteps looks for what was confirmed, changes nothing, and returns how often each message is a letter.
func lookAtSteps(t *testing.T, dir string, sent, acked map[uint64]bool) map[uint64]int {
	t.Helper()
	report, err := spool.Verify(dir)
	if errors.Is(err, spool.ErrNotSpool) || errors.Is(err, os.ErrNotExist) {
		require.Empty(t, sent)
		return nil
	}
	require.NoError(t, err)
	require.Empty(t, report.Damage)
	v, err := spool.OpenView(dir)
	require.NoError(t, err)
	defer v.Close()
	there, letters := make(map[uint64]bool), make(map[uint64]int)
	if len(v.Stats().Consumers) > 0 {
		r, err := v.Pending("")
		require.NoError(t, err)
		numbers, gaps := read(t, r, stepBody)
		require.Empty(t, gaps)
		for _, n := range numbers {
			there[n] = true
		}
	}
	for letter, err := range v.Letters() {
		require.NoError(t, err)
		letters[letter.Origin]++
	}
	for n := range sent {
		require.True(t, there[n] || acked[n] || letters[n] > 0, "message %d was confirmed and is lost", n)
	}
	return letters
}

// TestSecondProcess: while one process has a spool, another does not get it and learns who has it; when that is killed
// it does, though the lock file is still there.
func TestSecondProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	cmd := exec.Command(os.Args[0], "-test.run=^TestSecondProcessChild$")
	cmd.Env = append(os.Environ(), stepDir+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer in.Close()
	require.NoError(t, cmd.Start())
	_, err = io.ReadFull(out, make([]byte, len("open")))
	require.NoError(t, err)
	_, err = spool.Open(dir, small)
	var held *spool.InUseError
	require.ErrorAs(t, err, &held)
	assert.Equal(t, cmd.Process.Pid, held.PID)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	l, err := spool.Open(dir, small)
	require.NoError(t, err)
	numbers, _ := read(t, l.Queue().Reader(), 20)
	assert.Equal(t, upTo(3), numbers)
	require.NoError(t, l.Close())
}

// TestSecondProcessChild has a spool open, and a process of its own that must not inherit the lock.
func TestSecondProcessChild(t *testing.T) {
	dir := os.Getenv(stepDir)
	if dir == "" || os.Getenv(stepKill) != "" {
		t.Skip("runs as the child of TestSecondProcess")
	}
	l, err := spool.Open(dir, small)
	require.NoError(t, err)
	fill(t, l, 3, 20)
	sleeper := exec.Command("sleep", "60")
	sleeper.SysProcAttr = &syscall.SysProcAttr{}
	require.NoError(t, sleeper.Start())
	fmt.Print("open")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = sleeper.Process.Kill()
}
