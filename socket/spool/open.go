package spool

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"
)

// Open opens the spool in a directory of its own, which is made, mode 0700, if it is missing; its parent must be
// there. It takes the spool for this Log alone until Close. What a crash left is read, its end cut off where a
// write was torn, see Recovery, and so with the dead letters; records that are damaged become gaps. Errors: ErrInUse, ErrVersion, ErrKind,
// ErrOwner, ErrNotDirectory, ErrNotRegular, ErrForeign, also where there is no spool and something has a name that one needs, ErrDamaged: the directory is then as it was, with an empty file LOCK if a spool had none; ErrFull where the disk
// has no room for a new one, or for one to go on after a crash, whose torn end may be cut off by then; or those of the disk.
func Open(dir string, options Options) (*Log, error) {
	options, err := options.filled()
	if err != nil {
		return nil, err
	}
	fs, err := openDir(dir, true)
	if err != nil {
		return nil, fmt.Errorf("open spool %s: %w", dir, err)
	}
	err = checkSpool(fs)
	fresh := errors.Is(err, ErrNotSpool)
	if fresh {
		err = checkFree(fs)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open spool %s: %w", dir, err), fs.Close())
	}
	lock, err := fs.lock()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open spool %s: %w", dir, err), fs.Close())
	}
	l, err := openLog(fs, options)
	if err != nil {
		leave := lock.leave
		if fresh { // the name in the lock says whose the directory is
			leave = lock.Close
		}
		return nil, errors.Join(fmt.Errorf("open spool %s: %w", dir, err), leave(), fs.Close())
	}
	l.lock = closers{lock, fs}
	return l, nil
}

// OpenFS is Open on a file layer of the caller's. Nothing keeps two logs from the same one but the caller.
func OpenFS(fs FS, options Options) (*Log, error) {
	options, err := options.filled()
	if err != nil {
		return nil, err
	}
	l, err := openLog(fs, options)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return l, nil
}

