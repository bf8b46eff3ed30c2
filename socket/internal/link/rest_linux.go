package link

import (
	"cmp"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// rests are the pumps of the process that rest, in the order in which they are to end it, and a clock of the system's that ends it.
var rests struct {
	mu      sync.Mutex // guards the fields below
	line    []rest
	serving bool // a goroutine waits for the clock
	none    bool // the system gives us no clock
	fd      int  // the clock's
	file    *os.File
	clock   syscall.RawConn // file's
}

type rest struct {
	o      *Out
	number uint64
	end    int64 // by the clock, in nanoseconds
}

// endRestInTime has the clock end a rest that begins now. It reports whether there is one, which is for connections of the system's: those of package testing/synctest have a time of
// their own.
func endRestInTime(o *Out, number uint64, pause time.Duration) bool {
	try := o.conn.try
	if s, ok := try.(*sealed); ok {
		try = s.try
	}
	if _, ok := try.(*descriptor); !ok {
		return false
	}
	rests.mu.Lock()
	defer rests.mu.Unlock()
	if rests.file == nil && !rests.none {
		openClockLocked()
	}
	if rests.none {
		return false
	}
	r := rest{o, number, clockNow() + int64(pause)}
	at, _ := slices.BinarySearchFunc(rests.line, r, func(a, b rest) int { return cmp.Compare(a.end, b.end) })
	rests.line = slices.Insert(rests.line, at, r)
	switch {
	case !rests.serving:
		rests.serving = true
		go endRests()
	case at == 0:
		setClock(pause)
	}
	return true
}

func openClockLocked() {
	rests.none = true
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return
	}
	file := os.NewFile(uintptr(fd), "timer")
	clock, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return
	}
	rests.fd, rests.file, rests.clock, rests.none = fd, file, clock, false
}

// endRests ends one rest after the other while there are any.
func endRests() {
	for {
		rests.mu.Lock()
		if len(rests.line) == 0 {
			rests.line, rests.serving = nil, false
			rests.mu.Unlock()
			return
		}
		r := rests.line[0]
		if left := r.end - clockNow(); left > 0 && setClock(time.Duration(left)) {
			rests.mu.Unlock()
			awaitClock()
			continue
		}
		rests.line = slices.Delete(rests.line, 0, 1)
		rests.mu.Unlock()
		r.o.endRest(r.number)
	}
}

// clockNow is the time that the clock goes by.
func clockNow() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail for this clock
	return now.Nano()
}

func setClock(d time.Duration) bool {
	when := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	return unix.TimerfdSettime(rests.fd, 0, &when, nil) == nil
}

// awaitClock waits in the runtime's poller for the clock to strike: that wakes a process at once.
func awaitClock() {
	var strokes [8]byte
	_ = rests.clock.Read(func(fd uintptr) bool {
		for {
			if _, err := unix.Read(int(fd), strokes[:]); err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
}
