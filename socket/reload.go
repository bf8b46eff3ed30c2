package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

// reloadEvery is how often files are looked at, while there is somebody who asks: soon for a person who changed them, and
// seldom beside the work of a handshake.
const reloadEvery = time.Second

// reloaded is a value that is made from files. It is made anew when they have changed and somebody asks for it; while that fails the
// old one stays in force.
type reloaded[T any] struct {
	state  func() (string, error) // differs when the files do
	load   func() (T, error)
	report func(error) // is told of a failure when it is new; may be nil

	mu      sync.Mutex // guards the fields below
	value   T
	seen    string    // the state of value's files
	failure error     // why value is old
	busy    bool      // somebody looks
	looked  time.Time // at the files
}

// open loads the value for the first time.
func (r *reloaded[T]) open() (err error) {
	if r.seen, err = r.state(); err == nil {
		r.value, err = r.load()
	}
	r.looked = time.Now()
	return err
}

// get returns the value as of now, and why it is old, if it is. One caller at a time looks at the files; the others take what is there.
func (r *reloaded[T]) get(now time.Time) (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy || now.Sub(r.looked) < reloadEvery {
		return r.value, r.failure
	}
	before := r.failure
	r.busy, r.looked = true, now
	r.mu.Unlock()
	seen, err := r.state()
	fresh := r.value
	if err == nil && (seen != r.seen || before != nil) { // only who is busy writes these
		fresh, err = r.load()
	}
	if err != nil && r.report != nil && (before == nil || before.Error() != err.Error()) {
		r.report(err)
	}
	r.mu.Lock()
	if err == nil {
		r.value, r.seen = fresh, seen
	}
	r.failure, r.busy = err, false
	return r.value, err
}

// stateOf returns what changes when one of the files does.
func stateOf(paths ...string) (string, error) {
	var b strings.Builder
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		appendState(&b, info)
	}
	return b.String(), nil
}

func appendState(b *strings.Builder, info fs.FileInfo) {
	fmt.Fprintln(b, info.Name(), info.Size(), info.Mode(), info.ModTime().UnixNano())
}

// openRegular opens a file that is one: to open or read a FIFO, or a device, could keep everybody waiting.
func openRegular(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errors.New("it is no regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, reason(err)
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, nil, reason(err)
	}
	return f, info, nil
}

// checkSecretMode refuses a file with a secret that everybody on this host may read, or write.
func checkSecretMode(path string, mode fs.FileMode) error {
	if runtime.GOOS == "windows" || mode.Perm()&0o007 == 0 { // there the mode says nothing
		return nil
	}
	return fmt.Errorf("%s is open to everybody on this host (mode %04o): chmod 600 %[1]s", path, mode.Perm())
}

// checkGuarded refuses a file or directory that everybody on this host may write to, and so says who comes in.
func checkGuarded(path string, mode fs.FileMode) error {
	if runtime.GOOS == "windows" || mode.Perm()&0o002 == 0 {
		return nil
	}
	return fmt.Errorf("%s may be written by everybody on this host (mode %04o): chmod o-w %[1]s", path, mode.Perm())
}