func openLog(fs FS, options Options) (*Log, error) {
	d, err := load(fs, false)
	if err != nil {
		return nil, err
	}
	if n := len(d.segments); n > 0 && d.segments[n-1].header.kind != options.Kind {
		return nil, fmt.Errorf("a %v, not a %v: %w", d.segments[n-1].header.kind, options.Kind, ErrKind)
	}
	if d.stale {
		if err := removeLost(fs); err != nil {
			return nil, err
		}
	}
	for _, leftover := range []string{nextName, compactName} {
		if err := fs.Remove(leftover); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	if options.Kind != kindDead {
		d.addLetters(fs)
	}
	l := &Log{
		fs: fs, clock: clockOf(fs), options: options, recovery: d.Recovery, segments: d.segments, state: d.state, lastTime: d.lastTime,
		overwrites: options.Policy == Always && overwrites(fs),
		cut:        -1, kick: make(chan struct{}, 1), soon: make(chan struct{}, 1), keep: make(chan struct{}, 1), stop: make(chan struct{}), broken: make(chan struct{}),
	}
	if len(d.segments) == 0 {
		l.recovery.Clean = true
		err = l.create()
	} else {
		l.age()
		err = l.resume(d)
	}
	if err != nil {
		if l.file != nil {
			err = errors.Join(err, l.file.Close())
		}
		return nil, err
	}
	l.written, l.durable, l.taken, l.visible, l.tail = l.next-1, l.next-1, l.next-1, l.off, l.off
	l.limit = l.active().size - options.reserved()
	l.safe.Store(l.durable)
	if options.Kind.queues() && l.state.positions[""] == nil {
		l.state.make("", l.segments[0].header.base-1)
	}
	l.finished.Add(2) // ended and waited for by Close
	go l.commitLoop()
	go l.keepLoop()
	poke(l.keep)
	if l.recovery.TornLetters > 0 {
		_, _ = l.Dead() // cuts it off, so that it is found once; if not, it is found again
	}
	return l, nil
}

// age dates the ends of the segments that are there: once, so that no jump of the clock afterwards makes them older.
func (l *Log) age() {
	opened, wall := time.Now(), l.clock()
	for i, s := range l.segments {
		ended := wall
		if i+1 < len(l.segments) {
			ended = min(ended, l.segments[i+1].header.created)
		}
		s.ended = opened.Add(-time.Duration(wall - ended))
	}
}

// create makes the first segment of a new spool.
func (l *Log) create() error {
	rand.Read(l.id[:])
	l.next = 1
	if l.options.Kind.queues() {
		l.state.make("", 0)
		l.state.settle() // the first checkpoint has it
	}
	return l.begin(newHeader(l.options.Kind, l.id, 1, 1, 1, l.tick()))
}

// begin makes a segment and goes on in it. A full disk must not keep what it holds from being read and acknowledged,
// which makes room: the segment is then one that takes no message.
func (l *Log) begin(h segmentHeader) error {
	page, size := l.firstPage(h), l.options.SegmentSize
	f, err := l.allocateSpared(size)
	if err != nil {
		size = int64(len(page)) + l.options.reserved()
		f, err = l.allocateSpared(size)
	}
	if err != nil && len(l.segments) > 0 {
		size = int64(len(page)) + sector
		f, err = l.allocate(size)
	}
	if err == nil {
		l.file, l.header = f, h
		err = beginSegment(l.fs, f, h, page)
	}
	if usedUp(err) {
		return fmt.Errorf("%w (%w)", ErrFull, err)
	} else if err != nil {
		return err
	}
	l.segments = append(l.segments, &segment{header: h, size: size})
	l.off, l.synced, l.opener = int64(len(page)), int64(len(page)), int64(len(page))-dataStart
	return nil
}

// allocateSpared is allocate if that leaves the reserve.
func (l *Log) allocateSpared(size int64) (File, error) {
	if err := l.spares(size); err != nil {
		return nil, err
	}
	return l.allocate(size)
}

// allocate makes the file called next.
func (l *Log) allocate(size int64) (File, error) {
	f, err := l.fs.Open(nextName, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, fmt.Errorf("make a segment: %w", err)
	}
	if err := f.Allocate(size); err != nil {
		return nil, errors.Join(fmt.Errorf("allocate a segment: %w", err), f.Close(), l.fs.Remove(nextName))
	}
	return f, nil
}

// resume goes on where the last segment ends: in it if the log was closed, else in a new one of another
// incarnation, since numbers that were never confirmed may be given again.
func (l *Log) resume(d *loaded) error {
	last := l.active()
	f, err := l.fs.Open(last.name(), os.O_RDWR)
	if err != nil {
		return err
	}
	l.file, l.id, l.header, l.next = f, last.header.id, last.header, d.next
	l.off, l.synced, l.opener = d.end, 0, d.end-dataStart
	size, keep := l.options.reopened(d.end), d.end
	if d.Clean && !d.turned { // what is behind the end is room that must not be given away
		keep = max(keep, min(last.size, size))
	}
	if err := l.file.Truncate(keep); err != nil {
		return fmt.Errorf("truncate %s: %w", last.name(), err)
	}
	last.size = keep
	if err := l.sync(); err != nil { // also what seems fine: a killed process may have left it in memory
		return err
	}
	if d.Clean && !d.turned {
		l.opener = 2 * sector                                                                    // a guess
		if last.size < size && l.spares(size-last.size) == nil && l.file.Allocate(size) == nil { // else no message fits
			last.size = size
		}
		return l.reopen()
	}
	if !d.turned {
		if err := l.end(l.next, turned, 0); err != nil {
			return err
		}
	}
	last.sealed, last.size, last.last = true, l.off, l.next-1
	if err := l.file.Close(); err != nil {
		return err
	}
	l.file = nil
	h := newHeader(l.options.Kind, l.id, last.header.ordinal+1, l.next, last.header.incarnation+1, l.tick())
	return l.begin(h)
}

// reopen takes back the mark of the end, in its place: the disk may be full. Else a crash could leave a log that looks
// closed, and numbers that were read and lost would be given again in the same incarnation.
func (l *Log) reopen() error {
	l.off -= recordSize(0)
	l.synced = l.off
	if err := l.put(appendRecord(nil, recordState, l.next, l.tick(), nil)); err != nil {
		return err
	}
	return l.sync()
}

// closers closes all, the first first.
type closers []interface{ Close() error }

func (c closers) Close() error {
	var err error
	for _, one := range c {
		err = errors.Join(err, one.Close())
	}
	return err
}
