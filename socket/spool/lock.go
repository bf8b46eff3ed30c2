package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// maxLock bounds what is read of the lock file.
const maxLock = 1 << 10

// Who only looks whether a spool is in use has the lock for microseconds; that must not keep an owner out.
const (
	probes    = 5
	probeTime = 4 * time.Millisecond
)

// holder is what the lock file says, as JSON, for people and for InUseError.
type holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// lock takes the spool for this process, or says who has it. It waits for nobody who means to keep it.
// The file stays, the lock ends with the process that held it.
func (d dirFS) lock() (*namedLock, error) {
	opened, err := d.Open(lockName, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	f := opened.(osFile)
	if err := patientLock(f.File); errors.Is(err, ErrInUse) {
		h := readHolder(f)
		return nil, errors.Join(&InUseError{PID: h.PID, Host: h.Host, Since: h.Since}, f.Close())
	} else if err != nil {
		return nil, errors.Join(fmt.Errorf("lock: %w", err), f.Close())
	}
	guard, err := d.guard()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l := &namedLock{file: f, guard: guard}
	said, err := io.ReadAll(io.NewSectionReader(f, 0, maxLock+1))
	if err != nil || len(said) > maxLock { // not ours: it stays, and the holder has no name
		return l, nil
	}
	host, _ := os.Hostname() // without it the process id must do
	if b, err := json.Marshal(holder{PID: os.Getpid(), Host: host, Since: time.Now().Truncate(time.Second)}); err == nil {
		l.said = said
		f.say(append(b, '\n'))
	}
	return l, nil
}

// borrow is lock for a tool, which leaves the file as it was. On a disk that is mounted read-only it takes the directory alone, which keeps out who has it mounted
// otherwise on this machine; from elsewhere a disk that is only read here is written at one's own risk.
func (d dirFS) borrow() (leave func() error, err error) {
	l, err := d.lock()
	if err == nil {
		return l.leave, nil
	} else if !errors.Is(err, syscall.EROFS) {
		return nil, err
	}
	guard, err := d.guard()
	if err != nil {
		return nil, err
	}
	return guard.Close, nil
}

// say replaces what the lock file says. A full disk that does not take it must not keep a spool from being opened: the holder then has no name.
func (f osFile) say(b []byte) {
	_, _ = f.WriteAt(b, 0)
	_ = f.Truncate(int64(len(b)))
}

// guard takes the directory as well as the lock file in it, which is free to be taken again when somebody has removed it.
func (d dirFS) guard() (io.Closer, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := lockDir(f); err != nil {
		return nil, errors.Join(&InUseError{}, f.Close())
	}
	return heldLock{osFile{f}}, nil
}

// patientLock is tryLock, again for some moments.
func patientLock(f *os.File) (err error) {
	for range probes {
		if err = tryLock(f); !errors.Is(err, ErrInUse) {
			return err
		}
		time.Sleep(probeTime)
	}
	return err
}

// namedLock is the lock of a spool, with the name of its holder.
type namedLock struct {
	file  osFile
	guard io.Closer
	said  []byte // what the file said before, nil where it says that still
}

// Close gives the lock back. The name stays: nobody is to read an older one until the lock is free.
func (n *namedLock) Close() error { return errors.Join(n.guard.Close(), heldLock{n.file}.Close()) }

// leave is Close of a spool that is refused, or only looked at: the file is as it was, as all else of it.
func (n *namedLock) leave() error {
	if n.said != nil {
		n.file.say(n.said)
	}
	return n.Close()
}

// heldLock is a lock file, or a directory that is locked.
type heldLock struct{ osFile }

// Close gives the lock back before the file: a process that is being started may still share it.
func (h heldLock) Close() error { return errors.Join(unlock(h.File), h.osFile.Close()) }

// readHolder returns what the lock file says, zero if that makes no sense.
func readHolder(f File) (h holder) {
	b := make([]byte, maxLock)
	n, _ := f.ReadAt(b, 0)
	if json.Unmarshal(b[:n], &h) != nil {
		return holder{}
	}
	return h
}
