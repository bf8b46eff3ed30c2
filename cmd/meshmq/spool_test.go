package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

// fillSpool makes a spool with the messages "message 1" to "message N" and returns it open.
func fillSpool(t *testing.T, n int, o spool.Options) (dir string, l *spool.Log) {
	t.Helper()
	o.SegmentSize = 64 << 10
	dir = filepath.Join(t.TempDir(), "spool")
	l, err := spool.Open(dir, o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	for i := range n {
		_, err := l.Enqueue(t.Context(), fmt.Appendf(nil, "message %d", i+1))
		require.NoError(t, err)
	}
	require.NoError(t, l.Flush(t.Context()))
	return dir, l
}

// closedSpool is fillSpool for a queue that nobody uses: of n messages the first is acknowledged and the second has failed once.
func closedSpool(t *testing.T, n int) string {
	t.Helper()
	dir, l := fillSpool(t, n, spool.Options{})
	require.NoError(t, l.Queue().Ack(1, 1))
	_, err := l.Queue().Fail(2)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return dir
}

// buryAll gives up all messages of a spool for this reason.
func buryAll(t *testing.T, l *spool.Log, reason string) {
	t.Helper()
	dead, err := l.Dead()
	require.NoError(t, err)
	r := l.Queue().Reader()
	defer r.Close()
	for l.Queue().Pending() > 0 {
		rec, err := r.TryNext()
		require.NoError(t, err)
		require.NoError(t, dead.Bury(t.Context(), l.Queue(), rec, reason))
	}
}

func TestSpoolCat(t *testing.T) {
	t.Parallel()
	dir := closedSpool(t, 5)
	for _, tt := range []struct{ args, want string }{
		{"", "message 2|message 3|message 4|message 5|"},
		{"--all", "message 1|message 2|message 3|message 4|message 5|"},
		{"--count 2", "message 2|message 3|"},
		{"--from 4", "message 4|message 5|"},
		{"--from 3 --to 4", "message 3|message 4|"},
		{"--from beginning --to 1 --all", "message 1|"},
		{"--to 1", ""},
		{"--from end", ""},
		{"--from 6", ""},
		{"--from 1h --count 1", "message 2|"},
		{"--from 2001-02-03T04:05:06Z --count 1", "message 2|"},
		{"--from 2200-02-03T04:05:06Z", ""},
		{"--from 2999-02-03T04:05:06Z", ""},
		{"--from 0001-02-03T04:05:06Z --count 1", "message 2|"},
		{"--count 1 --hex", "6d6573736167652032|"},
		{"--count 2 --quoted", `"message 2"|"message 3"|`},
		{"--count 2 --raw", "message 2message 3"},
	} {
		out := ok(t, append([]string{"spool", "cat", dir}, strings.Fields(tt.args)...)...)
		assert.Equal(t, strings.ReplaceAll(tt.want, "|", "\n"), out, tt.args)
	}
	var m struct {
		Frames           []string
		Number, Attempts int
		Time             time.Time
	}
	require.NoError(t, json.Unmarshal([]byte(ok(t, "spool", "cat", "--json", "--count", "1", dir)), &m))
	assert.Equal(t, []string{"message 2"}, m.Frames)
	assert.Equal(t, [2]int{2, 1}, [2]int{m.Number, m.Attempts})
	assert.WithinDuration(t, time.Now(), m.Time, time.Minute)
}

// TestSpoolOfTopic: all that it keeps is printed, or what one consumer lacks.
func TestSpoolOfTopic(t *testing.T) {
	t.Parallel()
	dir, l := fillSpool(t, 3, spool.Options{Kind: spool.Topic})
	billing, err := l.Consumer("billing", spool.Beginning())
	require.NoError(t, err)
	require.NoError(t, billing.Ack(1, 2))
	require.NoError(t, l.Close())
	assert.Equal(t, "message 1\nmessage 2\nmessage 3\n", ok(t, "spool", "cat", dir))
	assert.Equal(t, "message 3\n", ok(t, "spool", "cat", dir, "--consumer", "billing"))
	r := meshmq(t, "spool", "cat", dir, "--consumer", "nobody")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "nobody")
	assert.Contains(t, lines(ok(t, "__complete", "spool", "cat", dir, "--consumer", "")), "billing")

	r = meshmq(t, "spool", "purge", dir)
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "3 messages that the topic keeps would be lost")
	r = meshmq(t, "spool", "purge", dir, "--consumer", "nobody", "--force")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "nobody")
	assert.Contains(t, ok(t, "spool", "ls", dir), "consumer\tbilling\t2\t1\t0\n")
	ok(t, "spool", "purge", dir, "--consumer", "billing", "--force")
	assert.Contains(t, ok(t, "spool", "ls", dir), "consumer\tbilling\t3\t0\t0\n")
}

