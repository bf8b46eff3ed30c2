package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
)

// farIncarnation is added to the incarnation when a segment is lost that may have had any of those that follow.
const farIncarnation = 1 << 16

// Repair makes a damaged spool one that Verify finds sound, and returns what Verify had found before. Nothing is
// deleted: a damaged file is kept aside under its name and ".bad", and what can be read of it stays in the
// spool; readers get a Gap for the rest, which no count has any more. The spool must not be in use. A file that cannot be repaired for want of room (ErrFull, with how much it takes) or otherwise is left as it was.
func Repair(dir string) (Report, error) { return RepairContext(context.Background(), dir) }

// RepairContext is Repair until ctx ends; the error is then that of ctx, and what is not repaired by then is left as it was.
func RepairContext(ctx context.Context, dir string) (Report, error) {
	var r Report
	err := withLocked(dir, func(fs FS) (err error) {
		r, err = repairAll(newSalvage(ctx, fs))
		return err
	})
	return r, err
}

// RepairFS is Repair on a file layer of the caller's.
func RepairFS(fs FS) (Report, error) { return repairAll(newSalvage(context.Background(), fs)) }

func repairAll(disk *salvage) (Report, error) {
	r, err := verifyAll(disk)
	if err != nil {
		return r, err
	}
	logs, lost := []string{".", deadName}, r.lost
	if len(r.Damage) > 0 {
		for _, dir := range logs {
			aside, err := repairLog(disk, dir, damagedSegments(r, dir))
			for _, name := range aside {
				r.Aside = append(r.Aside, path.Join(dir, name))
			}
			if err != nil {
				return r, err
			}
		}
		after, err := verifyAll(newSalvage(disk.ctx, disk.FS)) // the disk may have read what it could not before
		if err != nil && !errors.Is(err, ErrNotSpool) {
			return r, err
		}
		lost = after.lost
	}
	for _, dir := range logs {
		l := lost[dir]
		if err := l.note(folder{disk, dir}); err != nil {
			return r, err
		}
	}
	return r, nil
}

