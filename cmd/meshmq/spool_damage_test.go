package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

// inProcess runs the program without a process of its own.
func inProcess(args ...string) result {
	var stdout, stderr bytes.Buffer
	code := run(args, strings.NewReader(""), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// spoolFiles returns the contents of all files of a spool.
func spoolFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		files[name] = string(b)
		return err
	}))
	return files
}

// hurt does something to one file of a spool: flips a bit, clears or overwrites bytes, cuts it short, appends to it, or removes it.
func hurt(t *testing.T, rng *rand.Rand, dir string) (how string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	dead, err := filepath.Glob(filepath.Join(dir, "dead", "*.seg"))
	require.NoError(t, err)
	names = append(names, dead...)
	name := names[rng.IntN(len(names))]
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	at := rng.IntN(len(b))
	end := min(at+1+rng.IntN(2000), len(b))
	what := rng.IntN(6)
	switch what {
	case 0:
		b[at] ^= 1 << rng.IntN(8)
	case 1:
		clear(b[at:end])
	case 2:
		for i := range b[at:end] {
			b[at+i] = byte(rng.Int())
		}
	case 3:
		b = b[:at]
	case 4:
		b = append(b, b[at:end]...)
	case 5:
		require.NoError(t, os.Remove(name))
		return "remove " + name
	}
	require.NoError(t, os.WriteFile(name, b, 0o600))
	return fmt.Sprint("way ", what, " at ", at, " to ", end, " of ", name)
}

// TestSpoolVerbsSurviveDamage: whatever happened to the files, each verb ends in order; those that look change nothing; and what repair
// says it has repaired is sound to verify but for files that are gone, and its bytes are still there.
func TestSpoolVerbsSurviveDamage(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			dir, l := fillSpool(t, 50, spool.Options{})
			buryAll(t, l, "no")
			for i := range 3000 {
				_, err := l.Enqueue(t.Context(), fmt.Appendf(nil, "message %d", i))
				require.NoError(t, err)
			}
			require.NoError(t, l.Flush(t.Context()))
			require.NoError(t, l.Queue().Ack(2000, 2100))
			require.NoError(t, l.Close())
			rng := rand.New(rand.NewPCG(seed, 6))
			for range 3 {
				survive(t, dir, hurt(t, rng, dir))
			}
		})
	}
}

func survive(t *testing.T, dir, how string) {
	t.Helper()
	before := spoolFiles(t, dir)
	for _, verb := range []string{"ls", "stats", "cat", "dead", "verify"} {
		r := inProcess("spool", verb, dir)
		require.Contains(t, []int{0, 1, 6}, r.code, "%s %s", verb, how)
		require.Equal(t, r.code == 0, !strings.Contains(r.stderr, "meshmq spool "), "%s %s: %s", verb, how, r.stderr)
		require.True(t, maps.Equal(before, spoolFiles(t, dir)), "%s changed something after %s", verb, how)
	}
	r := inProcess("spool", "repair", dir)
	require.Contains(t, []int{0, 1, 6}, r.code, how)
	if r.code == 0 {
		r := inProcess("spool", "verify", dir)
		for _, line := range lines(r.stdout) {
			require.Contains(t, line, "the file is missing", how)
		}
		require.Contains(t, []int{0, 6}, r.code, how)
	}
	after := spoolFiles(t, dir)
	for name, content := range before {
		kept := after[name] == content || slices.Contains([]string{"next", "newest", "lost", "compact.tmp"}, filepath.Base(name)) // which hold no messages
		for aside, copied := range after {
			kept = kept || strings.HasPrefix(aside, name) && copied == content
		}
		require.True(t, kept, "%s after %s: repair has lost what it was", name, how)
	}
	if r.code == 0 && inProcess("spool", "ls", dir).code == 0 {
		r := inProcess("spool", "replay", dir, "--count", "2")
		require.Zero(t, r.code, "%s: %s", how, r.stderr)
	}
}

// TestSpoolHostileNames: what lies in a spool is neither followed nor printed as it is.
func TestSpoolHostileNames(t *testing.T) { // not parallel: it changes the directory
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such names")
	}
	dir := filepath.Join(filepath.Dir(closedSpool(t, 2)), "-rf --")
	require.NoError(t, os.Rename(filepath.Join(filepath.Dir(dir), "spool"), dir))
	evil := "\x1b[2J\nsegment\tx.bad"
	require.NoError(t, os.WriteFile(filepath.Join(dir, evil), nil, 0o600))
	require.NoError(t, os.Symlink("/etc", filepath.Join(dir, "99999999999999999999.seg.bad")))
	t.Chdir(filepath.Dir(dir))
	for _, verb := range []string{"ls", "cat", "verify", "repair", "dead", "replay", "stats"} {
		r := inProcess("spool", verb, "--", "-rf --")
		assert.Zero(t, r.code, "%s: %s", verb, r.stderr)
		assert.NotContains(t, r.stdout+r.stderr, "\x1b")
	}
}

