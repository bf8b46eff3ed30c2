package zmq4_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// programEnv, when set, makes this test binary a process with one program in it: programs over go-zeromq have processes of their own because
// its sockets leave goroutines behind, which our leak check would take for ours.
const programEnv = "MESHMQ_TEST_ZMQ4_PROGRAM"

// job is a program to run.
type job struct {
	Program, API string
	Endpoints    []string
}

// runProgram is the main function of such a process.
func runProgram(args string, out io.Writer) int {
	var j job
	if err := json.Unmarshal([]byte(args), &j); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := programs[j.Program](context.Background(), apis[j.API], j.Endpoints, out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// outcome is how a program ended.
type outcome struct {
	out    string
	err    error
	stderr string
}

// start runs a program until it is done or ctx ends. Ours run in this process.
func (j job) start(ctx context.Context, t *testing.T) <-chan outcome {
	ended := make(chan outcome, 1)
	if j.API == "ours" {
		go func() {
			var out bytes.Buffer
			err := programs[j.Program](ctx, apis[j.API], j.Endpoints, &out)
			ended <- outcome{out: out.String(), err: err}
		}()
		return ended
	}
	args, err := json.Marshal(j)
	assert.NoError(t, err)
	self, err := os.Executable()
	assert.NoError(t, err)
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, self) // which ctx kills
	cmd.Env = append(os.Environ(), programEnv+"="+string(args), "GORACE=exitcode=0 atexit_sleep_ms=0")
	cmd.Stdout, cmd.Stderr = &out, &stderr
	cmd.WaitDelay = time.Second
	go func() {
		err := cmd.Run()
		ended <- outcome{out.String(), err, stderr.String()}
	}()
	return ended
}

const hello = "hello 0 world\nhello 1 world\nhello 2 world\nhello 3 world\nhello 4 world\n" +
	"hello 5 world\nhello 6 world\nhello 7 world\nhello 8 world\nhello 9 world\n"

// TestPrograms: programs written against zmq4.Socket run with either package at either end.
func TestPrograms(t *testing.T) {
	t.Parallel()
	tests := []struct {
		stays, ends string // the first runs until the second, which dials it, is done
		want        string // what the second prints
		broken      string // why the first does not work over go-zeromq
	}{
		{stays: "server", ends: "client", want: hello},
		{stays: "publisher", ends: "subscriber", want: "[B] news of B\n[B] news of B\n[B] news of B\n[B] news of B\n[B] news of B\n"},
		{stays: "foreman", ends: "workers", want: "[3 3 3]\n"},
		{stays: "pair server", ends: "pair client", want: "5 0 back\n300 0 back\n100000 0 back\n"},
		{stays: "one hand", ends: "ventilator", want: "20 tasks done\n"},
		{stays: "two hands", ends: "ventilator", want: "20 tasks done\n", broken: "#158: PUSH sends each message to every peer"},
		{stays: "queue", ends: "client and server", want: hello},
		{
			stays: "forwarder", ends: "publisher and subscriber", want: "[B] news of B\n[B] news of B\n[B] news of B\n[B] news of B\n[B] news of B\n",
			broken: "#108, #136: XPUB does not show subscriptions, so that none reaches the publisher",
		},
	}
	for _, test := range tests {
		for _, apis := range [][2]string{{"ours", "ours"}, {"ours", "theirs"}, {"theirs", "ours"}, {"theirs", "theirs"}} {
			t.Run(fmt.Sprintf("%s %s, %s %s", apis[0], test.stays, apis[1], test.ends), func(t *testing.T) {
				t.Parallel()
				if at := map[bool]int{true: 1}[test.ends == "ventilator"]; test.broken != "" && apis[at] == "theirs" {
					t.Skip("go-zeromq/zmq4", test.broken)
				}
				endpoints := []string{unused(t), unused(t)}
				ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
				defer cancel()
				stays := job{test.stays, apis[0], endpoints}.start(ctx, t)
				got := <-job{test.ends, apis[1], endpoints}.start(ctx, t)
				assert.NoError(t, got.err, got.stderr)
				assert.Equal(t, test.want, got.out)
				cancel()
				if other := <-stays; t.Failed() {
					t.Logf("%s: %v\n%s%s", test.stays, other.err, other.out, other.stderr)
				}
			})
		}
	}
}
