package doctor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/meshmq/meshmq/socket/spool"
)

const (
	writes    = 5
	slowWrite = 50 * time.Millisecond // a disk that turns takes ten
	fastWrite = 20 * time.Microsecond // no disk is so fast: it was not asked
	leastFree = 1 << 30
)

// Disk is what is known of the place of a spool.
type Disk struct {
	Dir    string
	Err    error // the place cannot be looked at
	Kind   string
	Free   uint64
	Room   error // why kind and free are not known
	Synced []time.Duration
	Write  error // why nothing can be written
	Stats  spool.Stats
	Spool  error // of Inspect
	Report spool.Report
	Verify error
}

// ReadDisk looks at the spool in dir, or at the folder where it is to be made. It changes nothing but for a file that is gone at once.
func ReadDisk(ctx context.Context, dir string) Disk {
	d := Disk{Dir: dir}
	place := dir
	if _, err := os.Stat(place); errors.Is(err, os.ErrNotExist) {
		place = filepath.Dir(filepath.Clean(dir))
	}
	if info, err := os.Stat(place); err != nil || !info.IsDir() {
		if d.Err = err; err == nil {
			d.Err = errors.New(place + " is no directory")
		}
		return d
	}
	d.Kind, d.Free, d.Room = diskOf(place)
	d.Synced, d.Write = syncedWrites(place)
	if d.Stats, d.Spool = spool.Inspect(dir); d.Spool == nil && d.Stats.Holder == nil {
		d.Report, d.Verify = spool.VerifyContext(ctx, dir)
	}
	return d
}

// syncedWrites times writes that are synced, each behind the last.
func syncedWrites(dir string) (took []time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".meshmq-doctor-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) // where an open file cannot be removed
	defer f.Close()
	_ = os.Remove(f.Name())
	page := make([]byte, 4096)
	for range writes {
		begun := time.Now()
		if _, err := f.Write(page); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begun))
	}
	return took, nil
}

// Findings judges the place of a spool.
func (d Disk) Findings() []Finding {
	subject := "spool " + d.Dir
	if d.Err != nil {
		return []Finding{fail(subject, "name a directory, or one to be made in one", "%v", d.Err)}
	}
	return []Finding{d.room(subject), d.speed(subject), d.state(subject)}
}

func (d Disk) room(subject string) Finding {
	switch {
	case errors.Is(d.Room, errUnknown):
		return unknown(subject + " file system")
	case d.Room != nil:
		return warn(subject, "look at the disk", "its file system cannot be asked: %v", d.Room)
	case d.Kind == "tmpfs" || d.Kind == "ramfs":
		return warn(subject, "use a directory on a disk", "%s, %s free: it is memory, and lost with the power", d.Kind, size(d.Free))
	case d.Kind == "nfs" || d.Kind == "smb" || d.Kind == "9p" || d.Kind == "fuse":
		return warn(subject, "use a disk of this machine", "%s, %s free: locks and syncs over a network may not hold", d.Kind, size(d.Free))
	case d.Free < leastFree:
		return warn(subject, "make room, or give --quota", "%s, only %s free", d.Kind, size(d.Free))
	}
	return pass(subject, "%s, %s free", d.Kind, size(d.Free))
}

func (d Disk) speed(subject string) Finding {
	if d.Write != nil || len(d.Synced) == 0 {
		return fail(subject, "be its owner, on a file system that is writable and not full", "cannot be written: %v", d.Write)
	}
	sorted := slices.Sorted(slices.Values(d.Synced))
	median := sorted[len(sorted)/2]
	switch {
	case median > slowWrite:
		return warn(subject, "use a faster disk, or --sync interval", "a synced write takes %s: that is how long Send waits", round(median))
	case median < fastWrite:
		return warn(subject, "do not count on it when the power fails", "a synced write takes %s: nothing that fast has reached a disk", round(median))
	}
	return pass(subject, "a synced write takes %s", round(median))
}

func (d Disk) state(subject string) Finding {
	switch {
	case errors.Is(d.Spool, spool.ErrNotSpool), errors.Is(d.Spool, os.ErrNotExist):
		return pass(subject, "no spool is there yet")
	case d.Spool != nil:
		return fail(subject, "meshmq spool verify says more", "%v", d.Spool)
	case d.Stats.Holder != nil:
		return pass(subject, "%v; not verified, for it is in use", d.Stats.Holder)
	case errors.Is(d.Verify, spool.ErrInUse):
		return pass(subject, "%v; not verified", d.Verify)
	case d.Verify != nil:
		return fail(subject, "meshmq spool verify says more", "%v", d.Verify)
	case len(d.Report.Damage) > 0:
		return fail(subject, "meshmq spool repair "+d.Dir+" puts the damaged files aside", "%d damaged: %v", len(d.Report.Damage), d.Report.Damage[0])
	}
	return pass(subject, "sound: %d messages, %d dead, nobody has it open", d.Report.Messages, d.Report.Letters)
}
