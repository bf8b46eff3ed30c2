//go:build linux || darwin

package socket_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
)

// child is a process that is to be killed. It tells what it does in lines of a word and numbers.
type child struct {
	cmd   *exec.Cmd
	in    io.Closer // a child whose input ends comes to an end in order
	lines chan line // closed at its end
	other []string  // that package testing says, to be read after that

	listener <-chan struct{} // closed when listen hears no more; nil without it
}

type line struct {
	word string
	n    []uint64
}

// childEnv names what a child is told: its role, and what goes with that.
const childEnv = "MESHMQ_KILL_CHILD"

func startChild(t *testing.T, told ...string) *child {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill_Child$") // its end kills what the test has not waited for
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(told, "|"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	c := &child{cmd: cmd, in: in, lines: make(chan line, 1<<10)}
	go func() { // ends with the process: kill and end read to its end
		defer close(c.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			words := strings.Fields(s.Text())
			if len(words) == 0 || !strings.HasPrefix(words[0], "@") {
				c.other = append(c.other, s.Text())
				continue
			}
			l := line{word: words[0][1:]}
			for _, w := range words[1:] {
				n, _ := strconv.ParseUint(w, 10, 64)
				l.n = append(l.n, n)
			}
			c.lines <- l
		}
	}()
	return c
}

// say is what a child says: one write, which the pipe takes as a whole or not at all.
func say(word string, n ...uint64) {
	text := "@" + word
	for _, n := range n {
		text += " " + strconv.FormatUint(n, 10)
	}
	fmt.Println(text)
}

// until passes on what the child tells, up to the nth line with this word.
func (c *child) until(t *testing.T, word string, n int, hear func(line)) {
	t.Helper()
	patience := time.NewTimer(sockettest.Timeout)
	defer patience.Stop()
	for n > 0 {
		select {
		case l, ok := <-c.lines:
			if !ok {
				require.Fail(t, "the process ended", "%d %s missing: %s", n, word, strings.Join(c.other, "\n"))
			}
			hear(l)
			if l.word == word {
				n--
			}
		case <-patience.C:
			require.Fail(t, "the process says nothing", "%d %s missing", n, word)
		}
	}
}

// says reports whether the child's next line, which is to have this word, comes within a time.
func (c *child) says(t *testing.T, word string, within time.Duration) bool {
	t.Helper()
	select {
	case l, ok := <-c.lines:
		require.True(t, ok && l.word == word, "%+v %s", l, strings.Join(c.other, "\n"))
		return true
	case <-time.After(within):
		return false
	}
}

// listen passes on all that the child tells from now on, so that it need not wait for who reads. The channel is closed when it has ended.
func (c *child) listen(hear func(line)) (ended <-chan struct{}) {
	over := make(chan struct{})
	c.listener = over
	go func() { // ends with the process
		defer close(over)
		for l := range c.lines {
			hear(l)
		}
	}()
	return over
}

// kill ends the child with SIGKILL, and passes on what it had told by then.
func (c *child) kill(t *testing.T, hear func(line)) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Kill())
	require.Error(t, c.rest(hear))
	_ = c.in.Close()
}

// end has the child come to an end, which finds no goroutine left.
func (c *child) end(t *testing.T, hear func(line)) {
	t.Helper()
	require.NoError(t, c.in.Close())
	patience := time.AfterFunc(sockettest.Timeout, func() { _ = c.cmd.Process.Kill() })
	defer patience.Stop()
	require.NoError(t, c.rest(hear), "%s", strings.Join(c.other, "\n"))
}

func (c *child) rest(hear func(line)) error {
	if c.listener != nil { // two that hear would not hear in order
		<-c.listener
	}
	for l := range c.lines {
		hear(l)
	}
	return c.cmd.Wait()
}

// lingerEnv says how long a child may go on when its input has ended: childLinger without it.
const lingerEnv = "MESHMQ_KILL_LINGER"

