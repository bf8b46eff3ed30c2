//go:build linux || darwin

package spool_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

// TestDirectoriesThatAreRefused: what a spool is not opened for, and that it is then as it was; TestDamagedDirectory has damage and what is foreign.
func TestDirectoriesThatAreRefused(t *testing.T) {
	t.Parallel()
	const one, four = "00000000000000000001.seg", "00000000000000000004.seg"
	topic := small
	topic.Kind = spool.Topic
	give := func(name string) func(string) error {
		return func(dir string) error { return os.Chown(filepath.Join(dir, name), 12345, -1) }
	}
	hold := func(name string) func(string) error { // as another process would
		return func(dir string) error {
			f, err := os.Open(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = f.Close() })
			return syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		}
	}
	for name, c := range map[string]struct {
		hurt func(dir string) error
		err  error
		path string // in the folder
		o    spool.Options
		root bool
	}{
		"another kind":                      {err: spool.ErrKind, o: topic},
		"a folder of dead letters":          {err: spool.ErrKind, path: "dead"},
		"a file":                            {err: spool.ErrNotDirectory, path: one},
		"a link":                            {hurt: func(dir string) error { return os.Symlink("dead", filepath.Join(dir, "link")) }, err: spool.ErrNotDirectory, path: "link"},
		"the lock is held":                  {hurt: hold("LOCK"), err: spool.ErrInUse},
		"the folder is held":                {hurt: hold("."), err: spool.ErrInUse},
		"of another user":                   {hurt: give("."), err: spool.ErrOwner, root: true},
		"a segment of another user":         {hurt: give(one), err: spool.ErrOwner, root: true},
		"a lock of another user":            {hurt: give("LOCK"), err: spool.ErrOwner, root: true},
		"others may write to the directory": {hurt: func(dir string) error { return os.Chmod(dir, 0o777) }, err: spool.ErrOwner},
		"others may write to a segment":     {hurt: func(dir string) error { return os.Chmod(filepath.Join(dir, one), 0o622) }, err: spool.ErrOwner},
		"a segment is a pipe":               {hurt: func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, four), 0o600) }, err: spool.ErrNotRegular},
		"a segment is a link":               {hurt: func(dir string) error { return os.Symlink(one, filepath.Join(dir, four)) }, err: spool.ErrNotRegular},
		"a segment is a directory":          {hurt: func(dir string) error { return os.Mkdir(filepath.Join(dir, four), 0o700) }, err: spool.ErrNotRegular},
		"the lock is a link": {hurt: func(dir string) error {
			lock := filepath.Join(dir, "LOCK")
			return errors.Join(os.Remove(lock), os.Symlink("/dev/null", lock))
		}, err: spool.ErrNotRegular},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.root && os.Geteuid() != 0 {
				t.Skip("only root gives files away; TestCheckOwner has the rule")
			}
			dir := onDisk(t, threeSegments(t))
			if c.hurt != nil {
				require.NoError(t, c.hurt(dir))
			}
			refused(t, filepath.Join(dir, c.path), dir, c.o, c.err)
		})
	}
}

// TestDeadLettersThatAreRefused: the spool they are in works without them, and they are left as they are.
func TestDeadLettersThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hurt func(dead, letters string) error
		err  error
	}{
		"a file": {func(dead, _ string) error {
			return errors.Join(os.RemoveAll(dead), os.WriteFile(dead, []byte("mine"), 0o600))
		}, spool.ErrDamaged},
		"others may write to it": {func(dead, _ string) error { return os.Chmod(dead, 0o777) }, spool.ErrOwner},
		"another version": {func(_, letters string) error {
			b, err := os.ReadFile(letters)
			b[6], b[spool.HeaderCopyAt+6] = 9, 9
			return errors.Join(err, os.WriteFile(letters, b, 0o600))
		}, spool.ErrVersion},
		"of no dead letters": {func(dead, letters string) error {
			b, err := os.ReadFile(filepath.Join(filepath.Dir(dead), filepath.Base(letters)))
			return errors.Join(err, os.WriteFile(letters, b, 0o600))
		}, spool.ErrKind},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := onDisk(t, threeSegments(t))
			dead := filepath.Join(dir, "dead")
			require.NoError(t, c.hurt(dead, filepath.Join(dead, "00000000000000000001.seg")))
			before := tree(t, dead)
			l, err := spool.Open(dir, small)
			require.NoError(t, err)
			_, err = l.Dead()
			require.ErrorIs(t, err, c.err)
			fill(t, l, 1, damageBody)
			require.NoError(t, l.Close())
			assert.Equal(t, before, tree(t, dead))
		})
	}
}

