package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Log is an open spool. All methods may be called from many goroutines.
type Log struct {
	fs       FS
	clock    func() int64 // Unix nanoseconds
	options  Options
	id       ID
	lock     io.Closer // nil with OpenFS
	recovery Recovery
	view     bool // of a log that another may write: see View

	overwrites bool // fs is an overwriter that does

	mu       sync.Mutex // guards the fields down to the next group
	segments []*segment // in order; the last is active
	state    state
	next     uint64 // number of the next message
	written  uint64 // number of the last message the operating system has
	durable  uint64 // number of the last message known to be on disk
	visible  int64  // bytes of the active segment that readers may see
	lastTime int64  // of the last message: times never go back

	buf     []byte        // records to be written, sealed by who writes them
	cut     int           // offset in buf where a new segment begins, -1 if none does
	cutNext uint64        // number of the first message behind cut
	tail    int64         // offset in its segment where the next record will lie
	limit   int64         // offset in that segment behind which no message may end
	forming chan struct{} // closed when buf has been written; nil while nobody waits for that
	current chan struct{} // the same for what is being written
	grown   chan struct{} // closed when readers may see more; nil while none waits
	roomy   chan struct{} // closed when spare or full changes; nil while nobody waits
	tended  chan struct{} // closed when the keeper has been round; nil while nobody waits
	lapsed  chan struct{} // closed when messages went that were not acknowledged; nil while nobody waits
	queued  int           // messages in buf
	taken   uint64        // number of the last message that was taken to be written
	callers int           // of Append, whose messages are in buf
	batch   int           // messages that the next batch may well have

	spare    *spare // the segment to come, nil while there is none
	turn     *spare // the spare that cut, or a batch being written, will turn to
	opener   int64  // bytes of the records the active segment began with
	trimmed  uint64 // messages up to it are to go, whatever retention wants
	want     int64  // bytes that the spare must have for a message that waits
	full     error  // why there is no spare
	stuck    bool   // acknowledgements found no room on disk
	noted    uint64 // the state.epoch up to which all changes are in a file
	expected bool   // the committer has been told of what may wait a little
	failed   error  // sticky: what stopped the log
	closed   bool
	busy     bool // the baton: whoever set it writes
	counts   counts

	// Of who has the baton.
	file    File  // the active segment
	off     int64 // its end
	synced  int64 // up to where it is durable
	ahead   int64 // up to where it was written, zeros included
	header  segmentHeader
	scratch []byte // the buffer that is not buf

	dropped int64 // of the keeper: bytes dropped since there was room, or it looked of itself

	dead   *Dead      // guarded by mu
	deadMu sync.Mutex // one opens it; taken before mu

	kick     chan struct{} // wakes the committer
	soon     chan struct{} // tells it that something may wait a little
	keep     chan struct{} // wakes the keeper
	stop     chan struct{}
	broken   chan struct{} // closed when failed is set
	finished sync.WaitGroup
	syncs    atomic.Uint64
	safe     atomic.Uint64 // number of the last message that is as safe as the policy says
}

// spare is an allocated file that has no header yet.
type spare struct {
	file File
	size int64
}

type counts struct {
	appended, dropped uint64
}

// ID returns the id drawn when the spool was made.
func (l *Log) ID() ID { return l.id }

// Kind returns what the log was made as.
func (l *Log) Kind() Kind { return l.options.Kind }

// Incarnation returns that of messages appended now: see Record.
func (l *Log) Incarnation() uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.active().header.incarnation
}

// Recovery says what was found at opening.
func (l *Log) Recovery() Recovery { return l.recovery }

// Next returns the number that the next message will get. Numbers begin at 1.
func (l *Log) Next() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// First returns the number of the oldest message that may still be there; Next() if there is none.
func (l *Log) First() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.firstLocked()
}

func (l *Log) firstLocked() uint64 { return firstOf(l.segments, l.next) }

func firstOf(segments []*segment, next uint64) uint64 {
	for _, s := range segments {
		if !s.sealed || s.last >= s.header.base {
			return s.header.base
		}
	}
	return next
}

// Broken returns a channel that is closed when the log has failed, as Stats.Failed says then.
func (l *Log) Broken() <-chan struct{} { return l.broken }

// errLocked returns why nothing can be appended, nil if it can.
func (l *Log) errLocked() error {
	if l.closed {
		return ErrClosed
	}
	return l.failed
}

func (l *Log) active() *segment { return l.segments[len(l.segments)-1] }

// notify closes a channel that may be waited for.
func notify(ch *chan struct{}) {
	if *ch != nil {
		close(*ch)
		*ch = nil
	}
}

// awaited returns the channel in place, made if need be.
func awaited(ch *chan struct{}) chan struct{} {
	if *ch == nil {
		*ch = make(chan struct{})
	}
	return *ch
}

// poke wakes a goroutine of ours without waiting for it.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// sleep gives up the lock until ch is closed or ctx ends.
func (l *Log) sleep(ctx context.Context, ch chan struct{}) error {
	l.mu.Unlock()
	defer l.mu.Lock()
	return receive(ctx, ch)
}

// Close writes what is queued, acknowledgements too, marks the end, and lets the spool go. It returns when
// all of its goroutines have ended and all is durable, or says why it is not: ErrFull as Flush does. Further calls return nil.
func (l *Log) Close() error {
	_ = l.Flush(context.Background()) // while the keeper can make room for it
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	notify(&l.roomy)
	dead := l.dead
	l.mu.Unlock()
	close(l.stop)
	l.finished.Wait()

	l.mu.Lock()
	l.takeBaton()
	if l.failed == nil {
		l.commitLocked(commitEnd)
	}
	err := l.failed
	if err == nil && l.stuck {
		err = fmt.Errorf("acknowledgements: %w", ErrFull)
	}
	if l.failed != nil && l.options.Policy == Always {
		// Those who sent what is not durable were told so. The kernel may have it in memory only and call it written.
		_ = l.file.Truncate(l.synced)
	}
	l.failed = errors.Join(l.failed, ErrClosed)
	l.busy = true // for good
	l.finishLocked()
	spares := []*spare{l.spare, l.turn} // the second after a failure
	l.spare, l.turn = nil, nil
	l.mu.Unlock()

	for _, s := range spares {
		if s != nil {
			err = errors.Join(err, s.file.Close())
			_ = l.fs.Remove(nextName) // the next opening does it otherwise
		}
	}
	err = errors.Join(err, l.file.Close())
	if dead != nil {
		err = errors.Join(err, dead.log.Close())
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}

// takeBaton waits until nobody writes. l.mu is held, and so is the baton in effect as long as it stays so.
func (l *Log) takeBaton() {
	for l.busy {
		_ = l.sleep(context.Background(), awaited(&l.current))
	}
}

// finishLocked wakes all who wait, to look again.
func (l *Log) finishLocked() {
	notify(&l.current)
	notify(&l.forming)
	notify(&l.grown)
	notify(&l.roomy)
}

// tick returns the time for what is appended now: times never go back within a log, whatever clocks do.
func (l *Log) tick() int64 {
	l.lastTime = max(l.lastTime, l.clock())
	return l.lastTime
}

func now() int64 { return time.Now().UnixNano() }
