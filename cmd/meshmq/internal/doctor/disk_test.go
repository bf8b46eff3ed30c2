package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

// TestJudgesDisk: of the place of a spool is said whether it lasts, is fast, lies, and who has the spool.
func TestJudgesDisk(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Disk)
		state  State
		says   string
	}{
		"fit":       {func(*Disk) {}, Pass, "sound"},
		"memory":    {func(d *Disk) { d.Kind = "tmpfs" }, Warn, "lost with the power"},
		"network":   {func(d *Disk) { d.Kind = "nfs" }, Warn, "may not hold"},
		"full":      {func(d *Disk) { d.Free = 1 << 20 }, Warn, "1 MiB free"},
		"unknown":   {func(d *Disk) { d.Room = errUnknown }, Pass, "does not tell"},
		"slow":      {func(d *Disk) { d.Synced = []time.Duration{time.Second, time.Second, 1} }, Warn, "1s"},
		"lies":      {func(d *Disk) { d.Synced = []time.Duration{time.Second, 1, 1} }, Warn, "reached a disk"},
		"read-only": {func(d *Disk) { d.Write, d.Synced = errors.New("read-only"), nil }, Fail, "read-only"},
		"held":      {func(d *Disk) { d.Stats.Holder = &spool.InUseError{PID: 17} }, Pass, "17"},
		"damaged":   {func(d *Disk) { d.Report.Damage = []spool.Damage{{What: "bad"}} }, Fail, "spool repair"},
		"none yet":  {func(d *Disk) { d.Spool = spool.ErrNotSpool }, Pass, "no spool is there yet"},
		"foreign":   {func(d *Disk) { d.Spool = spool.ErrVersion }, Fail, "format unknown"},
	} {
		d := Disk{Dir: "x", Kind: "ext4", Free: 1 << 40, Synced: []time.Duration{time.Millisecond}}
		c.change(&d)
		worst, all := Pass, ""
		for _, f := range d.Findings() {
			worst, all = max(worst, f.State), all+f.String()+"\n"
		}
		assert.Equal(t, c.state, worst, "%s: %s", name, all)
		assert.Contains(t, all, c.says, name)
	}
}

// TestLeavesNothing: looking at the place of a spool makes neither the spool nor any other file.
func TestLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := ReadDisk(t.Context(), filepath.Join(dir, "outbox"))
	require.NoError(t, d.Err)
	require.NoError(t, d.Write)
	assert.Len(t, d.Synced, writes)
	assert.Equal(t, "no spool is there yet", d.Findings()[2].Found)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
	assert.Equal(t, Fail, ReadDisk(t.Context(), filepath.Join(dir, "none", "outbox")).Findings()[0].State)
}