// damagedSegments returns the names of the files in dir that have damage.
func damagedSegments(r Report, dir string) (names []string) {
	for _, d := range r.Damage {
		if in, name := path.Split(d.Segment); path.Clean(in) == dir && d.What != noFile {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// repairLog repairs these segments of the log in dir and returns the names under which they are kept.
func repairLog(disk *salvage, dir string, damaged []string) (aside []string, err error) {
	fs := folder{disk, dir}
	d, err := load(fs, true)
	if err != nil && (d == nil || len(d.Damage) == 0 || len(d.segments) > 0) { // else none can be read
		return nil, err
	}
	if len(damaged) == 0 && d.removed == 0 && d.bridge == nil {
		return nil, nil
	}
	ordinals, err := listSegments(fs)
	if err != nil {
		return nil, err
	}
	if n := len(d.segments); n > 0 { // else the log begins anew
		newest := d.segments[n-1]
		if last := max(ordinals[len(ordinals)-1], d.removed); last != newest.header.ordinal {
			if err := beginFar(fs, d, last+1); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range damaged {
		i := slices.IndexFunc(d.segments, func(s *segment) bool { return s.name() == name })
		kept, err := repairSegment(fs, d, i, name, disk.unreadable[path.Join(dir, name)] != nil)
		if kept != "" {
			aside = append(aside, kept)
		}
		if err != nil {
			return aside, err
		}
	}
	if d.bridge != nil {
		if err := bridge(fs, d); err != nil {
			return aside, err
		}
	}
	return aside, fs.Sync(".")
}

// repairSegment puts a segment aside and, if it is number i of those that can be read, leaves a sound copy. One
// that the disk cannot read all of is put aside itself: another machine may read more of it. After an error all is as it was, unless there is a name aside.
func repairSegment(fs FS, d *loaded, i int, name string, unreadable bool) (aside string, err error) {
	if aside, err = freeName(fs, name+badSuffix); err != nil {
		return "", err
	}
	if i < 0 {
		if err := fs.Rename(name, aside); err != nil {
			return "", err
		}
		return aside, nil
	}
	undo := func() error { return fs.Remove(aside) }
	how := rewriting{keep: func(uint64) bool { return true }, skip: true, confirm: func() error { return copyFile(fs, name, aside) }}
	if unreadable {
		undo = func() error { return fs.Rename(aside, name) }
		how.confirm = func() error { return fs.Rename(name, aside) }
	}
	s := *d.segments[i]
	needs := 2 * s.size
	if !s.sealed {
		s.size, s.last, how.state = d.end, d.next-1, d.state.appendAll(nil)
	}
	placed, err := rewriteSegment(fs, &s, how)
	switch {
	case err == nil:
		return aside, nil
	case placed == nil:
		if undone := undo(); undone == nil || errors.Is(undone, os.ErrNotExist) {
			aside = ""
		} else {
			err = errors.Join(err, undone)
		}
	}
	return aside, noRoom(err, name, needs)
}

// noRoom turns the error of a full disk into one that says what the repair of a file needs.
func noRoom(err error, name string, bytes int64) error {
	if !usedUp(err) {
		return err
	}
	return fmt.Errorf("%w: to repair %s takes %d bytes: %w", ErrFull, name, bytes, err)
}

// beginFar begins a segment after one that is lost, with numbers that cannot be taken for those in it. If "newest" knows which those were it begins with a gap, as one from which they were left out.
func beginFar(fs FS, d *loaded, ordinal uint64) error {
	last := d.segments[len(d.segments)-1].header
	h := newHeader(last.kind, last.id, ordinal, d.next, last.incarnation+farIncarnation, now())
	next := max(d.next, d.newest.durable.number)
	if next > d.next {
		h.flags, h.until = flagCompacted, next-1
	}
	b := emptySegment(h, next, &d.state)
	return noRoom(makeSegment(fs, h, b, beginSegment), segmentName(ordinal), int64(len(b)))
}

// bridge puts a segment in the place of those missing before the first, as one from which their messages were left out: readers get the gap.
func bridge(fs FS, d *loaded) error {
	first := d.segments[0].header
	h := newHeader(first.kind, first.id, first.ordinal-1, d.bridge.From, first.incarnation, first.created)
	h.flags, h.until = flagCompacted, first.base-1
	b := emptySegment(h, first.base, &d.state)
	end := appendRecord(nil, recordEnd, first.base, first.created, turned)
	h.salt.seal(end, int64(len(b)))
	b = append(b, end...)
	return noRoom(makeSegment(fs, h, b, placeSegment), segmentName(h.ordinal), int64(len(b)))
}

// makeSegment makes a segment of b, or leaves nothing behind.
func makeSegment(fs FS, h segmentHeader, b []byte, begin func(FS, File, segmentHeader, []byte) error) error {
	if err := fs.Remove(nextName); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := fs.Open(nextName, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	err = errors.Join(begin(fs, f, h, b), f.Close())
	if err == nil {
		return nil
	}
	if undone := fs.Remove(nextName); !errors.Is(undone, os.ErrNotExist) { // else it has its name
		err = errors.Join(err, undone)
	}
	return err
}

// freeName returns name, or name with a number before its end, such that no file has it.
func freeName(fs FS, name string) (string, error) {
	names, err := fs.List(".")
	if err != nil {
		return "", err
	}
	free := name
	for n := 2; slices.Contains(names, free); n++ {
		free = fmt.Sprintf("%s.%d%s", name[:len(name)-len(badSuffix)], n, badSuffix)
	}
	return free, nil
}

// copyFile makes a durable copy.
func copyFile(fs FS, from, to string) error {
	in, err := fs.Open(from, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := fs.Open(to, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.NewOffsetWriter(out, 0), io.NewSectionReader(in, 0, 1<<62)); err != nil {
		return errors.Join(err, out.Close())
	}
	return errors.Join(out.Sync(), out.Close(), fs.Sync("."))
}
