package spool_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

// TestLeftoversAreRemoved: what a killed process had begun, a segment or a copy of one, is gone when the spool, and its dead letters, have been opened.
func TestLeftoversAreRemoved(t *testing.T) {
	t.Parallel()
	dir := onDisk(t, threeSegments(t))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "dead", "compact.tmp"), []byte("begun"), 0o600))
	l, err := spool.Open(dir, small)
	require.NoError(t, err)
	_, err = l.Dead()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	nothingBegun(t, dir)
}

// nothingBegun wants a spool that is closed to have nothing but what belongs to it.
func nothingBegun(t *testing.T, dir string) {
	t.Helper()
	for _, folder := range []string{dir, filepath.Join(dir, "dead")} {
		entries, err := os.ReadDir(folder)
		require.NoError(t, err)
		var names []string
		for _, e := range entries {
			if filepath.Ext(e.Name()) != ".seg" && !slices.Contains([]string{"LOCK", "newest", "dead"}, e.Name()) {
				names = append(names, e.Name())
			}
		}
		assert.Empty(t, names, folder)
	}
}
