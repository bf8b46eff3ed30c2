//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package spool

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
)

// stated is what the system may say of a file.
type stated struct {
	fs.FileInfo
	mode fs.FileMode
	uid  int
}

func (s stated) Mode() fs.FileMode { return s.mode }
func (s stated) Sys() any          { return &syscall.Stat_t{Uid: uint32(s.uid)} }

// TestCheckOwner: who else could change a spool is refused, with what is wrong. Only root can make such files: see TestDirectoriesThatAreRefused.
func TestCheckOwner(t *testing.T) {
	t.Parallel()
	me := os.Geteuid()
	for _, c := range []struct {
		s    stated
		said string
	}{
		{stated{mode: 0o700, uid: me}, ""},
		{stated{mode: 0o600, uid: me}, ""},
		{stated{mode: 0o644, uid: me}, ""},
		{stated{mode: 0o700, uid: me + 1}, fmt.Sprintf("owned by user %d", me+1)},
		{stated{mode: 0o600, uid: me + 1}, fmt.Sprintf("owned by user %d", me+1)},
		{stated{mode: 0o720, uid: me}, "mode 0720"},
		{stated{mode: 0o602, uid: me}, "mode 0602"},
	} {
		err := checkOwner(c.s)
		if c.said == "" {
			assert.NoError(t, err, c.s)
			continue
		}
		assert.ErrorIs(t, err, ErrOwner, c.s)
		assert.ErrorContains(t, err, c.said)
	}
}