// TestDamageIsTold: who sends from a spool, or receives with a window, that is damaged is told so in a line.
func TestDamageIsTold(t *testing.T) {
	t.Parallel()
	flip := func(dir string, text string) {
		name := filepath.Join(dir, "00000000000000000001.seg")
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		b[bytes.Index(b, []byte(text))] ^= 1
		require.NoError(t, os.WriteFile(name, b, 0o600))
	}
	outbox := closedSpool(t, 3)
	flip(outbox, "message 3")
	r := meshmq(t, "push", "-c", nobody, "--spool", outbox, "--linger", "1ms", "--timeout", "1ms")
	assert.Equal(t, 1, strings.Count(r.stderr, "payload differs from its sum: messages 3 to 3 lost"), r.stderr)
	verified := meshmq(t, "spool", "verify", outbox, "--json")
	assert.Contains(t, ok(t, "spool", "stats", outbox, "--json"), `"damage":[`+strings.TrimSpace(verified.stdout)+`]}`)

	window := filepath.Join(t.TempDir(), "window")
	w, err := spool.OpenWindow(window, spool.WindowOptions{})
	require.NoError(t, err)
	require.NoError(t, w.Mark(t.Context(), spool.Mark{ID: "one"}, spool.Mark{ID: "two"}))
	require.NoError(t, w.Close())
	flip(window, "two")
	r = meshmq(t, "pull", "-c", nobody, "--ack", "--window", window, "--timeout", "1ms")
	assert.Equal(t, 1, strings.Count(r.stderr, "trouble with the window: the spool is damaged: run meshmq spool verify, then repair: marks missing: 1; "), r.stderr)
	report := meshmq(t, "spool", "verify", window)
	assert.Equal(t, 6, report.code, "which it is told to run")
}

// TestTornEndIsNoTrouble: stats says what a crash left of a write that was not finished, and so does who opens the spool first, if asked to say much.
func TestTornEndIsNoTrouble(t *testing.T) {
	t.Parallel()
	dir, l := fillSpool(t, 3, spool.Options{})
	require.NoError(t, l.Flush(t.Context()))
	for _, verbose := range []string{"--linger=1ms", "--verbose"} {
		left := filepath.Join(t.TempDir(), "left") // as by SIGKILL
		require.NoError(t, os.CopyFS(left, os.DirFS(dir)))
		name := filepath.Join(left, "00000000000000000001.seg")
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		b[bytes.Index(b, []byte("message 3"))] ^= 1
		require.NoError(t, os.WriteFile(name, b, 0o600))
		assert.Contains(t, ok(t, "spool", "stats", left, "--json"), `,"torn":48}`)
		r := meshmq(t, "push", "-c", nobody, "--spool", left, "--linger", "1ms", "--timeout", "1ms", verbose)
		assert.Equal(t, verbose == "--verbose", strings.Contains(r.stderr, "torn end of the spool: 48 bytes cut off"), r.stderr)
		assert.NotContains(t, r.stderr, "trouble")
		assert.NotContains(t, ok(t, "spool", "stats", left, "--json"), `"torn"`)
	}
}

// TestTornEndOfDeadLetters is told likewise, as that.
func TestTornEndOfDeadLetters(t *testing.T) {
	t.Parallel()
	dir, l := fillSpool(t, 1, spool.Options{})
	buryAll(t, l, "no good")
	require.NoError(t, l.Flush(t.Context()))
	left := filepath.Join(t.TempDir(), "left") // as by SIGKILL
	require.NoError(t, os.CopyFS(left, os.DirFS(dir)))
	name := filepath.Join(left, "dead", "00000000000000000001.seg")
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	b[bytes.Index(b, []byte("message 1"))] ^= 1
	require.NoError(t, os.WriteFile(name, b, 0o600))
	assert.Contains(t, ok(t, "spool", "stats", left, "--json"), `,"torn_dead":64}`)
	r := meshmq(t, "push", "-c", nobody, "--spool", left, "--linger", "1ms", "--timeout", "1ms", "--verbose")
	assert.Contains(t, r.stderr, "torn end of the spool: 64 bytes cut off (dead)")
	assert.NotContains(t, r.stderr, "trouble")
	assert.NotContains(t, ok(t, "spool", "stats", left, "--json"), `"torn`)
}

// TestDamageIsNotPending: what damage took is not counted as there, before and after repair.
func TestDamageIsNotPending(t *testing.T) {
	t.Parallel()
	dir := closedSpool(t, 500)
	require.NoError(t, os.Truncate(filepath.Join(dir, "00000000000000000001.seg"), 20000))
	for _, code := range []int{6, 0} {
		assert.Equal(t, code, meshmq(t, "spool", "verify", dir).code)
		there := strings.Count(meshmq(t, "spool", "cat", dir).stdout, "\n")
		require.NotZero(t, there)
		assert.Contains(t, ok(t, "spool", "ls", dir), fmt.Sprintf("consumer\t-\t0\t%d\t0\n", there))
		assert.Contains(t, ok(t, "spool", "stats", dir), fmt.Sprintf("\npending %d\n", there))
		if code != 0 {
			ok(t, "spool", "repair", dir)
			continue
		}
		r := meshmq(t, "spool", "purge", dir)
		assert.Contains(t, r.stderr, fmt.Sprintf("%d messages that are not acknowledged would be lost", there))
	}
}

// TestSpoolReadingInterrupted: verify and repair read on only until they are interrupted.
func TestSpoolReadingInterrupted(t *testing.T) {
	t.Parallel()
	dir := closedSpool(t, 3)
	before := spoolFiles(t, dir)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&interrupted{os.Interrupt})
	for _, verb := range []string{"verify", "repair"} {
		cmd := newSpool()
		cmd.SetArgs([]string{verb, dir})
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		err := cmd.ExecuteContext(ctx)
		f, ok := errors.AsType[*failure](err)
		require.True(t, ok, "%s: %v", verb, err)
		assert.Equal(t, 130, f.code, verb)
	}
	assert.Equal(t, before, spoolFiles(t, dir))
}
