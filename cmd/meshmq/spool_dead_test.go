package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

// TestSpoolDeadLetters: listed, put back and purged by their numbers; a number that none has is an error, and keeps back none of the others.
func TestSpoolDeadLetters(t *testing.T) {
	t.Parallel()
	dir, l := fillSpool(t, 6, spool.Options{})
	buryAll(t, l, "not \x1b[31mred\nnor\tgood")
	require.NoError(t, l.Close())

	all := lines(ok(t, "spool", "dead", dir))
	require.Len(t, all, 6)
	assert.Regexp(t, `^2\t2\t0\t\S+Z\tnot .\[31mred.nor.good\tmessage 2$`, all[1])
	assert.NotContains(t, all[1], "\x1b")
	assert.Len(t, lines(ok(t, "spool", "dead", dir, "2-", "--count", "3")), 3)
	var letter struct {
		Frames                   []string
		Number, Origin, Attempts int
		Reason                   string
		Time, Dead               time.Time
	}
	require.NoError(t, json.Unmarshal([]byte(ok(t, "spool", "dead", "--json", dir, "5")), &letter))
	assert.Equal(t, []string{"message 5"}, letter.Frames)
	assert.Equal(t, "not \x1b[31mred\nnor\tgood", letter.Reason)
	assert.Equal(t, [2]int{5, 5}, [2]int{letter.Number, letter.Origin})
	assert.False(t, letter.Dead.Before(letter.Time))
	assert.Contains(t, ok(t, "spool", "ls", dir), "dead\t6\t")

	r := meshmq(t, "spool", "replay", dir, "9")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "no dead letter has number 9:")
	r = meshmq(t, "spool", "dead", dir, "7-8")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "no dead letter has number 7-8:")
	assert.Len(t, lines(ok(t, "spool", "dead", dir, "3-99")), 4, "those of a range that are there")
	r = meshmq(t, "spool", "replay", dir, "1", "3-4", "9", "11-")
	assert.Equal(t, 1, r.code)
	assert.Equal(t, "1\t7\n3\t8\n4\t9\n", r.stdout, "put back all the same")
	assert.Contains(t, r.stderr, "no dead letter has number 9, 11-:")
	assert.Equal(t, "message 1\nmessage 3\nmessage 4\n", ok(t, "spool", "cat", dir))
	r = meshmq(t, "spool", "purge", dir, "--dead", "5")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, ": 1 dead letter would be lost")
	ok(t, "spool", "purge", dir, "--dead", "--force", "5")
	assert.Len(t, lines(ok(t, "spool", "dead", dir)), 2)
	assert.Equal(t, "2\t10\n6\t11\n", ok(t, "spool", "replay", dir, "--rate", "100"))
	assert.Empty(t, ok(t, "spool", "dead", dir))
	assert.Empty(t, ok(t, "spool", "replay", dir))
	assert.Zero(t, meshmq(t, "spool", "verify", dir).code)
}

// TestSpoolReplayInterrupted: what was not put back is still dead.
func TestSpoolReplayInterrupted(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	dir, l := fillSpool(t, 3, spool.Options{})
	buryAll(t, l, "no")
	require.NoError(t, l.Close())
	replay := start(t, "spool", "replay", dir, "--rate", "1")
	replay.prints("1\t4\n")
	replay.signal(os.Interrupt)
	r := replay.wait()
	assert.Equal(t, 130, r.code, r.stderr)
	back, dead := len(lines(ok(t, "spool", "cat", dir))), len(lines(ok(t, "spool", "dead", dir)))
	assert.Equal(t, len(lines(r.stdout)), back)
	assert.Equal(t, 3, back+dead)
}