// childLinger is longer than any parent waits for a child to end in order. One that is still there then has no parent any more, or that has given it up.
const childLinger = 2 * sockettest.Timeout

// inputEnded is closed when the input of this process, a child, has ended: its parent is gone, or wants it to end. Wherever the child is stuck, it ends some time after that.
var inputEnded = sync.OnceValue(func() <-chan struct{} {
	linger := childLinger
	if d, err := time.ParseDuration(os.Getenv(lingerEnv)); err == nil {
		linger = d
	}
	ended := make(chan struct{})
	go func() { // ends with the input
		_, _ = io.Copy(io.Discard, os.Stdin)
		time.AfterFunc(linger, func() {
			fmt.Fprintln(os.Stderr, "the input ended", linger, "ago")
			os.Exit(childLingered)
		})
		close(ended)
	}()
	return ended
})

// childLingered is the exit code of a child that did not end in order.
const childLingered = 3

// untilInputEnds returns the context of a child's work.
func untilInputEnds(t *testing.T) context.Context {
	ctx, stop := context.WithCancel(t.Context())
	go func() { // ends with the input, or the test
		defer stop()
		select {
		case <-inputEnded():
		case <-t.Context().Done():
		}
	}()
	return ctx
}

// kills is how many processes a test kills: a few, or as many as MESHMQ_KILLS says (make kills).
func kills(few int) int {
	if n, err := strconv.Atoi(os.Getenv("MESHMQ_KILLS")); err == nil {
		return n
	}
	return few
}

// oracle compares what senders were promised with what receivers handled.
type oracle struct {
	t         *testing.T
	mu        sync.Mutex // guards the fields below
	promised  uint64     // Send returned nil for all messages up to this one
	settled   uint64     // and these were known to be handled, durably
	forgotten uint64     // messages up to this one were handled long ago
	handled   map[uint64]handling
	last      uint64 // the highest handled
	again     int    // handled, all but the first time
	within    int    // of those: came from the life of the sender that they had come from before
	counted   int    // of again, by costs
	unknown   int    // the sum of those of lives
	most      int    // that may come again for the end of a life; 0: all that its spool does not know of
	lives     map[uint64]*life
}

// handling is what is known of a message that was handled.
type handling struct {
	text uint64 // the life that its text names
	from uint64 // the life of the sender that it came from, the last time
	safe bool   // a window has marked it
}

// life is what is known of a life of a sender.
type life struct {
	floor   uint64 // messages up to this one were settled, as its spool knew when it was opened
	unknown int    // how many behind those the spool had, for all it knew not handled
	lowest  uint64 // the first of those that came from it
	came    int    // how many came from it
	again   int    // of those: had come from a life before, or come from one before after that
}

func newOracle(t *testing.T) *oracle {
	return &oracle{t: t, handled: map[uint64]handling{}, lives: map[uint64]*life{}}
}

// lifeLocked returns a life, which may have begun just now. o.mu is held.
func (o *oracle) lifeLocked(number uint64) *life {
	if o.lives[number] == nil {
		o.lives[number] = &life{lowest: math.MaxUint64}
	}
	return o.lives[number]
}

// beginLocked notes what a spool knew when a life opened it. o.mu is held.
func (o *oracle) beginLocked(number, floor uint64, unknown int) {
	l := o.lifeLocked(number)
	l.floor, l.unknown = floor, unknown
	o.unknown += unknown
}

// overLocked checks what came from a life, and forgets it: nothing that its spool knew to be handled. o.mu is held.
func (o *oracle) overLocked(number uint64) (again int) {
	l := o.lifeLocked(number)
	assert.Greater(o.t, l.lowest, l.floor, "life %d", number)
	assert.LessOrEqual(o.t, l.again, l.unknown, "life %d", number)
	if o.most > 0 {
		assert.LessOrEqual(o.t, l.again, o.most, "life %d", number)
	}
	delete(o.lives, number)
	return l.again
}

