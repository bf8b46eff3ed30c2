//go:build linux || darwin

package spool_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// lay makes a directory with these files; a name that ends with a slash is a folder.
func lay(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "spool")
	require.NoError(t, os.Mkdir(dir, 0o700))
	for name, text := range files {
		at := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o700))
		if strings.HasSuffix(name, "/") {
			require.NoError(t, os.MkdirAll(at, 0o700))
			continue
		}
		require.NoError(t, os.WriteFile(at, []byte(text), 0o600))
	}
	return dir
}

// What lock files say.
const (
	ownLock    = `{"pid":1234,"host":"here","since":"2026-01-31T15:04:05Z"}` + "\n"
	longerLock = ownLock + `5Z"}` + "\n" // it said more before
)

// TestOtherPeoplesFiles: a directory that is no spool, and holds something with a name that a spool needs, is refused, and left as it is.
func TestOtherPeoplesFiles(t *testing.T) {
	t.Parallel()
	image := strings.Repeat("\x00", 32<<10) + "CD001"
	for name, c := range map[string]struct {
		files map[string]string
		err   error
		says  string
	}{
		"next":              {map[string]string{"next": "steps"}, spool.ErrForeign, "next: "},
		"next, long":        {map[string]string{"next": strings.Repeat("steps\n", 100_000)}, spool.ErrForeign, "next: "},
		"next, an image":    {map[string]string{"next": image}, spool.ErrForeign, "next: "},
		"newest":            {map[string]string{"newest": "today"}, spool.ErrForeign, "newest: "},
		"newest, its size":  {map[string]string{"newest": strings.Repeat("x", 32)}, spool.ErrForeign, "newest: "},
		"lost":              {map[string]string{"lost": "found"}, spool.ErrForeign, "lost: "},
		"compact.tmp":       {map[string]string{"compact.tmp": "x"}, spool.ErrForeign, "compact.tmp: "},
		"a lock":            {map[string]string{"LOCK": "4711\n"}, spool.ErrForeign, "LOCK: "},
		"a lock, JSON":      {map[string]string{"LOCK": `{"pid":0}`}, spool.ErrForeign, "LOCK: "},
		"a lock, long":      {map[string]string{"LOCK": ownLock + strings.Repeat(" ", 2000)}, spool.ErrForeign, "LOCK: "},
		"dead":              {map[string]string{"dead": "letters"}, spool.ErrForeign, "dead: "},
		"next letters":      {map[string]string{"dead/next": "my letters"}, spool.ErrForeign, "dead/next: "},
		"newest letters":    {map[string]string{"dead/newest": "my letters"}, spool.ErrForeign, "dead/newest: "},
		"lost letters":      {map[string]string{"dead/lost": "my letters"}, spool.ErrForeign, "dead/lost: "},
		"compact letters":   {map[string]string{"dead/compact.tmp": "my letters", "dead/next": ""}, spool.ErrForeign, "dead/compact.tmp: "},
		"next, a folder":    {map[string]string{"next/f": "mine"}, spool.ErrNotRegular, "next: "},
		"newest, a folder":  {map[string]string{"newest/": ""}, spool.ErrNotRegular, "newest: "},
		"compact, a folder": {map[string]string{"compact.tmp/f": "mine"}, spool.ErrNotRegular, "compact.tmp: "},
		"lost, a folder":    {map[string]string{"lost/f": "mine"}, spool.ErrNotRegular, "lost: "},
		"a lock, a folder":  {map[string]string{"LOCK/": ""}, spool.ErrNotRegular, "LOCK: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := lay(t, c.files)
			refused(t, dir, dir, spool.Options{}, c.err)
			_, err := spool.Open(dir, small)
			require.ErrorContains(t, err, "open spool "+dir+": "+c.says)
			_, err = spool.OpenWindow(dir, spool.WindowOptions{})
			require.ErrorIs(t, err, c.err)
		})
	}
}

// TestFoldersInASpool: what is in the place of a file that a spool removes is refused when there are segments, too.
func TestFoldersInASpool(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"next", "compact.tmp", "newest"} {
		for _, lay := range []func(at string) error{
			func(at string) error { return os.Mkdir(at, 0o700) },
			func(at string) error { return os.Symlink("dead", at) },
		} {
			dir := onDisk(t, threeSegments(t))
			at := filepath.Join(dir, name)
			require.NoError(t, errors.Join(os.Remove(at), lay(at)))
			before := tree(t, at)
			_, err := spool.Open(dir, small)
			require.ErrorIs(t, err, spool.ErrNotRegular, name)
			require.ErrorContains(t, err, name+": ")
			require.Equal(t, before, tree(t, at))
			require.NoError(t, os.Remove(at))
			l, err := spool.Open(dir, small)
			require.NoError(t, err)
			require.NoError(t, l.Close())
		}
	}
}

