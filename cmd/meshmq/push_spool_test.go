package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// TestPushSpool: what no peer takes in time stays, is seen by the verbs of spools, and goes out the next time, in order.
func TestPushSpool(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "outbox")
	r := meshmqWith(t, "one\ntwo\n", "push", "-c", nobody, "--spool", dir, "--receipts", "--timeout", "300ms")
	assert.Equal(t, 3, r.code, r.stderr)
	assert.Equal(t, "1\n2\n", r.stdout)
	assert.Contains(t, r.stderr, "timeout after 300ms: 2 messages sent")
	assert.Contains(t, r.stderr, "2 messages not acknowledged and kept in "+dir)
	assert.Equal(t, "one\ntwo\n", ok(t, "spool", "cat", dir))
	assert.Contains(t, ok(t, "spool", "stats", dir), "pending 2\n")

	pull := start(t, "pull", "-b", anyPort, "--ack", "--count", "3")
	assert.Equal(t, "3\n", ok(t, "push", "-c", pull.endpoint(), "--spool", dir, "--ack", "--sync", "os", "--receipts", "three"))
	got := pull.wait()
	assert.Zero(t, got.code, got.stderr)
	assert.Equal(t, "one\ntwo\nthree\n", got.stdout)
	assert.Contains(t, ok(t, "spool", "stats", dir), "pending 0\n")
}

// TestPushSpoolWaitsForRoom: a spool that is full has it wait, and say for what.
func TestPushSpoolWaitsForRoom(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "outbox")
	lines := strings.Repeat(strings.Repeat("x", 1<<20)+"\n", 40)
	r := meshmqWith(t, lines, "push", "-c", nobody, "--spool", dir, "--sync", "os", "--quota", "20MiB", "--timeout", "5s")
	assert.Equal(t, 3, r.code, r.stderr)
	assert.Contains(t, r.stderr, "timeout after 5s")
	assert.Contains(t, r.stderr, "the quota is used up")
	assert.Contains(t, r.stderr, "not acknowledged and kept in "+dir)
}

// TestPushSpoolErrors are those of spools, not of usage.
func TestPushSpoolErrors(t *testing.T) {
	t.Parallel()
	dir, l := fillSpool(t, 1, spool.Options{})
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for at, says := range map[string]string{
		dir:                 fmt.Sprintf("in use by process %d", os.Getpid()),
		file:                "not a directory",
		file + "-no/outbox": "make it",
	} {
		r := meshmq(t, "push", "-c", nobody, "--spool", at, "x")
		assert.Equal(t, 1, r.code, r.stderr)
		assert.Len(t, lines(r.stderr), 1, r.stderr)
		assert.Contains(t, r.stderr, says)
	}
	require.NoError(t, l.Close())
	topic, l := fillSpool(t, 1, spool.Options{Kind: spool.Topic})
	require.NoError(t, l.Close())
	r := meshmq(t, "push", "-c", nobody, "--spool", topic, "x")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "open it as what it was made")
}

// TestPushSpoolInterrupt: 130, and what was sent is kept.
func TestPushSpoolInterrupt(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	dir := filepath.Join(t.TempDir(), "outbox")
	push := start(t, "push", "-c", nobody, "--spool", dir, "--receipts", "--linger", "1ms")
	for n := 1; n <= 3; n++ {
		_, err := fmt.Fprintln(push.stdin, "message", n)
		require.NoError(t, err)
		push.prints(fmt.Sprintf("%d\n", n)) // without waiting for more
	}
	push.signal(os.Interrupt)
	r := push.wait()
	assert.Equal(t, 130, r.code, r.stderr)
	assert.Contains(t, r.stderr, "3 messages not acknowledged and kept in")
	assert.Equal(t, "message 1\nmessage 2\nmessage 3\n", ok(t, "spool", "cat", dir))
}

// TestPushSpoolFails: a spool that cannot be closed well is an error, however the session ended, and nothing is said to be kept in it. One that is sound is not.
func TestPushSpoolFails(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	for name, args := range map[string][]string{"timeout": {"push", "--timeout", "2s"}, "interrupt": {"push", "--linger", "1ms"}, "publisher": {"pub", "--timeout", "2s"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "outbox")
			args := append(args, "-c", nobody, "--spool", dir, "--sync", "os", "--receipts")
			if name == "publisher" {
				args = append(args, "--topic", "t")
			}
			p := start(t, args...)
			_, err := io.WriteString(p.stdin, "one\ntwo\n")
			require.NoError(t, err)
			p.prints("1\n2\n")
			for file, content := range spoolFiles(t, dir) { // in the place of each file another
				if filepath.Ext(file) == ".seg" {
					require.NoError(t, os.Remove(file))
					require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
				}
			}
			if name == "interrupt" {
				p.signal(os.Interrupt)
			}
			r := p.wait()
			assert.Equal(t, 1, r.code, r.stderr)
			said := lines(r.stderr)
			assert.Equal(t, 1, strings.Count(said[len(said)-1], "the spool stopped at a failed write: "), r.stderr)
			assert.Contains(t, r.stderr, "2 messages sent")
			assert.NotContains(t, r.stderr, "kept")
			assert.NotContains(t, r.stderr, "stay in the spool")
		})
	}
}

