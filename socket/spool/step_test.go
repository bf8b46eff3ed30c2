//go:build linux || darwin

package spool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// steps are what a call to the disk may be part of, by a function that is then on its stack.
var steps = map[string]string{
	"opening": "spool.openLog(", "turning": "spool.(*Log).turnTo(", "checkpoint": "spool.beginSegment(", "rewriting": "spool.rewriteSegment(",
	"dropping": "spool.(*Log).drop(", "burying": "spool.(*Dead).Bury(", "closing": "spool.(*Log).Close(",
}

// stepCounter counts the calls of each step, and ends the process before one of them.
type stepCounter struct {
	mu    sync.Mutex // guards calls
	calls map[string]int
	step  string
	at    int
}

func (c *stepCounter) before(int64, string, string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	stack := string(debug.Stack())
	for step, function := range steps {
		if !strings.Contains(stack, function) {
			continue
		}
		if c.calls[step]++; step == c.step && c.calls[step] == c.at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	return nil
}

// TestStepChild does all that a queue does, in small: appends, turns, acknowledges, rewrites, lets go, buries. It ends
// itself with SIGKILL before the call to the disk that it is told, and says what was confirmed until then.
func TestStepChild(t *testing.T) {
	dir := os.Getenv(stepDir)
	if dir == "" {
		t.Skip("runs as the child of TestKillAtEveryStep")
	}
	step, at, _ := strings.Cut(os.Getenv(stepKill), " ")
	n, err := strconv.Atoi(at)
	require.NoError(t, err)
	counter := &stepCounter{calls: make(map[string]int), step: step, at: n}
	real, done := spool.RealFS(t, dir)
	defer done()
	l, err := spool.OpenFS(&spooltest.Faulty{FS: real, Before: counter.before}, small)
	require.NoError(t, err)
	ctx := context.Background()
	dead, err := l.Dead()
	require.NoError(t, err)
	first := l.Next()
	buryPoison(t, l, dead)
	for n := first; n < first+120; n++ {
		got, err := l.Append(ctx, body(n, stepBody))
		require.NoError(t, err)
		require.Equal(t, n, got)
		fmt.Println("sent", n)
		switch m := n - 3; {
		case n < first+3:
		case isPoison(m):
			buryPoison(t, l, dead)
		case m%53 != 0:
			fmt.Println("acked", m) // perhaps
			require.NoError(t, l.Queue().Ack(m, m))
		}
		if n%30 == 0 {
			require.NoError(t, l.Release(ctx))
		}
	}
	require.NoError(t, l.Close())
	for step, n := range counter.calls {
		fmt.Println(step, n)
	}
}

func isPoison(n uint64) bool { return n%31 == 0 }

// buryPoison gives up what is poison and pending, that of killed processes, too.
func buryPoison(t *testing.T, l *spool.Log, dead *spool.Dead) {
	t.Helper()
	r := l.Queue().Reader()
	defer r.Close()
	for {
		rec, err := r.TryNext()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		if isPoison(rec.Number) {
			fmt.Println("burying", rec.Number)
			require.NoError(t, dead.Bury(context.Background(), l.Queue(), rec, "poison"))
			fmt.Println("buried", rec.Number)
		}
	}
}

// TestKillAtEveryStep ends a process with SIGKILL before its calls to the disk: those of opening what the last
// one left, every third time, of turning, rewriting, dropping, burying, closing. No message that was confirmed is in
// neither the spool nor the dead letters, none has more letters than Bury was called for it, and nothing is damaged.
// MESHMQ_KILLS says how many calls are tried, evenly spread over those of each step; 18 without it.
func TestKillAtEveryStep(t *testing.T) {
	t.Parallel()
	kills := 18
	if n, err := strconv.Atoi(os.Getenv("MESHMQ_KILLS")); err == nil {
		kills = n
	}
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(steps)), func(step string) bool { return step == "opening" })
	dir, said, hit := filepath.Join(t.TempDir(), "spool"), make(words), make(map[string]int)
	killedAt(t, dir, "turning", 3, said)
	require.False(t, killedAt(t, dir, "", 0, said), "one that nobody kills says how many calls there are")
	calls := make(map[string]int)
	for step := range steps {
		for n := range said[step] {
			calls[step] = int(n)
		}
	}
	for i := range kills {
		j := i - (i+1)/3
		step, nth, of := others[j%len(others)], j/len(others), kills*2/3/len(others)+1
		if i%3 == 1 {
			step, nth, of = "opening", i/3, kills/3+1
		}
		if killedAt(t, dir, step, 1+nth*calls[step]/of, said) {
			hit[step]++
		}
		letters := lookAtSteps(t, dir, said)
		for n := range said["buried"] {
			require.Positive(t, letters[n], "message %d was buried and is no letter", n)
		}
		for n, copies := range letters {
			require.LessOrEqual(t, copies, said["burying"][n], "letters of message %d", n)
		}
	}
	for step := range steps {
		assert.Positive(t, hit[step], "%s was not hit", step)
	}
	require.False(t, killedAt(t, dir, "", 0, said))
	nothingBegun(t, dir)
}

// words are what children say: a word with a number, how often.
type words map[string]map[uint64]int

// killedAt runs the child, adds what it says, and reports whether it got to the call.
func killedAt(t *testing.T, dir, step string, call int, said words) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestStepChild$")
	cmd.Env = append(os.Environ(), stepDir+"="+dir, stepKill+"="+fmt.Sprint(step, " ", call))
	out, failed := cmd.Output()
	require.NoError(t, ctx.Err(), "the child was too slow")
	if failed != nil {
		exit, ok := errors.AsType[*exec.ExitError](failed)
		require.True(t, ok, failed)
		require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal(), "%s%s", out, exit.Stderr)
	}
	for _, line := range strings.Split(string(out), "\n") {
		word, number, _ := strings.Cut(line, " ")
		if n, err := strconv.ParseUint(number, 10, 64); err == nil {
			if said[word] == nil {
				said[word] = make(map[uint64]int)
			}
			said[word][n]++
		}
	}
	return failed != nil
}

// lookAtSteps looks for what was confirmed, changes nothing, and returns how often each message is a letter.
func lookAtSteps(t *testing.T, dir string, said words) map[uint64]int {
	t.Helper()
	report, err := spool.Verify(dir)
	if errors.Is(err, spool.ErrNotSpool) || errors.Is(err, os.ErrNotExist) {
		require.Empty(t, said["sent"])
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
	for n := range said["sent"] {
		require.True(t, there[n] || said["acked"][n] > 0 || letters[n] > 0, "message %d was confirmed and is lost", n)
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
	began := time.Now().Truncate(time.Second) // as the lock file says it
	require.NoError(t, cmd.Start())
	_, err = io.ReadFull(out, make([]byte, len("open")))
	require.NoError(t, err)
	_, err = spool.Open(dir, small)
	var held *spool.InUseError
	require.ErrorAs(t, err, &held)
	assert.Equal(t, cmd.Process.Pid, held.PID)
	host, err := os.Hostname()
	require.NoError(t, err)
	assert.Equal(t, host, held.Host)
	assert.WithinRange(t, held.Since, began, time.Now())
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
