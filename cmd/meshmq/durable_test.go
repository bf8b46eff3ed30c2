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

	"github.com/meshmq/meshmq/transport/zmtp"
)

// TestPubSpool: what is published is on disk, with nobody there; a named subscriber gets it later, from where it says, and what comes while it is away.
func TestPubSpool(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	ep := "ipc://" + filepath.Join(t.TempDir(), "s")
	publish := func(more ...string) *program {
		return start(t, append([]string{"pub", "-b", ep, "--topic", "t", "--spool", dir}, more...)...)
	}
	r := publish("--receipts", "--sync", "os", "one", "two").wait()
	assert.Equal(t, result{0, "1\n2\n", r.stderr}, r)

	pub := publish("--receipts")
	assert.Equal(t, "t\tone\nt\ttwo\n", ok(t, "sub", "-c", ep, "--durable", "all", "--count", "2"))
	assert.Equal(t, "t\ttwo\n", ok(t, "sub", "-c", ep, "--durable", "some", "--from", "2", "--count", "1", "--topic", "t", "--topic", "u"))
	_, err := fmt.Fprintln(pub.stdin, "three")
	require.NoError(t, err)
	pub.prints("3\n")
	assert.Equal(t, "t\tthree\n", ok(t, "sub", "-c", ep, "--durable", "all", "--from", "beginning", "--count", "1"), "it is known")
	require.NoError(t, pub.stdin.Close())
	r = pub.wait()
	assert.Equal(t, result{0, "3\n", r.stderr}, r, "it waits for nobody who is away")
	assert.Contains(t, ok(t, "spool", "ls", dir), "consumer\tsome\t2\t1\t0\n")

	sub := start(t, "sub", "-b", ep, "--durable", "some", "--prefetch", "1")
	r = meshmq(t, "pub", "-c", ep, "--topic", "t", "--spool", dir, "--wait-subscribers", "1", "four", "five")
	assert.Zero(t, r.code, r.stderr)
	sub.prints("t\tthree\nt\tfour\nt\tfive\n") // it waits for who is there

	r = meshmq(t, "spool", "purge", dir, "--consumer", "all", "--remove")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "2 messages that are not acknowledged would be lost")
	ok(t, "spool", "purge", dir, "--consumer", "all", "--remove", "--force")
	assert.NotContains(t, ok(t, "spool", "ls", dir), "consumer\tall")
	assert.Contains(t, ok(t, "spool", "ls", dir), "consumer\tsome\t5\t0\t0\n")
}

// TestPubSpoolTimeout: it is published whether anybody is there or not.
func TestPubSpoolTimeout(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	pub := start(t, "pub", "-b", anyPort, "--topic", "t", "--spool", dir, "--receipts", "--timeout", "1s")
	_, err := fmt.Fprintln(pub.stdin, "one")
	require.NoError(t, err)
	r := pub.wait()
	assert.Equal(t, result{3, "1\n", r.stderr}, r)
	assert.Equal(t, "t\tone\n", ok(t, "spool", "cat", dir))
}

// TestKilledSub: a named subscriber is killed in the middle and run again: no line is missing, and none comes more than once more.
func TestKilledSub(t *testing.T) {
	t.Parallel()
	const n = 3000
	dir := t.TempDir()
	ep := "ipc://" + filepath.Join(dir, "s")
	pub := start(t, "pub", "-b", ep, "--topic", "t", "--spool", filepath.Join(dir, "log"))
	feed := func(from, until int) {
		for i := from; i < until; i++ {
			_, _ = fmt.Fprintln(pub.stdin, "line", i) // it may have ended, which shows below
		}
	}
	printed, err := os.Create(filepath.Join(dir, "printed"))
	require.NoError(t, err)
	defer printed.Close()
	first := startInto(t, printed, "sub", "-c", ep, "--durable", "archive", "--prefetch", "50", "-v")
	feed(0, n/2)
	first.says("resumed")
	feed(n/2, n)
	first.kill()
	second := start(t, "sub", "-c", ep, "--durable", "archive", "--prefetch", "50")
	second.prints("\n")
	require.NoError(t, pub.stdin.Close())
	r := pub.wait() // when second has acknowledged all
	require.Zero(t, r.code, r.stderr)
	before, err := os.ReadFile(printed.Name())
	require.NoError(t, err)
	times := map[string]int{}
	for _, line := range lines(string(before) + second.stdout.String()) {
		times[line]++
	}
	for i := range n {
		times := times[fmt.Sprintf("t\tline %d", i)]
		require.True(t, times == 1 || times == 2, "line %d: %d times", i, times)
	}
}

