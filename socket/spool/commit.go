package spool

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

// commitMode says how safe what is written must be.
type commitMode uint8

const (
	commitPolicy commitMode = iota // as Options.Policy says
	commitNote                     // in the file: there it survives the end of the process
	commitSync                     // on disk
	commitEnd                      // on disk, and nothing follows
)

// batch is what one commit writes.
type batch struct {
	buf      []byte
	cut      int    // offset in buf where the next segment begins, -1
	cutNext  uint64 // number of the first message behind it
	turn     *spare // that segment
	next     uint64 // number of the message that will follow the batch
	messages int
	callers  int // that wait for one of them in Append
}

// commitLocked writes what is queued: the caller of Append who finds nobody else at it does it for all, or
// the committer. l.mu is held, given up for the writing, and held again.
func (l *Log) commitLocked(mode commitMode) {
	l.busy = true
	l.gatherLocked()
	b := l.takeLocked()
	l.mu.Unlock()
	err := l.write(&b, mode)
	l.mu.Lock()

	l.scratch = recycled(b.buf)
	l.busy = false
	if err != nil && l.failed == nil {
		l.failed = fmt.Errorf("%w: %w", ErrFailed, err)
		close(l.broken)
		l.finishLocked()
		return
	}
	l.batch = max(b.messages, b.callers+l.queued)
	l.counts.appended += uint64(b.messages)
	l.written = b.next - 1
	if l.synced == l.off {
		l.durable = l.written
	}
	if l.options.Policy == Always {
		l.safe.Store(l.durable)
	} else {
		l.safe.Store(l.written)
	}
	if l.visible != l.off {
		l.visible = l.off
		notify(&l.grown)
	}
	notify(&l.current)
	if len(l.buf) > 0 {
		poke(l.kick)
	}
	if l.state.dirty() || l.options.Policy != OS && l.synced < l.off {
		l.soonLocked()
	}
}

// gatherLocked lets callers who were woken by the last commit join this one. Without it the first of them would
// go to the disk alone, and every other sync would carry one message. Those who were behind it are here already: to wait for
// as many as it had would leave two halves apart for good.
func (l *Log) gatherLocked() {
	for before := 0; l.queued > before && l.queued < l.batch; {
		before = l.queued
		l.mu.Unlock()
		runtime.Gosched()
		l.mu.Lock()
	}
}

// takeLocked takes the queue, with the changes of state behind it if they have room.
func (l *Log) takeLocked() batch {
	if l.stuck = false; l.state.dirty() {
		l.addState()
	}
	b := batch{buf: l.buf, cut: l.cut, cutNext: l.cutNext, turn: l.turn, next: l.next, messages: l.queued, callers: l.callers}
	l.buf, l.scratch = l.scratch[:0], nil
	l.cut, l.queued, l.callers, l.taken = -1, 0, 0, l.next-1
	l.current, l.forming = l.forming, l.current
	notify(&l.forming)
	return b
}

// addState appends a record of what changed, unless the segment is turned, or has to be for want of room: the checkpoint of the next one says it all, and what is made or
// removed until it is written. Where there is no other segment it waits in memory.
func (l *Log) addState() {
	if l.cut >= 0 {
		return
	}
	b := l.stateRecord(l.state.appendChanges(nil))
	if l.tail+int64(len(b))+recordHeader > l.limit+l.options.reserved()-lastRoom {
		if l.stuck = l.turn != nil; !l.stuck {
			l.opener = int64(len(firstRecords(nil, 0, 0, l.state.appendAll(nil)))) // a segment may have hardly room for more
			l.stuck = !l.turnLocked(0)
		}
		return
	}
	l.buf = append(l.buf, b...)
	l.tail += int64(len(b))
	l.state.settle()
}

// stateRecord returns a record of changes; twice if a consumer was made or removed: nothing else knows of a name before the next checkpoint, which there is twice, too.
func (l *Log) stateRecord(changes []byte) []byte {
	b := appendRecord(nil, recordState, l.next, l.tick(), changes)
	if len(l.state.changed) > 0 {
		b = append(b, b...)
	}
	return b
}

// write puts a batch into the file, or two files where it turns. The caller has the baton, not l.mu.
func (l *Log) write(b *batch, mode commitMode) error {
	before := b.buf
	if b.cut >= 0 {
		before = b.buf[:b.cut]
	}
	if err := l.put(before); err != nil {
		return err
	}
	if b.cut >= 0 {
		if err := l.turnTo(b.turn, b.cutNext); err != nil {
			return err
		}
		if err := l.put(b.buf[b.cut:]); err != nil {
			return err
		}
	}
	if mode == commitEnd {
		if err := l.noteEnd(b.next); err != nil {
			return err
		}
		return l.end(b.next, nil, l.options.reserved())
	}
	l.mu.Lock()
	l.noted = l.state.epoch
	l.mu.Unlock()
	if mode == commitSync || mode == commitPolicy && l.options.Policy == Always {
		l.writeAhead()
		return l.sync()
	}
	return nil
}

// put writes records behind those of the active segment.
func (l *Log) put(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	l.header.salt.seal(b, l.synced)
	if err := writeAt(l.file, b, l.off); err != nil {
		return fmt.Errorf("write %s: %w", segmentName(l.header.ordinal), err)
	}
	l.off += int64(len(b))
	return nil
}

// sync makes all of the active segment durable. It is not tried again after an error: the kernel may have
// thrown away what it could not write, and would say yes the second time.
func (l *Log) sync() error {
	if l.synced == l.off {
		return nil
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", segmentName(l.header.ordinal), err)
	}
	l.synced = l.off
	l.syncs.Add(1)
	return nil
}