// TestNamesThatAreRefused: they make nothing, in the spool or beside it.
func TestNamesThatAreRefused(t *testing.T) {
	t.Parallel()
	around := t.TempDir()
	l, err := spool.Open(filepath.Join(around, "spool"), small)
	require.NoError(t, err)
	fill(t, l, 3, damageBody)
	require.NoError(t, l.Release(bounded(t))) // the next segment is there
	before := tree(t, around)
	for _, name := range []string{"", ".", "..", "../x", "../../x", "a/../../x", "/x", `..\x`, "x/", "x\x00"} {
		_, err := l.Consumer(name, spool.Beginning())
		require.ErrorIs(t, err, spool.ErrName, name)
	}
	require.NoError(t, l.Flush(bounded(t)))
	assert.Equal(t, before, tree(t, around))
	require.NoError(t, l.Close())
}

func TestPathsThatAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link, there := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "there")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Mkdir(there, 0o700))
	require.NoError(t, os.Symlink(there, link))
	for path, says := range map[string]string{
		file:                       "open spool " + file + ": not a directory: name one",
		link:                       "a link, which is not followed: not a directory",
		"":                         "a path that is empty",
		dir + "/x\x00":             "or has a zero byte: not a directory",
		filepath.Join(file, "x"):   "a file is where a folder on its path should be: not a directory",
		filepath.Join(file, "x/y"): "a file is where a folder on its path should be: not a directory",
	} {
		_, err := spool.Open(path, small)
		require.ErrorIs(t, err, spool.ErrNotDirectory)
		require.ErrorContains(t, err, says)
		_, err = spool.OpenWindow(path, spool.WindowOptions{})
		require.ErrorIs(t, err, spool.ErrNotDirectory)
		_, err = spool.Verify(path)
		require.ErrorIs(t, err, spool.ErrNotDirectory)
	}
	_, err := spool.Open(filepath.Join(dir, "no", "parent"), small)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "make it")
	_, err = spool.Verify(there)
	require.ErrorIs(t, err, spool.ErrNotSpool)
	_, err = spool.Inspect(there)
	require.ErrorIs(t, err, spool.ErrNotSpool)
	_, err = spool.Inspect(filepath.Join(dir, "nowhere"))
	require.ErrorIs(t, err, os.ErrNotExist)
	entries, err := os.ReadDir(there)
	require.NoError(t, err)
	assert.Empty(t, entries, "looking leaves nothing")
}

func TestInspectWhileInUse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	l, err := spool.Open(dir, small)
	require.NoError(t, err)
	fill(t, l, 500, 300)
	require.NoError(t, l.Queue().Ack(1, 10))
	require.NoError(t, l.Flush(bounded(t)))
	s, err := spool.Inspect(dir)
	require.NoError(t, err)
	assert.Equal(t, uint64(501), s.Next)
	assert.Equal(t, []spool.ConsumerInfo{{Floor: 10, Pending: 490}}, s.Consumers)
	assert.Equal(t, l.ID(), s.ID)
	require.NotNil(t, s.Holder)
	assert.Equal(t, os.Getpid(), s.Holder.PID)
	_, err = spool.Verify(dir)
	require.ErrorIs(t, err, spool.ErrInUse)
	_, err = spool.Repair(dir)
	require.ErrorIs(t, err, spool.ErrInUse)
	require.NoError(t, l.Close())

	s, err = spool.Inspect(dir)
	require.NoError(t, err)
	assert.Nil(t, s.Holder)
	report, err := spool.Verify(dir)
	require.NoError(t, err)
	assert.Equal(t, uint64(500), report.Messages)
	assert.Empty(t, report.Damage)
	for _, name := range []string{".", first(t, dir)} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.Zero(t, info.Mode().Perm()&0o077)
	}
}