// TestKilledPub: a publisher is killed in the middle and run again with the lines that have no receipt: the named subscriber, which is there all the time, gets every line.
func TestKilledPub(t *testing.T) {
	t.Parallel()
	const n = 2000
	text := make([]string, n)
	for i := range text {
		text[i] = fmt.Sprintf("line %d\n", i)
	}
	dir := t.TempDir()
	ep := "ipc://" + filepath.Join(dir, "s")
	publish := func() *program {
		return start(t, "pub", "-c", ep, "--topic", "t", "--wait-subscribers", "1", "--spool", filepath.Join(dir, "log"), "--receipts")
	}
	sub := start(t, "sub", "-b", ep, "--durable", "archive")
	pub := publish()
	go func() { _, _ = io.WriteString(pub.stdin, strings.Join(text, "")) }() // ends with pub
	pub.prints("\n700\n")
	pub.kill()
	receipts := strings.Count(pub.stdout.String(), "\n")
	pub = publish()
	_, err := io.WriteString(pub.stdin, strings.Join(text[receipts:], ""))
	require.NoError(t, err)
	require.NoError(t, pub.stdin.Close())
	r := pub.wait()
	require.Zero(t, r.code, r.stderr)
	sub.prints(fmt.Sprintf("\tline %d\n", n-1)) // what it has printed comes through a pipe
	missing := map[string]bool{}
	for _, line := range text {
		missing["t\t"+line] = true
	}
	for _, line := range strings.SplitAfter(sub.stdout.String(), "\n") {
		delete(missing, line)
	}
	assert.Empty(t, missing)
}

// TestSubMissed: what a quota took from a name that was away is reported with its numbers, the rest is printed, and the exit code says it.
func TestSubMissed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ep := "ipc://" + filepath.Join(dir, "s")
	flags := []string{"pub", "-b", ep, "--topic", "t", "--spool", filepath.Join(dir, "log"), "--quota", "256KiB", "--sync", "os"}
	pub := start(t, flags...)
	_, err := fmt.Fprint(pub.stdin, "one\ntwo\n")
	require.NoError(t, err)
	ok(t, "sub", "-c", ep, "--durable", "late", "--count", "1")
	require.NoError(t, pub.stdin.Close())
	require.Zero(t, pub.wait().code)
	ok(t, append(flags, "--count", "1000", strings.Repeat("x", 1000))...)
	start(t, flags...)
	r := meshmq(t, "sub", "-c", ep, "--durable", "late", "--count", "1")
	assert.Equal(t, 1, r.code)
	assert.Equal(t, "t\t"+strings.Repeat("x", 1000)+"\n", r.stdout)
	assert.Regexp(t, `(?m)^missed .* late 2 to \d+: `, r.stderr)
	assert.Regexp(t, `(?m)^meshmq sub: \d+ messages gone from the publisher's log`, r.stderr)
}

// TestPubKeepsWhatItSays: what a quota took with nobody there is not called kept, neither by pub nor by those that look into its spool.
func TestPubKeepsWhatItSays(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	dir := filepath.Join(t.TempDir(), "log")
	pub := start(t, "pub", "-b", anyPort, "--topic", "t", "--spool", dir, "--quota", "256KiB", "--sync", "os")
	ep := pub.endpoint()
	_, err := fmt.Fprint(pub.stdin, "one\ntwo\n")
	require.NoError(t, err)
	ok(t, "sub", "-c", ep, "--durable", "late", "--count", "1")
	_, err = fmt.Fprint(pub.stdin, strings.Repeat(strings.Repeat("x", 1000)+"\n", 1000))
	require.NoError(t, err)
	for !strings.Contains(ok(t, "spool", "stats", dir), "\nnext 1003\n") {
		require.NoError(t, t.Context().Err())
	}
	pub.signal(os.Interrupt)
	r := pub.wait()
	kept := len(lines(ok(t, "spool", "cat", dir)))
	assert.Contains(t, r.stderr, fmt.Sprintf("; %d messages not acknowledged and kept in %s; %d messages gone from %[2]s before", kept, dir, 1001-kept))
	assert.Contains(t, ok(t, "spool", "ls", dir), fmt.Sprintf("consumer\tlate\t1\t%d\t0\n", kept))
	assert.Contains(t, ok(t, "spool", "stats", dir), fmt.Sprintf("\npending %d\n", kept))
}

// TestPullWindow: what was printed is acknowledged and not printed again when it comes again, by another process either.
func TestPullWindow(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "window")
	var out string
	for range 2 {
		pull := start(t, "pull", "-b", anyPort, "--ack", "--window", dir)
		raw, _ := keeping(t, pull)
		raw.Write(zmtp.AppendStream(nil, &zmtp.Stream{Named: true, ID: [16]byte{1}, Incarnation: 1, Number: 1, Attempt: 1}))
		raw.SendMessage("one")
		raw.SendMessage("two")
		awaitAck(t, raw, 2)
		if out == "" {
			pull.prints("one\ntwo\n")
		}
		raw.Close()
		pull.kill()
		out += pull.stdout.String()
	}
	assert.Equal(t, "one\ntwo\n", out)

	r := meshmq(t, "pull", "-b", anyPort, "--ack", "--window", filepath.Join(dir, "no", "such"))
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "make it")
}
