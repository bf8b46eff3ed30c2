//go:build linux || darwin

package spool_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

func TestDirectoriesThatAreRefused(t *testing.T) {
	t.Parallel()
	const one, two = "00000000000000000001.seg", "00000000000000000002.seg"
	for name, c := range map[string]struct {
		hurt func(dir string) error
		err  error
	}{
		"others may write to the directory": {func(dir string) error { return os.Chmod(dir, 0o777) }, spool.ErrOwner},
		"others may write to a segment":     {func(dir string) error { return os.Chmod(filepath.Join(dir, one), 0o622) }, spool.ErrOwner},
		"a segment is a pipe": {func(dir string) error {
			return syscall.Mkfifo(filepath.Join(dir, two), 0o600)
		}, spool.ErrNotRegular},
		"a segment is a link": {func(dir string) error {
			return os.Symlink(one, filepath.Join(dir, two))
		}, spool.ErrNotRegular},
		"a segment is a directory": {func(dir string) error {
			return os.Mkdir(filepath.Join(dir, two), 0o700)
		}, spool.ErrNotRegular},
		"the lock is a link": {func(dir string) error {
			lock := filepath.Join(dir, "LOCK")
			if err := os.Remove(lock); err != nil {
				return err
			}
			return os.Symlink("/dev/null", lock)
		}, spool.ErrNotRegular},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "spool")
			l, err := spool.Open(dir, small)
			require.NoError(t, err)
			require.NoError(t, l.Close())
			require.NoError(t, c.hurt(dir))
			_, err = spool.Open(dir, small)
			require.ErrorIs(t, err, c.err)
			assert.ErrorContains(t, err, dir)
		})
	}
}

// TestOtherOwnersAreRefused: a spool, or a segment, of another user is left as it is.
func TestOtherOwnersAreRefused(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away; TestCheckOwner has the rule")
	}
	for _, name := range []string{".", "00000000000000000001.seg"} {
		dir := filepath.Join(t.TempDir(), "spool")
		l, err := spool.Open(dir, small)
		require.NoError(t, err)
		fill(t, l, 1, 10)
		require.NoError(t, l.Close())
		given := filepath.Join(dir, name)
		require.NoError(t, os.Chown(given, 12345, -1))
		_, err = spool.Open(dir, small)
		require.ErrorIs(t, err, spool.ErrOwner)
		assert.ErrorContains(t, err, "owned by user 12345")
		require.NoError(t, os.Chown(given, 0, -1))
		l, err = spool.Open(dir, small)
		require.NoError(t, err)
		assert.Equal(t, uint64(2), l.Next())
		require.NoError(t, l.Close())
	}
}

func TestPathsThatAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link, there := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "there")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Mkdir(there, 0o700))
	require.NoError(t, os.Symlink(there, link))
	for _, path := range []string{file, link} {
		_, err := spool.Open(path, small)
		require.ErrorIs(t, err, spool.ErrNotDirectory)
	}
	_, err := spool.Open(filepath.Join(dir, "no", "parent"), small)
	require.ErrorIs(t, err, os.ErrNotExist)
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
	require.NoError(t, os.RemoveAll(dir))
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

func first(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	return filepath.Base(names[0])
}