// TestRemovedWhileInUse: nothing is confirmed any more that would be gone with the process.
func TestRemovedWhileInUse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	l, err := spool.Open(dir, small)
	require.NoError(t, err)
	defer l.Close()
	fill(t, l, 10, 300)
	r := l.Queue().Reader()
	_, err = r.TryNext()
	require.NoError(t, err)
	require.Eventually(t, func() bool { return os.RemoveAll(dir) == nil }, time.Minute, time.Millisecond, "the log may be making a segment meanwhile")
	_, err = l.Append(bounded(t), body(11, 300))
	require.ErrorIs(t, err, spool.ErrFailed)
	require.ErrorContains(t, err, "removed")
	numbers, _ := read(t, r, 300)
	assert.Equal(t, fromTo(2, 10), numbers, "what was confirmed is still delivered to who reads")
	require.ErrorIs(t, l.Close(), spool.ErrFailed)
}

// TestLockRemovedWhileInUse: who takes the lock file for one left behind, and removes it, lets no second process in.
func TestLockRemovedWhileInUse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	l, err := spool.Open(dir, small)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, "LOCK")))
	for range 2 { // which makes the file again
		_, err = spool.Open(dir, small)
		require.ErrorIs(t, err, spool.ErrInUse)
	}
	_, err = spool.Verify(dir)
	require.ErrorIs(t, err, spool.ErrInUse)
	fill(t, l, 10, 300)
	require.NoError(t, l.Close())
	l, err = spool.Open(dir, small)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

// TestNameOfTheHolder: it stays when the spool is closed. Who only looks leaves what the lock file says, and so does everybody if that is none of ours.
func TestNameOfTheHolder(t *testing.T) {
	t.Parallel()
	dir := onDisk(t, threeSegments(t))
	lock := filepath.Join(dir, "LOCK")
	says := func() string {
		b, err := os.ReadFile(lock)
		require.NoError(t, err)
		return string(b)
	}
	openOnce := func() {
		l, err := spool.Open(dir, small)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
	before := says()
	_, err := spool.Verify(dir)
	require.NoError(t, err)
	assert.Equal(t, before, says())
	openOnce()
	assert.Contains(t, says(), fmt.Sprintf(`"pid":%d,`, os.Getpid()))
	long := strings.Repeat("mine ", 1000)
	require.NoError(t, os.WriteFile(lock, []byte(long), 0o600))
	_, err = spool.Verify(dir)
	require.NoError(t, err)
	assert.Equal(t, long, says())
	openOnce()
	assert.Equal(t, long, says())
}

func first(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	return filepath.Base(names[0])
}

// TestLinkWithASlash: a link to a directory is refused however its name is written, and a directory taken.
func TestLinkWithASlash(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	for _, tail := range []string{"", "/", "//", "/.", "/./"} {
		l, err := spool.Open(dir+tail, small)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
	require.NoError(t, os.Symlink("spool", dir+"-link"))
	for _, tail := range []string{"", "/", "//", "/.", "/./"} {
		refused(t, dir+"-link"+tail, dir, spool.Options{}, spool.ErrNotDirectory)
		_, err := spool.Verify(dir + "-link" + tail)
		require.ErrorIs(t, err, spool.ErrNotDirectory)
	}
}
