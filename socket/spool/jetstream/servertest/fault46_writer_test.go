package servertest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// bridgeEnv has TestFault46Child be the process that is killed: the server, the PULL, and the number of the step, -1 for none.
const bridgeEnv = "MESHMQ_JETSTREAM_BRIDGE"

// TestFault46Child sends what it has a spool keep, says what is confirmed, and stops at its step. Without one it ends with its input, when all is acknowledged.
func TestFault46Child(t *testing.T) {
	said := strings.Fields(os.Getenv(bridgeEnv))
	if len(said) != 3 {
		t.Skip("runs as a child of TestFault46_WriterKilled")
	}
	wire := newFailpoint()
	nc, err := nats.Connect(said[0], through(wire))
	require.NoError(t, err)
	defer nc.Close()
	s, err := jetstream.Open(bounded(t), nc, "orders", quick)
	require.NoError(t, err)
	_, err = s.Consumer("audit", spool.Beginning()) // so that the server keeps all
	require.NoError(t, err)
	require.NoError(t, s.Flush(bounded(t)))
	n := s.State().Next
	push := socket.NewPush(socket.WithAck(), socket.WithSpoolOn(s))
	require.NoError(t, push.Connect(said[1]))
	send := func() {
		number, err := push.Enqueue(bounded(t), []byte(text(n)))
		require.NoError(t, err)
		require.Equal(t, n, number)
		require.NoError(t, push.WaitSpooled(bounded(t), n))
		fmt.Println("confirmed", n)
		n++
	}
	for range 10 {
		send()
	}
	i, err := strconv.Atoi(said[2])
	require.NoError(t, err)
	if i < 0 {
		_, _ = io.Copy(io.Discard, os.Stdin)
		require.NoError(t, push.Shutdown(bounded(t)))
		return
	}
	if at := steps[i]; at.at != handling {
		reached := wire.arm(at.at, at.words("orders"))
		go func() { // ends with the process
			<-reached
			fmt.Println("reached", i)
		}()
	}
	fmt.Println("armed", i)
	for {
		send()
	}
}

// bridge is what TestFault46_WriterKilled knows of the messages.
type bridge struct {
	url, at   string
	hands     *failpoint
	confirmed uint64

	mu      sync.Mutex // guards the field below
	handled map[string]int
}

// TestFault46_WriterKilled: row 46 of the fault plan. The process that writes to JetStream and sends what it reads there is killed at each step of a message's way. What was confirmed
// is in the stream, each message once and in its place, and is handled; what is handled again is marked.
func TestFault46_WriterKilled(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	pull := socket.NewPull(socket.WithAck(), socket.WithAckCredit(20, 1<<20))
	at, err := pull.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	b := &bridge{url: n.ClientURL(), at: at, hands: newFailpoint(), handled: map[string]int{}}
	var receiver sync.WaitGroup
	receiver.Go(func() { // ends when the PULL is closed
		for msg, err := range pull.Messages(t.Context()) {
			if err != nil {
				return
			}
			b.hands.stop(handling, msg.Bytes())
			b.mu.Lock()
			b.handled[string(msg.Bytes())]++
			assert.True(t, b.handled[string(msg.Bytes())] == 1 || msg.Redelivered(), "%s twice without a mark", msg.Bytes())
			b.mu.Unlock()
		}
	})
	t.Cleanup(func() { _ = pull.Close() })
	t.Cleanup(b.hands.open)
	for range rounds(t, len(steps)) {
		for i, at := range steps {
			t.Run(at.name, func(t *testing.T) { b.run(t, i) })
		}
	}
	b.run(t, -1) // and all is sent
	require.NoError(t, pull.Close())
	receiver.Wait()

	s := open(t, connect(t, n), "orders", quick)
	audit, err := s.Consumer("audit", spool.Beginning())
	require.NoError(t, err)
	r, end := audit.Reader(0), s.State().Next
	defer r.Close()
	require.Greater(t, end, b.confirmed)
	again := 0
	for number := uint64(1); number < end; number++ {
		rec := next(t, r)
		require.Equal(t, number, rec.Number)
		require.Equal(t, text(number), string(rec.Frames[0]))
		require.Positive(t, b.handled[text(number)], "message %d is not handled", number)
		again += b.handled[text(number)] - 1
	}
	require.Len(t, b.handled, int(end-1))
	t.Logf("%d messages confirmed, %d stored and handled, %d again", b.confirmed, end-1, again)
}

// run starts the process and kills it at its step, or waits for its end if it has none.
func (b *bridge) run(t *testing.T, i int) {
	t.Helper()
	cmd := exec.CommandContext(bounded(t), os.Args[0], "-test.run=^TestFault46Child$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", bridgeEnv, b.url, b.at, i))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	first, reached := b.confirmed, false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		what, number, _ := strings.Cut(lines.Text(), " ")
		switch n, _ := strconv.ParseUint(number, 10, 64); what {
		case "confirmed":
			require.Greater(t, n, b.confirmed)
			if b.confirmed = n; i < 0 && n >= first+10 {
				_ = in.Close()
			}
		case "armed":
			if steps[i].at == handling {
				select {
				case <-b.hands.arm(handling, ""):
				case <-bounded(t).Done():
					require.Fail(t, "nothing is handled")
				}
				reached = true
			}
		case "reached":
			reached = true
		}
		if reached {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	err = cmd.Wait()
	b.hands.open()
	if i < 0 {
		require.NoError(t, err)
		return
	}
	require.Error(t, err)
	require.True(t, reached, "the process ended by itself")
}
