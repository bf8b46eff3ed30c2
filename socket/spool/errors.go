package spool

import (
	"errors"
	"fmt"
	"time"
)

// What callers decide on. Each says what to do; errors.Is finds them in what the package returns.
var (
	// ErrClosed is returned by all calls after Close.
	ErrClosed = errors.New("the spool is closed")
	// ErrFull is returned when quota, reserve or disk are used up and the spool rejects rather than waits, or cannot be made.
	// What is in the spool can be read and acknowledged, which makes room.
	ErrFull = errors.New("the spool is full: acknowledge, purge, raise the quota, or make room on its disk")
	// ErrTooLarge is returned for a message above Options.MaxMessage, or that the quota could never hold. The spool is unchanged.
	ErrTooLarge = errors.New("the message is larger than the spool takes")
	// ErrFailed is returned by all appends after a write or sync has failed once. What the kernel then holds is
	// not known, so nothing is tried again: close the spool and open it, which reads what is really there.
	ErrFailed = errors.New("the spool stopped at a failed write: close it and open it again")
	// ErrVersion is returned for a spool written in a format this version does not know. It is left as it is.
	ErrVersion = errors.New("the spool has a format unknown here: use the version of meshmq that wrote it")
	// ErrKind is returned when a topic is opened as a queue or the like. It is left as it is.
	ErrKind = errors.New("the spool is of another kind: open it as what it was made")
	// ErrInUse is returned when another process, or this one, has the spool open; see InUseError.
	ErrInUse = errors.New("the spool is in use")
	// ErrOwner is returned for a directory or file that belongs to another user, or that others can write to.
	ErrOwner = errors.New("others could change the spool: it must belong to this user, mode 0700, files 0600")
	// ErrNotDirectory is returned when the path of a spool is a file, a symbolic link or the like, leads through a file, or is none.
	ErrNotDirectory = errors.New("not a directory: name one, or one to be made")
	// ErrNotRegular is returned when a file of the spool is a link, a pipe, a directory or the like.
	ErrNotRegular = errors.New("not a plain file: remove it from the spool")
	// ErrForeign is returned when a segment belongs to another spool, and when a directory holds no spool and something in it that has a name which a spool needs. Nothing is changed.
	ErrForeign = errors.New("it is not of this spool: move it away, or give the spool a directory of its own")
	// ErrDamaged is returned when what the spool needs to go on cannot be read. Damage to records does not
	// lead to it: those are gaps, and Recovery.Err is one.
	ErrDamaged = errors.New("the spool is damaged: run meshmq spool verify, then repair")
	// ErrName is returned for names that could be taken for paths, or that nobody could type.
	ErrName = errors.New("not a name: use 1 to 128 letters, digits, '.', '_' and '-', not beginning with '.'")
	// ErrNumber is returned when a number is acknowledged that no message has, or a letter replayed that is not there any more. Nothing is changed.
	ErrNumber = errors.New("no message has this number")
	// ErrNoConsumer is returned for a consumer that was removed or never made.
	ErrNoConsumer = errors.New("no such consumer: make it first")
	// ErrNotSpool is returned by the tools for a directory without segments.
	ErrNotSpool = errors.New("no spool is in this directory")
)

// errRemoved is of a spool that was deleted while it was open. It comes with ErrFailed.
var errRemoved = errors.New("the file was removed from the spool while it was in use")

// errNotFolder is of a file or link in the place of the dead letters, which Repair puts aside.
var errNotFolder = fmt.Errorf("not a folder: %w", ErrDamaged)

// errDeadFolder is the ErrKind of tools that are shown the folder of dead letters: its lock is that of the spool.
var errDeadFolder = fmt.Errorf("these are dead letters: name the spool they are in: %w", ErrKind)

// InUseError says who has a spool open; it is an ErrInUse.
type InUseError struct {
	// PID is the holder's process id on Host, 0 if it is not known.
	PID int
	// Host is the name of the holder's machine.
	Host string
	// Since is when the holder opened the spool.
	Since time.Time
}

// Error names the holder.
func (e *InUseError) Error() string {
	if e.PID == 0 {
		return ErrInUse.Error() + " by a process that has not named itself"
	}
	return fmt.Sprintf("%v by process %d on %s since %s: end it first", ErrInUse, e.PID, e.Host, e.Since.Format(time.RFC3339))
}

// Unwrap returns ErrInUse.
func (e *InUseError) Unwrap() error { return ErrInUse }

// Gap is the error Next returns once for messages that are no longer there. The next call goes on behind them.
type Gap struct {
	// From and To are the first and last number that is missing.
	From, To uint64
	// Damaged is true if they were lost to damage, false if retention or a full spool dropped them.
	Damaged bool
}

// Error says what is missing and why.
func (g *Gap) Error() string {
	why := "dropped by retention or quota"
	if g.Damaged {
		why = "lost to damage"
	}
	return fmt.Sprintf("messages %d to %d were %s", g.From, g.To, why)
}

// checkName refuses what is no plain name; ../ and the like above all.
func checkName(name string) error {
	ok := len(name) >= 1 && len(name) <= 128 && name[0] != '.'
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
	}
	if !ok {
		return fmt.Errorf("%q: %w", name, ErrName)
	}
	return nil
}