// TestSpoolInUse: ls, stats, cat and dead look; the others name who has it.
func TestSpoolInUse(t *testing.T) {
	t.Parallel()
	dir, l := fillSpool(t, 3, spool.Options{})
	require.NoError(t, l.Queue().Ack(1, 1))
	require.NoError(t, l.Flush(t.Context()))
	assert.Regexp(t, `\Asegment\t0{19}1\.seg\t1-3\t65536\t\S+Z\nconsumer\t-\t1\t2\t0\n\z`, ok(t, "spool", "ls", dir))
	assert.Equal(t, "message 2\nmessage 3\n", ok(t, "spool", "cat", dir))
	assert.Empty(t, ok(t, "spool", "dead", dir))
	stats := ok(t, "spool", "stats", dir)
	assert.Regexp(t, fmt.Sprintf(`\Aid %s\nkind queue\nincarnation 1\nfirst 1\nnext 4\npending 2\noldest \S+Z\nbytes 65536\nsegments 1\nconsumers 1\ndead 0\naside 0\nholder process %d on .*\n\z`,
		l.ID(), os.Getpid()), stats)
	var figures struct {
		Pending, Holder int
		ID              string
	}
	require.NoError(t, json.Unmarshal([]byte(ok(t, "spool", "stats", "--json", dir)), &figures))
	assert.Equal(t, [2]int{2, os.Getpid()}, [2]int{figures.Pending, figures.Holder})
	assert.Equal(t, l.ID().String(), figures.ID)
	for _, verb := range []string{"verify", "repair", "replay", "purge"} {
		r := meshmq(t, "spool", verb, dir)
		assert.Equal(t, 1, r.code, verb)
		assert.Empty(t, r.stdout)
		assert.Len(t, lines(r.stderr), 1, r.stderr)
		assert.Regexp(t, fmt.Sprintf(`%s.* in use by process %d on \S+ since \S+: end it first`, regexp.QuoteMeta(dir), os.Getpid()), r.stderr)
	}
	_, err := l.Append(t.Context(), []byte("message 4"))
	require.NoError(t, err, "its owner has not noticed")
}

// TestSpoolErrors: one line that names the directory and says what to do.
func TestSpoolErrors(t *testing.T) {
	t.Parallel()
	overwrite := func(t *testing.T, dir string, change func(b []byte)) {
		name := filepath.Join(dir, "00000000000000000001.seg")
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		change(b)
		require.NoError(t, os.WriteFile(name, b, 0o600))
	}
	for _, tt := range []struct {
		name, says string
		code       int
		make       func(t *testing.T, dir string) string
		unix       bool
	}{
		{name: "missing", says: "name the one given to --spool", code: 1, make: func(_ *testing.T, dir string) string { return dir + "/../nowhere\n" }},
		{name: "a file", says: "not a directory", code: 1, make: func(_ *testing.T, dir string) string { return filepath.Join(dir, "LOCK") }},
		{name: "a link", says: "a link, which is not followed", code: 1, unix: true, make: func(t *testing.T, dir string) string {
			require.NoError(t, os.Symlink(dir, dir+"-link"))
			return dir + "-link"
		}},
		{name: "empty", says: "no spool is in this directory", code: 1, make: func(t *testing.T, _ string) string { return t.TempDir() }},
		{name: "of others", says: "it must belong to this user", code: 1, unix: true, make: func(t *testing.T, dir string) string {
			require.NoError(t, os.Chmod(dir, 0o777))
			return dir
		}},
		{name: "another version", says: "use the version of meshmq that wrote it", code: 1, make: func(t *testing.T, dir string) string {
			overwrite(t, dir, func(b []byte) { b[6], b[4096+6] = 9, 9 })
			return dir
		}},
		{name: "the dead folder", says: "name the spool they are in", code: 1, make: func(t *testing.T, dir string) string {
			l, err := spool.Open(dir, spool.Options{})
			require.NoError(t, err)
			buryAll(t, l, "no")
			require.NoError(t, l.Close())
			return filepath.Join(dir, "dead")
		}},
		{name: "a segment of another", says: "move it away", code: 1, make: func(t *testing.T, dir string) string {
			b, err := os.ReadFile(filepath.Join(closedSpool(t, 2), "00000000000000000001.seg"))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "00000000000000000002.seg"), b, 0o600))
			return dir
		}},
		{name: "a pipe for a segment", says: "not a plain file", code: 1, unix: true, make: func(t *testing.T, dir string) string {
			require.NoError(t, os.Symlink("/dev/zero", filepath.Join(dir, "00000000000000000002.seg")))
			return dir
		}},
		{name: "unreadable", says: "run meshmq spool verify, then repair", code: 6, make: func(t *testing.T, dir string) string {
			overwrite(t, dir, func(b []byte) { clear(b[:8192]) })
			return dir
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.unix && runtime.GOOS == "windows" {
				t.Skip("Windows has no such thing")
			}
			dir := tt.make(t, closedSpool(t, 2))
			for _, verb := range []string{"ls", "cat", "verify", "repair", "dead", "replay", "purge", "stats"} {
				if tt.name == "unreadable" && (verb == "verify" || verb == "repair") {
					continue
				}
				r := meshmq(t, "spool", verb, dir)
				assert.Equal(t, tt.code, r.code, verb)
				assert.Empty(t, r.stdout)
				assert.Len(t, lines(r.stderr), 1, r.stderr)
				assert.Contains(t, r.stderr, tt.says, verb)
				assert.True(t, strings.HasPrefix(r.stderr, "meshmq spool "+verb+": "), r.stderr)
				assert.NotContains(t, r.stderr, ": "+verb+": ")
			}
		})
	}
}