// TestWhatIsNoSpoolYet: files of other names are nobody's business, and what an end of the process or of the power leaves of a spool is one's.
func TestWhatIsNoSpoolYet(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("\x00", 64<<10)
	for name, files := range map[string]map[string]string{
		"nothing":               {},
		"other files":           {"README": "mine", "src/main.c": "mine", "00000000000000000001.bad": "mine"},
		"a lock":                {"LOCK": ""},
		"a lock, zeros":         {"LOCK": "\x00\x00\x00"},
		"a lock, not named yet": {"LOCK": "", "README": "mine"},
		"half of newest":        {"LOCK": ownLock, "next": "x", "README": "mine"},
		"a lock, named":         {"LOCK": ownLock, "README": "mine"},
		"a lock, named anew":    {"LOCK": longerLock, "next": zeros, "README": "mine"},
		"a disk":                {"LOCK": "", "lost+found/": ""},
		"a segment to come":     {"LOCK": ownLock, "next": zeros},
		"one that was begun":    {"LOCK": ownLock, "next": "MQSPOL" + zeros[:8186]},
		"the half of that":      {"LOCK": ownLock, "next": zeros[:4096] + "MQSPOL" + zeros},
		"none allocated":        {"next": ""},
		"newest":                {"LOCK": ownLock, "newest": "", "next": ""},
		"letters":               {"LOCK": "", "dead/next": "", "dead/README": "mine"},
		"half a letter's":       {"LOCK": ownLock, "dead/next": "x", "dead/newest": "x"},
		"all was put aside":     {"00000000000000000001.seg.bad": "x", "00000000000000000002.seg.2.bad": "x", "newest": "bad", "compact.tmp": "x", "next": "x", "LOCK": "", "README": "mine"},
		"all letters, as above": {"dead/00000000000000000001.seg.bad": "x", "dead/newest": "bad", "dead/compact.tmp": "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := lay(t, files)
			for range 2 {
				l, err := spool.Open(dir, small)
				require.NoError(t, err)
				fill(t, l, 1, damageBody)
				dead, err := l.Dead()
				require.NoError(t, err)
				require.NotNil(t, dead)
				require.NoError(t, l.Close())
			}
			for name, text := range files {
				if kind := filepath.Base(name); kind == "README" || kind == "main.c" || strings.HasSuffix(name, ".bad") {
					b, err := os.ReadFile(filepath.Join(dir, name))
					require.NoError(t, err)
					require.Equal(t, text, string(b), name)
				}
			}
		})
	}
}

// TestLettersAreOfASpool: where dead letters are, a spool was, whatever became of it.
func TestLettersAreOfASpool(t *testing.T) {
	t.Parallel()
	dir := onDisk(t, threeSegments(t))
	for name := range tree(t, dir) {
		if !strings.HasPrefix(name, "dead") && name != "." {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
		}
	}
	l, err := spool.Open(dir, small)
	require.NoError(t, err)
	dead, err := l.Dead()
	require.NoError(t, err)
	require.Equal(t, uint64(1), dead.Len())
	require.NoError(t, l.Close())
}

// TestEndsOfTheFirstOpening: wherever the first opening of a spool, or one after such an end, is cut short by the end of the process or of the power, the next one makes it.
func TestEndsOfTheFirstOpening(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 6))
	ended := func(disk *spooltest.Mem, look func(left *spooltest.Mem)) (calls int) {
		var one sync.Mutex // calls come from several goroutines
		begun := false
		l, err := spool.OpenFS(&spooltest.Faulty{FS: disk, Before: func(int64, string, string) error {
			one.Lock()
			defer one.Unlock()
			names, _ := disk.List(".")
			if begun = begun || strings.Contains(fmt.Sprint(names), ".seg"); begun {
				return nil
			}
			calls++
			look(disk.Crash(nil))
			for range rounds(1, 30) {
				look(disk.Crash(rng))
			}
			return nil
		}}, small)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		return calls
	}
	opens := func(left *spooltest.Mem) {
		left.Put("lost+found", nil)
		if lock := rng.IntN(3); lock > 0 {
			left.Put("LOCK", []byte([]string{ownLock, longerLock}[lock-1]))
			left.Put("README", []byte("mine"))
		} else {
			left.Put("LOCK", nil)
		}
		l, err := spool.OpenFS(left, small)
		if assert.NoError(t, err) {
			_, err = l.Append(t.Context(), body(1, damageBody))
			assert.NoError(t, err)
			assert.NoError(t, l.Close())
		}
	}
	assert.Greater(t, ended(spooltest.NewMem(), opens), 5)
	ended(spooltest.NewMem(), func(left *spooltest.Mem) { ended(left, opens) })
}

// TestFirstOpeningThatFails at any call to the disk: the next one makes the spool.
func TestFirstOpeningThatFails(t *testing.T) {
	t.Parallel()
	for at, failed := int64(1), true; failed; at++ {
		dir := lay(t, map[string]string{"README": "mine"})
		real, done := spool.RealFS(t, dir)
		_, err := spool.OpenFS(&spooltest.Faulty{FS: real, Before: func(call int64, _, _ string) error {
			if call >= at {
				return spooltest.ErrInjected
			}
			return nil
		}}, small)
		require.NoError(t, done())
		names, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
		if failed = err != nil && len(names) == 0; !failed {
			require.Greater(t, at, int64(5))
			break
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "LOCK"), []byte(ownLock), 0o600)) // which Open has made by then
		l, err := spool.Open(dir, small)
		require.NoError(t, err, "call %d", at)
		require.NoError(t, l.Close())
	}
}
