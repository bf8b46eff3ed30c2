//go:build linux || darwin

package socket_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

const ( // when a receiver with a window is killed
	unmarked = "before it marks"
	marked   = "when something is marked and nobody knows yet"
	inOrder  = "never"
)

// deadly is a window that ends the process.
type deadly struct {
	*spool.Window
	end    string
	enough int // marks
}

func (d *deadly) Mark(ctx context.Context, marks ...spool.Mark) error {
	if d.end == unmarked {
		die()
	}
	err := d.Window.Mark(ctx, marks...)
	if d.enough -= len(marks); d.end == marked && d.enough <= 0 {
		die()
	}
	return err
}

// teller is a window that tells what is marked.
type teller struct{ *spool.Window }

func (w teller) Mark(ctx context.Context, marks ...spool.Mark) error {
	err := w.Window.Mark(ctx, marks...)
	for _, m := range marks {
		if err == nil {
			say("marked", m.Number)
		}
	}
	return err
}

// die is SIGKILL: nothing is done after it.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// killMarking is a receiver with a window. It takes all that its credit allows before it handles as many of those as it is told, and tells how many it was spared; one that is not to be killed handles everything.
func killMarking(t *testing.T, w way, dir, endpoint, end, enough string) {
	ctx := untilInputEnds(t)
	handles, err := strconv.Atoi(enough)
	require.NoError(t, err)
	window, err := spool.OpenWindow(dir, spool.WindowOptions{})
	require.NoError(t, err)
	defer window.Close()
	s := w.receiver(socket.WithManualAck(), socket.WithAckCredit(killCredit, 1<<20), socket.WithWindowOn(&deadly{window, end, handles}), swift())
	require.NoError(t, s.Connect(endpoint))
	handle := func(all ...socket.Msg) {
		for _, m := range all {
			number, life, whole := openLetterOf(m)
			require.True(t, whole)
			say("handled", number, life, lifeOf(m))
		}
		for _, m := range all {
			require.NoError(t, m.Ack())
		}
	}
	var all []socket.Msg
	for m, err := range s.Messages(ctx) {
		if err != nil {
			break
		}
		if end == inOrder {
			handle(m)
		} else if all = append(all, m); len(all) == killCredit {
			say("spared", s.Stats().Acks.DuplicatesIn)
			handle(all[:handles]...)
			<-t.Context().Done() // it is killed here
		}
	}
	say("spared", s.Stats().Acks.DuplicatesIn)
	require.NoError(t, s.Close())
}

// killMarkers has receivers killed that have all that their credit allows, until one handles the rest. What the one before had handled, and could not say, each is to be spared, or to do again.
func killMarkers(t *testing.T, end string) {
	t.Parallel()
	spared := end == marked
	eachWay(t, func(t *testing.T, name string, w way) {
		dir, o, n := t.TempDir(), newOracle(t), kills(4)
		s := w.open(t, filepath.Join(dir, "spool"))
		closing(t, s)
		endpoint := bind(t, s, "tcp://127.0.0.1:0")
		letters := uint64(n * killCredit)
		for number := uint64(1); number <= letters; number++ {
			_, err := s.Enqueue(limit(t), letter(number, 0))
			require.NoError(t, err)
		}
		require.NoError(t, s.Flush(limit(t)))
		o.hear(line{"receipt", []uint64{letters}})

		handled, all := 0, 0
		hear := func(l line) {
			if o.hear(l); l.word == "spared" {
				assert.LessOrEqual(t, int(l.n[0]), handled)
				assert.Equal(t, spared && handled > 0, l.n[0] > 0, "%d", l.n[0])
			}
		}
		start := func(end string, handles int) *child {
			return startChild(t, "mark", name, filepath.Join(dir, "window"), endpoint, end, fmt.Sprint(handles))
		}
		for i := range n {
			next := 1 + i*17%killCredit
			receiver := start(end, next)
			receiver.until(t, "handled", next, hear)
			require.ErrorContains(t, receiver.rest(hear), "killed")
			handled, all = next, all+next
		}
		last := start(inOrder, 0)
		told := last.listen(hear)
		require.NoError(t, s.waitSettled(limit(t), letters))
		last.end(t, hear)
		<-told
		if spared {
			all = 0
		}
		o.check(all)
		assert.Equal(t, all, o.again)
		assert.LessOrEqual(t, s.Stats().Acks.RedeliveredOut, uint64(n*killCredit))
		require.NoError(t, s.Shutdown(limit(t)))
		w.requireDrained(t, filepath.Join(dir, "spool"))
	})
}