// TestSpoolOfMarks: a window may be looked at, verified and repaired, but it has no messages.
func TestSpoolOfMarks(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "window")
	w, err := spool.OpenWindow(dir, spool.WindowOptions{})
	require.NoError(t, err)
	require.NoError(t, w.Mark(t.Context(), spool.Mark{ID: "one"}))
	require.NoError(t, w.Close())
	for _, verb := range []string{"ls", "stats", "verify", "repair", "dead"} {
		ok(t, "spool", verb, dir)
	}
	for _, verb := range []string{"cat", "replay", "purge"} {
		r := meshmq(t, "spool", verb, dir)
		assert.Equal(t, 1, r.code, verb)
		assert.Empty(t, r.stdout)
		assert.Equal(t, []string{fmt.Sprintf("meshmq spool %s: spool %s is a window: it has no messages to deal with", verb, dir)}, lines(r.stderr))
	}
}

func TestSpoolVerifyAndRepair(t *testing.T) {
	t.Parallel()
	dir := closedSpool(t, 5)
	r := meshmq(t, "spool", "verify", dir)
	assert.Equal(t, result{0, "", "sound: 5 messages, 0 dead, in 1 segments\n"}, r)
	r = meshmq(t, "spool", "repair", dir)
	assert.Equal(t, result{0, "", "nothing was damaged\n"}, r)

	const name = "00000000000000000001.seg"
	b, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	b[bytes.Index(b, []byte("message 3"))] ^= 1
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	r = meshmq(t, "spool", "verify", dir)
	assert.Equal(t, 6, r.code)
	assert.Regexp(t, `\A`+regexp.QuoteMeta(name)+`: bytes \d+ to \d+: .*: messages 3 to 3 lost\n\z`, r.stdout)
	assert.Contains(t, r.stderr, "meshmq spool repair "+dir)
	r = meshmq(t, "spool", "verify", "--json", dir)
	assert.Equal(t, 6, r.code)
	assert.Regexp(t, `^{"segment":"`+regexp.QuoteMeta(name)+`","offset":\d+,"bytes":\d+,"from":3,"to":3,"what":".*"}\n$`, r.stdout)
	r = meshmq(t, "spool", "cat", dir)
	assert.Equal(t, 6, r.code)
	assert.Equal(t, "message 2\nmessage 4\nmessage 5\n", r.stdout)
	assert.Contains(t, r.stderr, "messages 3 to 3 were lost to damage")
	assert.Equal(t, "message 4\n", ok(t, "spool", "cat", dir, "--from", "4", "--to", "4"), "what is sound is")

	r = meshmq(t, "spool", "repair", dir)
	assert.Zero(t, r.code, r.stderr)
	assert.Equal(t, name+".bad\n", r.stdout)
	aside, err := os.ReadFile(filepath.Join(dir, name+".bad"))
	require.NoError(t, err)
	assert.Equal(t, b, aside)
	assert.Zero(t, meshmq(t, "spool", "verify", dir).code)
	assert.Contains(t, ok(t, "spool", "ls", dir), "aside\t"+name+".bad\n")
	assert.Contains(t, ok(t, "spool", "stats", dir), "aside 1\n")
}

// TestSpoolRepairOfNothingReadable puts everything aside.
func TestSpoolRepairOfNothingReadable(t *testing.T) {
	t.Parallel()
	dir := closedSpool(t, 2)
	const name = "00000000000000000001.seg"
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("x", 9999)), 0o600))
	r := meshmq(t, "spool", "verify", dir)
	assert.Equal(t, 6, r.code, r.stderr)
	assert.Contains(t, r.stdout, "no readable header")
	assert.Equal(t, name+".bad\n", ok(t, "spool", "repair", dir))
	r = meshmq(t, "spool", "verify", dir)
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "no spool is in this directory")
}

func TestSpoolCompletion(t *testing.T) {
	t.Parallel()
	out := ok(t, "__complete", "spool", "")
	for _, verb := range strings.Fields("ls cat verify repair dead replay purge stats") {
		assert.Contains(t, "\n"+out, "\n"+verb+"\t")
		help := ok(t, "help", "spool", verb)
		assert.Contains(t, help, "meshmq spool "+verb+" DIR")
		assert.Contains(t, help, "Examples:")
	}
}