// hear takes a line of a child.
func (o *oracle) hear(l line) {
	switch l.word {
	case "open": // floor and next, and the number of the life
		o.mu.Lock()
		if len(l.n) > 2 {
			o.beginLocked(l.n[2], l.n[0], int(l.n[1]-1-l.n[0]))
			if l.n[2] >= rememberedLives {
				o.overLocked(l.n[2] - rememberedLives)
			}
		}
		assert.GreaterOrEqual(o.t, l.n[0], o.settled, "a position was lost that was flushed")
		assert.Greater(o.t, l.n[1], o.promised, "messages are lost that were promised")
		o.mu.Unlock()
	case "receipt":
		o.mu.Lock()
		o.promised = l.n[0]
		o.mu.Unlock()
	case "settled":
		o.mu.Lock()
		o.settled = l.n[0]
		o.mu.Unlock()
	case "handled":
		o.handle(l.n[0], l.n[1], l.n[2])
	case "marked":
		o.mu.Lock()
		if h, ok := o.handled[l.n[0]]; ok {
			h.safe = true
			o.handled[l.n[0]] = h
		}
		o.mu.Unlock()
	case "broken":
		assert.Fail(o.t, "a message with other bytes was received")
	}
}

const (
	remembered      = 1 << 15 // messages whose handling is known one by one: more than are ever under way, and little memory
	rememberedLives = 1 << 10 // likewise
)

// handle notes a message before it is acknowledged: which life of its sender it came from, and which one its text names.
func (o *oracle) handle(number, text, from uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.lifeLocked(from)
	l.lowest = min(l.lowest, number)
	l.came++
	before, again := o.handled[number]
	if again = again || number <= o.forgotten; again {
		o.again++
		if before.from == from {
			o.within++
		} else {
			o.lifeLocked(max(before.from, from)).again++
		}
	}
	if number <= o.forgotten {
		return
	}
	o.handled[number] = handling{text: text, from: from}
	if again {
		assert.False(o.t, before.safe, "message %d is handled again, which was marked", number)
		assert.Equal(o.t, before.text, text, "message %d is another one now", number)
		return
	}
	assert.Greater(o.t, number, o.last, "first deliveries out of order")
	o.last = number
	if len(o.handled) > remembered {
		o.forgotten++
		_, known := o.handled[o.forgotten]
		assert.True(o.t, known, "message %d is lost", o.forgotten)
		delete(o.handled, o.forgotten)
	}
}

// cameFrom returns how many messages came from a life.
func (o *oracle) cameFrom(number uint64) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lifeLocked(number).came
}

// costs checks how many messages were handled again since it was called last.
func (o *oracle) costs(most int, what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	assert.LessOrEqual(o.t, o.again-o.counted, most, "handled again after %s", what)
	o.counted = o.again
}

// checkLives checks what came from each life of the sender, and that no more than said came twice from one. It returns how many came from one that had come before, at most.
func (o *oracle) checkLives(within int) (worst int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for number := range o.lives {
		worst = max(worst, o.overLocked(number))
	}
	assert.LessOrEqual(o.t, o.within, within, "handled twice from one life")
	o.t.Logf("at most %d again for the end of a life, %d twice from one (at most %d)", worst, o.within, within)
	return worst
}

// check is the verdict in the end: all that was promised was handled, with no more duplicates than said.
func (o *oracle) check(duplicates int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	require.NotZero(o.t, o.promised)
	for n := o.forgotten + 1; n <= o.promised; n++ {
		_, ok := o.handled[n] // require.Contains would look at all of them each time
		require.True(o.t, ok, "message %d of %d promised is lost", n, o.promised)
	}
	assert.LessOrEqual(o.t, o.again, duplicates, "duplicates")
	o.t.Logf("%d messages promised and handled, %d again (at most %d)", o.promised, o.again, duplicates)
}