// Row 2 of the fault plan, with a window: a receiver that is killed between the marks and the acknowledgements of messages handles none of them twice. No more come again than its credit.
func TestWindow_KillOfTheReceiver(t *testing.T) { killMarkers(t, marked) }

// One that is killed between the handler's work and the mark has the work done again.
func TestWindow_KillBeforeTheMark(t *testing.T) { killMarkers(t, unmarked) }

const ( // what goes on while a receiver marks
	lagCredit = 2000
	lagBegins = 256 // acknowledgements with which marking begins
	lagGather = 300 // and those that come while it lasts
	lagSyncs  = 3   // it is killed in the last
)

// slow is a window that marks for as long as so many messages more are handled, and then ends the process.
type slow struct {
	deadly
	handle chan chan struct{} // one more, which is acknowledged when that is closed
}

func (s *slow) Mark(ctx context.Context, marks ...spool.Mark) error {
	for range lagGather {
		acked := make(chan struct{})
		s.handle <- acked
		<-acked
	}
	s.enough--
	if s.enough > 0 {
		return s.Window.Mark(ctx, marks...)
	}
	return s.deadly.Mark(ctx, marks...)
}

// killLagging is a receiver that is killed while it marks. It acknowledges what its window begins with, and goes on only while that marks: no delay and no credit has it mark earlier.
func killLagging(t *testing.T, w way, dir, endpoint, end string) {
	window, err := spool.OpenWindow(dir, spool.WindowOptions{})
	require.NoError(t, err)
	lag := &slow{deadly{window, end, lagSyncs}, make(chan chan struct{})}
	s := w.receiver(socket.WithManualAck(), socket.WithAckCredit(lagCredit, 1<<20), sluggish(), socket.WithWindowOn(lag), swift())
	require.NoError(t, s.Connect(endpoint))
	var all []socket.Msg
	for m := range s.Messages(untilInputEnds(t)) {
		if all = append(all, m); len(all) == lagCredit {
			break
		}
	}
	for i, m := range all {
		acked := make(chan struct{})
		if i >= lagBegins {
			acked = <-lag.handle
		}
		number, life, whole := openLetterOf(m)
		require.True(t, whole)
		say("handled", number, life, lifeOf(m))
		require.NoError(t, m.Ack())
		close(acked)
	}
}

// A receiver with a window that is killed while it marks handles again what was acknowledged during one sync, and, if that is killed before it writes, what this one was to mark. That is so
// whatever its credit is, and the delay of its acknowledgements.
func TestWindow_KillCostsWhatOneSyncGathers(t *testing.T) {
	t.Parallel()
	for end, again := range map[string]int{marked: lagGather, unmarked: 2 * lagGather} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func(t *testing.T, name string, w way) {
				dir, o := t.TempDir(), newOracle(t)
				s := w.open(t, filepath.Join(dir, "spool"))
				closing(t, s)
				endpoint := bind(t, s, "tcp://127.0.0.1:0")
				for number := uint64(1); number <= lagCredit; number++ {
					_, err := s.Enqueue(limit(t), letter(number, 0))
					require.NoError(t, err)
				}
				require.NoError(t, s.Flush(limit(t)))
				o.hear(line{"receipt", []uint64{lagCredit}})
				killed := startChild(t, "lag", name, filepath.Join(dir, "window"), endpoint, end)
				killed.until(t, "handled", lagBegins+lagSyncs*lagGather, o.hear)
				require.ErrorContains(t, killed.rest(o.hear), "killed")
				last := startChild(t, "mark", name, filepath.Join(dir, "window"), endpoint, inOrder, "0")
				told := last.listen(o.hear)
				require.NoError(t, s.waitSettled(limit(t), lagCredit))
				last.end(t, o.hear)
				<-told
				o.check(again)
				assert.Equal(t, again, o.again)
				require.NoError(t, s.Shutdown(limit(t)))
			})
		})
	}
}
