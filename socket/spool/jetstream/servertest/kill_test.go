package servertest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// childEnv has TestWriterKilledChild be the process that TestWriterKilled kills: it is the address of the server.
const childEnv = "MESHMQ_JETSTREAM_CHILD"

// TestWriterKilledChild sends messages through a spool, several at a time, and tells of each step, until it is killed or its input ends.
func TestWriterKilledChild(t *testing.T) {
	url := os.Getenv(childEnv)
	if url == "" {
		t.Skip("runs as a child of TestWriterKilled")
	}
	ctx, stop := context.WithCancel(t.Context())
	go func() { // ends with the input
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	nc, err := nats.Connect(url)
	require.NoError(t, err)
	defer nc.Close()
	fmt.Println("opening 0")
	s, err := jetstream.Open(bounded(t), nc, "orders", quick)
	require.NoError(t, err)
	fmt.Println("opened", s.State().Next)
	for n := s.State().Next; ctx.Err() == nil; {
		for range 8 {
			number, err := s.Enqueue(t.Context(), []byte(text(n)))
			require.NoError(t, err)
			require.Equal(t, n, number)
			fmt.Println("enqueued", n)
			n++
		}
		require.NoError(t, s.Wait(bounded(t), n-1))
		fmt.Println("confirmed", n-1)
	}
	require.NoError(t, s.Close())
}

// TestWriterKilled: row 46 of the fault plan: the process that writes to JetStream is killed while it opens the spool, while messages are on their way, and when they are confirmed. What was
// confirmed is in the stream, each message once and in its place, and so is what the next process adds.
func TestWriterKilled(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	url := fmt.Sprintf("nats://127.0.0.1:%d", n.options.Port)
	steps := []struct {
		word  string
		times int
	}{{"confirmed", 2}, {"opening", 1}, {"enqueued", 1}, {"opened", 1}, {"enqueued", 13}, {"confirmed", 1}, {"enqueued", 24}}
	kills := len(steps)
	if many, err := strconv.Atoi(os.Getenv("MESHMQ_KILLS")); err == nil {
		kills = many
	}
	confirmed := uint64(0)
	for i := range kills {
		step := steps[i%len(steps)]
		if step.word == "confirmed" || step.word == "enqueued" {
			step.times += i / len(steps)
		}
		confirmed = killAt(t, url, step.word, step.times, confirmed)
	}
	s := open(t, connect(t, n), "orders", quick)
	end, r := s.State().Next, reader(t, s, 0)
	require.Greater(t, end, confirmed)
	for number := uint64(1); number < end; number++ {
		rec, err := r.TryNext()
		require.NoError(t, err)
		require.Equal(t, number, rec.Number)
		require.Equal(t, text(number), string(rec.Frames[0]))
	}
	_, err := r.TryNext()
	require.ErrorIs(t, err, io.EOF)
	t.Logf("%d kills, %d messages confirmed, %d stored", kills, confirmed, end-1)
}

// killAt starts a process, kills it at the nth line with this word, and returns what is confirmed by then.
func killAt(t *testing.T, url, word string, times int, confirmed uint64) uint64 {
	t.Helper()
	cmd := exec.CommandContext(bounded(t), os.Args[0], "-test.run=^TestWriterKilledChild$")
	cmd.Env = append(os.Environ(), childEnv+"="+url)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said := []string{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = append(said, lines.Text())
		what, number, _ := strings.Cut(lines.Text(), " ")
		n, _ := strconv.ParseUint(number, 10, 64)
		switch what {
		case "opened":
			assert.Greater(t, n, confirmed, "what was confirmed is there")
		case "confirmed":
			confirmed = n
		}
		if what == word {
			if times--; times == 0 {
				require.NoError(t, cmd.Process.Kill())
			}
		}
	}
	require.Error(t, cmd.Wait())
	require.LessOrEqual(t, times, 0, "the process ended by itself: %s", strings.Join(said, "\n"))
	return confirmed
}
