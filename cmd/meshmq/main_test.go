package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
)

// asMeshmq in the environment makes the test binary the program under test.
const asMeshmq = "MESHMQ_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asMeshmq) != "" {
		main()
	}
	os.Setenv(asMeshmq, "1")                                      // for all processes the tests start, and those they start
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")) // the race detector's second at each exit would be most of the time
	sockettest.LeakCheck(m)
}

// patience bounds every wait of a test.
const patience = 2 * time.Minute

// program is a meshmq process under test.
type program struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	stdout, stderr *capture
	done           chan struct{} // closed when it has ended
}

// start starts meshmq with an open standard input.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	return startInto(t, nil, args...)
}

// startInto is start with a file for standard output, which shows what was written at any moment.
func startInto(t *testing.T, stdout *os.File, args ...string) *program {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	p := &program{t: t, cmd: exec.Command(self, args...), stdout: newCapture(), stderr: newCapture(), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	p.cmd.WaitDelay = time.Second
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() { // ends with the process, which Cleanup ends
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.stdin.Close()
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// result is how a process ended.
type result struct {
	code           int
	stdout, stderr string
}

func (p *program) wait() result {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		require.FailNow(p.t, "still running", "%v\nstdout: %s\nstderr: %s", p.cmd.Args[1:], p.stdout, p.stderr)
	}
	return result{p.cmd.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()}
}

// meshmq runs the program to its end, without input.
func meshmq(t *testing.T, args ...string) result {
	t.Helper()
	return meshmqWith(t, "", args...)
}

// meshmqWith runs the program to its end with this input.
func meshmqWith(t *testing.T, input string, args ...string) result {
	t.Helper()
	p := start(t, args...)
	_, err := io.WriteString(p.stdin, input)
	for _, err := range []error{err, p.stdin.Close()} {
		if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, os.ErrClosed) { // it may end before it has read all
			require.NoError(t, err)
		}
	}
	return p.wait()
}

// ok runs the program to its end and returns its output. It must succeed.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	r := meshmq(t, args...)
	require.Zero(t, r.code, "%v: %s", args, r.stderr)
	return r.stdout
}

var listening = regexp.MustCompile(`(?m)^listening (\S+)$`)

// endpoint returns what the program listens on.
func (p *program) endpoint() string {
	p.t.Helper()
	return p.stderr.await(p.t, listening)[1]
}

// says waits until text is on standard error.
func (p *program) says(text string) {
	p.t.Helper()
	p.stderr.await(p.t, regexp.MustCompile(regexp.QuoteMeta(text)))
}

// prints waits until text is on standard output.
func (p *program) prints(text string) {
	p.t.Helper()
	p.stdout.await(p.t, regexp.MustCompile(regexp.QuoteMeta(text)))
}

func (p *program) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// kill ends the program where it stands.
func (p *program) kill() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Kill())
	<-p.done
}

// capture keeps what a process writes, for tests to wait for.
type capture struct {
	mu      sync.Mutex // guards the fields below
	buf     bytes.Buffer
	changed chan struct{} // closed and replaced at each write
}

func newCapture() *capture { return &capture{changed: make(chan struct{})} }

func (c *capture) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
	return c.buf.Write(b)
}

func (c *capture) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.String()
}

func (c *capture) await(t *testing.T, want *regexp.Regexp) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		c.mu.Lock()
		found, changed := want.FindStringSubmatch(c.buf.String()), c.changed
		c.mu.Unlock()
		if found != nil {
			return found
		}
		select {
		case <-changed:
		case <-ctx.Done():
			require.FailNow(t, "never said", "%s in %q", want, c)
		}
	}
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}