// TestPushSpoolThatWasMoved: where all is acknowledged nothing is left that could be missed, wherever the spool is by then.
func TestPushSpoolThatWasMoved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "outbox")
	p := start(t, "push", "-b", anyPort, "--spool", dir, "--ack", "--receipts")
	_, err := io.WriteString(p.stdin, "one\n")
	require.NoError(t, err)
	p.prints("1\n")
	require.NoError(t, os.Rename(dir, dir+".away"))
	assert.Equal(t, "one\n", ok(t, "pull", "-c", p.endpoint(), "--ack", "--count", "1"))
	require.NoError(t, p.stdin.Close())
	r := p.wait()
	assert.Zero(t, r.code, r.stderr)
}

// TestPushSpoolOnASmallDisk: who has set no quota is told that one helps.
func TestPushSpoolOnASmallDisk(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, (&spoolFlags{}).advise(fmt.Errorf("send: %w", spool.ErrFull)), "a small --quota, such as 1MiB, has smaller segments")
	require.Equal(t, spool.ErrFull, (&spoolFlags{quota: 1 << 20}).advise(spool.ErrFull))
	require.Equal(t, spool.ErrKind, (&spoolFlags{}).advise(spool.ErrKind))
	require.Less(t, (&spoolFlags{quota: 1 << 20}).logOptions().SegmentSize, (&spoolFlags{quota: 1 << 30}).logOptions().SegmentSize)
}

// TestPushSpoolPlainPeer: a message for a peer that does not acknowledge is done with when it is written, and who asked for more is told.
func TestPushSpoolPlainPeer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "outbox")
	pull := start(t, "pull", "-b", anyPort, "--count", "2")
	r := meshmq(t, "push", "-c", pull.endpoint(), "--spool", dir, "--ack", "one", "two")
	assert.Zero(t, r.code, r.stderr)
	assert.Contains(t, r.stderr, "does not acknowledge")
	assert.Equal(t, "one\ntwo\n", pull.wait().stdout)
	assert.Contains(t, ok(t, "spool", "stats", dir), "pending 0\n")
}

// TestPushReceiptsAreMany: syncs are shared, so that receipts come at the speed of messages.
func TestPushReceiptsAreMany(t *testing.T) {
	t.Parallel()
	const n = 5000
	dir := filepath.Join(t.TempDir(), "outbox")
	pull := start(t, "pull", "-b", anyPort, "--ack", "--count", fmt.Sprint(n))
	r := meshmqWith(t, strings.Repeat("x\n", n), "push", "-c", pull.endpoint(), "--spool", dir, "--ack", "--receipts")
	require.Zero(t, r.code, r.stderr)
	receipts := lines(r.stdout)
	require.Len(t, receipts, n)
	assert.Equal(t, fmt.Sprint(n), receipts[n-1])
	assert.Equal(t, strings.Repeat("x\n", n), pull.wait().stdout)
}

// TestPushAck: without a spool, too, what one peer took and did not print goes to another.
func TestPushAck(t *testing.T) {
	t.Parallel()
	push := start(t, "push", "-b", anyPort, "--ack", "one", "two", "three")
	greedy := socket.NewPull(socket.WithAck(), socket.WithManualAck())
	require.NoError(t, greedy.Connect(push.endpoint()))
	for range 3 {
		_, err := greedy.Recv(t.Context())
		require.NoError(t, err)
	}
	require.NoError(t, greedy.Close())
	assert.Equal(t, "one\ntwo\nthree\n", ok(t, "pull", "-c", push.endpoint(), "--ack", "--count", "3"))
	r := push.wait()
	assert.Zero(t, r.code, r.stderr)

	r = meshmq(t, "push", "-c", nobody, "--ack", "--timeout", "200ms", "x")
	assert.Equal(t, 4, r.code, r.stderr)
}

// TestKilledPushAndPull: push and pull are killed in the middle and run again, with the lines that have no receipt: no line is lost.
func TestKilledPushAndPull(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	const n = 4000
	text := make([]string, n)
	for i := range text {
		text[i] = fmt.Sprintf("line %d\n", i+1)
	}
	dir := t.TempDir()
	ep := "ipc://" + filepath.Join(dir, "s")
	push := func() *program {
		return start(t, "push", "-c", ep, "--spool", filepath.Join(dir, "outbox"), "--ack", "--receipts")
	}
	pull := func() *program { return start(t, "pull", "-b", ep, "--ack", "--prefetch", "50") }

	pull1, push1 := pull(), push()
	go func() { _, _ = io.WriteString(push1.stdin, strings.Join(text, "")) }() // ends with push1
	pull1.prints("line 100\n")
	pull1.kill()
	push1.prints("\n1500\n")
	push1.kill()
	receipts := strings.Count(push1.stdout.String(), "\n")

	pull2, push2 := pull(), push()
	_, err := io.WriteString(push2.stdin, strings.Join(text[receipts:], ""))
	require.NoError(t, err)
	require.NoError(t, push2.stdin.Close())
	r := push2.wait()
	require.Zero(t, r.code, r.stderr)
	pull2.signal(os.Interrupt)
	printed := pull1.stdout.String() + "\n" + pull2.wait().stdout
	missing := map[string]bool{}
	for _, line := range text {
		missing[line] = true
	}
	for _, line := range strings.SplitAfter(printed, "\n") {
		delete(missing, line)
	}
	assert.Empty(t, missing)
}