// TestSpoolDeadIsNoFolder: a file or a link where the dead letters should be is damage like any other, which repair puts aside.
func TestSpoolDeadIsNoFolder(t *testing.T) {
	t.Parallel()
	elsewhere := t.TempDir()
	for name, lay := range map[string]func(at string) error{
		"file": func(at string) error { return os.WriteFile(at, []byte("kept"), 0o600) },
		"link": func(at string) error { return os.Symlink(elsewhere, at) },
	} {
		dir, l := fillSpool(t, 2, spool.Options{})
		require.NoError(t, l.Close())
		if err := lay(filepath.Join(dir, "dead")); err != nil {
			t.Skip(err) // a system without links
		}
		for _, verb := range []string{"ls", "stats", "dead"} {
			r := meshmq(t, "spool", verb, dir)
			assert.Equal(t, 6, r.code, name)
			assert.Contains(t, r.stderr, "not a folder: the spool is damaged: run meshmq spool verify, then repair")
		}
		r := meshmq(t, "spool", "verify", dir)
		assert.Equal(t, 6, r.code, r.stderr)
		assert.Equal(t, "dead: bytes 0 to 0: not a folder: no message lost\n", r.stdout)
		assert.Equal(t, "dead.bad\n", ok(t, "spool", "repair", dir))
		if name == "file" {
			b, err := os.ReadFile(filepath.Join(dir, "dead.bad"))
			require.NoError(t, err)
			assert.Equal(t, "kept", string(b))
		} else {
			to, err := os.Readlink(filepath.Join(dir, "dead.bad"))
			require.NoError(t, err)
			assert.Equal(t, elsewhere, to)
		}
		assert.Zero(t, meshmq(t, "spool", "verify", dir).code)
		assert.Contains(t, ok(t, "spool", "ls", dir), "aside\tdead.bad\n")
		assert.Equal(t, "message 1\nmessage 2\n", ok(t, "spool", "cat", dir))
		l, err := spool.Open(dir, spool.Options{})
		require.NoError(t, err)
		buryAll(t, l, "no")
		require.NoError(t, l.Close())
		assert.Len(t, lines(ok(t, "spool", "dead", dir)), 2)
	}
}

// TestSpoolOnAReadOnlyDisk: a snapshot is verified where it lies.
func TestSpoolOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	dir, l := fillSpool(t, 3, spool.Options{})
	mounted := func(args ...string) ([]byte, error) {
		const mount = `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"`
		return exec.Command("unshare", append([]string{"--mount", "sh", "-c", mount, dir}, args...)...).CombinedOutput()
	}
	if out, err := mounted("true"); err != nil {
		t.Skipf("nothing can be mounted here: %v %s", err, out)
	}
	program, err := os.Executable()
	require.NoError(t, err)
	verify := func() (string, error) {
		out, err := mounted(program, "spool", "verify", dir)
		return string(out), err
	}
	out, err := verify()
	require.Error(t, err)
	assert.Contains(t, out, "in use")
	require.NoError(t, l.Close())
	out, err = verify()
	require.NoError(t, err, out)
	assert.Equal(t, "sound: 3 messages, 0 dead, in 1 segments\n", out)
}

// TestSpoolOfReadOnlyFiles: whose spool it is already is told of the modes.
func TestSpoolOfReadOnlyFiles(t *testing.T) {
	t.Parallel()
	if os.Getuid() <= 0 {
		t.Skip("modes keep nothing from this user")
	}
	dir := closedSpool(t, 2)
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	for _, name := range names {
		require.NoError(t, os.Chmod(name, 0o400))
	}
	r := meshmq(t, "spool", "verify", dir)
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "its files 0600")
}

// TestSpoolOutputThatIsFull: that nothing more can be printed is said once.
func TestSpoolOutputThatIsFull(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	dir, l := fillSpool(t, 800, spool.Options{})
	buryAll(t, l, strings.Repeat("no", 50))
	_, err = l.Append(t.Context(), make([]byte, 100<<10))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	for _, verb := range []string{"cat", "dead"} {
		r := startInto(t, full, "spool", verb, dir).wait()
		assert.Equal(t, 1, r.code)
		assert.Equal(t, 1, strings.Count(r.stderr, "standard output: "), r.stderr)
	}
}