// noteEnd notes how far the log will have been durable, before the mark of the end says that this is known. Where that cannot be written nothing is said.
func (l *Log) noteEnd(next uint64) error {
	if err := l.sync(); err != nil {
		return err
	}
	h := l.header
	if (newest{h.ordinal, h.salt, landmark{next, l.off}}).write(l.fs, true) != nil {
		if err := l.fs.Remove(newestName); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", newestName, err)
		}
	}
	return l.fs.Sync(".")
}

// turned is the payload of the mark at the end of a segment that another one follows.
var turned = []byte("turned")

// end closes the active segment: all of it durable first, then the mark that says so. Of what is allocated behind it room bytes are kept.
func (l *Log) end(next uint64, why []byte, room int64) error {
	if err := l.sync(); err != nil {
		return err
	}
	if err := l.put(appendRecord(nil, recordEnd, next, l.clock(), why)); err != nil {
		return err
	}
	size, err := l.file.Size()
	if err == nil {
		err = l.file.Truncate(min(size, l.off+room))
	}
	if err != nil {
		return fmt.Errorf("truncate %s: %w", segmentName(l.header.ordinal), err)
	}
	return l.sync()
}

// turnTo ends the active segment and goes on in s, which gets its name when all that it begins with is durable.
func (l *Log) turnTo(s *spare, next uint64) error {
	if err := l.end(next, turned, 0); err != nil {
		return err
	}
	l.mu.Lock()
	h := newHeader(l.header.kind, l.id, l.header.ordinal+1, next, l.header.incarnation, l.tick())
	page := l.firstPage(h)
	l.state.settle()
	l.mu.Unlock()
	if err := beginSegment(l.fs, s.file, h, page); err != nil {
		return err
	}
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", segmentName(l.header.ordinal), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.active()
	old.sealed, old.size, old.last, old.ended = true, l.off, next-1, time.Now()
	l.written, l.durable = next-1, next-1 // readers have them from here on, and may acknowledge them
	l.segments = append(l.segments, &segment{header: h, size: s.size})
	l.file, l.header, l.turn, l.ahead = s.file, h, nil, 0
	l.off, l.synced, l.visible = int64(len(page)), int64(len(page)), int64(len(page))
	l.tail += l.off - dataStart - l.opener // it had been guessed
	l.opener = l.off - dataStart
	notify(&l.grown)
	poke(l.keep)
	return nil
}

// firstPage returns header and checkpoint of a segment.
func (l *Log) firstPage(h segmentHeader) []byte { return emptySegment(h, h.base, &l.state) }

// emptySegment returns header and checkpoint of a segment whose first message has the number next.
func emptySegment(h segmentHeader, next uint64, st *state) []byte {
	page := make([]byte, dataStart)
	h.encode(page)
	page = firstRecords(page, next, h.created, st.appendAll(nil))
	h.salt.seal(page[dataStart:], 0)
	return page
}

// beginSegment makes the file called next the newest segment.
func beginSegment(fs FS, f File, h segmentHeader, page []byte) error {
	if err := placeSegment(fs, f, h, page); err != nil {
		return err
	}
	_ = newest{ordinal: h.ordinal}.write(fs, false) // else it says less
	return nil
}

// placeSegment makes the file called next a segment.
func placeSegment(fs FS, f File, h segmentHeader, page []byte) error {
	name := segmentName(h.ordinal)
	if err := flush(f, page, 0); err != nil {
		return fmt.Errorf("begin %s: %w", name, err)
	}
	if err := fs.Rename(nextName, name); err != nil {
		return fmt.Errorf("begin %s: %w", name, err)
	}
	if err := fs.Sync("."); err != nil {
		return fmt.Errorf("begin %s: %w", name, err)
	}
	return nil
}

// recycled returns a written buffer for reuse, unless one large message made it large.
func recycled(b []byte) []byte {
	if cap(b) > maxPending {
		return nil
	}
	return b[:0]
}

// commitLoop is the committer: it writes what nobody waits for.
func (l *Log) commitLoop() {
	defer l.finished.Done()
	state, sync := stoppedTimer(), stoppedTimer()
	defer state.Stop()
	defer sync.Stop()
	stateDue, syncDue := false, false
	for {
		mode := commitPolicy
		select {
		case <-l.stop:
			return
		case <-l.kick:
		case <-l.soon:
			if !stateDue {
				stateDue = true
				state.Reset(stateDelay)
			}
			if !syncDue && l.options.Policy == Interval {
				syncDue = true
				sync.Reset(l.options.Interval)
			}
			continue
		case <-state.C:
			stateDue = false
		case <-sync.C:
			syncDue = false
			mode = commitSync
		}
		l.commitPending(mode)
	}
}

// soonLocked has the committer write what changed in a while. It is told once for all until then: to wake it for each acknowledgement would cost
// senders more than the acknowledgement.
func (l *Log) soonLocked() {
	if !l.expected || l.options.Policy == Interval { // which asks it for a sync as well
		l.expected = true
		poke(l.soon)
	}
}

// commitPending writes what is queued unless somebody is at it, who then sees to what is left.
func (l *Log) commitPending(mode commitMode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expected = false
	if mode == commitSync {
		l.takeBaton()
	}
	if l.busy || l.failed != nil {
		return
	}
	if len(l.buf) > 0 || l.state.dirty() || (mode == commitSync || l.options.Policy == Always) && l.synced < l.off {
		l.commitLocked(mode)
	}
}

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}
