package spool

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestControl_GoesOnAfterSignals: a signal that comes between is no error of the disk.
func TestControl_GoesOnAfterSignals(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	require.NoError(t, err)
	defer f.Close()
	for _, want := range []error{nil, unix.EIO} {
		calls := 0
		err = control(f, func(int) error {
			if calls++; calls < 4 {
				return unix.EINTR
			}
			return want
		})
		assert.ErrorIs(t, err, want)
		assert.Equal(t, 4, calls)
	}
}
