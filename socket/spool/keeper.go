package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// smallestSpare says how much smaller than others a segment may be where the disk has no room for more. One that is smaller still has room for
// acknowledgements, and is made where they have none, but for few messages.
const smallestSpare = 8

// Why there is no room; callers see ErrFull.
var (
	errQuota   = errors.New("the quota is used up")
	errReserve = errors.New("the disk has only its reserve left")
)

// keepLoop is the keeper: it lets segments go and allocates the next one.
func (l *Log) keepLoop() {
	defer l.finished.Done()
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-l.keep:
		case <-tick.C:
			l.dropped = 0
			l.shrink()
		}
		l.release()
		l.rewriteOne()
		l.prepare()
		l.mu.Lock()
		notify(&l.tended)
		l.mu.Unlock()
	}
}

// prepare allocates the segment to come, so that a full disk is known before a message is taken.
func (l *Log) prepare() {
	l.mu.Lock()
	if l.errLocked() != nil || l.turn != nil || l.spare != nil && l.spare.size >= l.want {
		l.mu.Unlock()
		return
	}
	s, size := l.spare, max(l.want, l.options.SegmentSize)
	least := max(l.want, minSegment)
	if !l.stuck {
		least = max(least, l.options.SegmentSize/smallestSpare)
	}
	l.spare = nil
	l.mu.Unlock()

	var err error
	for again := true; again; {
		if err = l.room(size); err == nil {
			s, err = l.grow(s, size)
		}
		enough := l.dropped >= size && !errors.Is(err, errQuota) // what readers have open frees nothing yet
		again = l.options.Full == DropOldest && usedUp(err) && !enough && l.dropOldest()
		if !again && usedUp(err) && !errors.Is(err, errQuota) && size > least {
			again, size = true, max(size/2, least)
		}
	}
	if err == nil {
		l.dropped = 0
	} else if usedUp(err) && !errors.Is(err, errQuota) {
		err = fmt.Errorf("a segment takes %d bytes at least where SegmentSize is %d, which may be set to less: %w", least, l.options.SegmentSize, err)
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	changed := s != nil || l.full == nil // the one there was is there again: it may be large enough for who did not see it meanwhile
	l.spare, l.full = s, err
	if changed {
		notify(&l.roomy)
	}
}

// room returns why a spare of size bytes may not be.
func (l *Log) room(size int64) error {
	l.mu.Lock()
	used := size
	for _, s := range l.segments {
		used += s.size
	}
	l.mu.Unlock()
	if l.options.Quota > 0 && used > l.options.Quota {
		return errQuota
	}
	return l.spares(size)
}

// spares returns why the disk may not give size bytes more.
func (l *Log) spares(size int64) error {
	fs, ok := l.fs.(freer)
	if !ok || l.options.Reserve == 0 {
		return nil
	}
	if free, err := fs.Free(); err != nil {
		return err
	} else if free < uint64(l.options.Reserve)+uint64(size) {
		return errReserve
	}
	return nil
}

// usedUp reports whether an error says that there is no room, rather than that the disk is broken.
func usedUp(err error) bool {
	return errors.Is(err, errQuota) || errors.Is(err, errReserve) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// grow makes the spare, or makes it larger. After an error it returns the one there was.
func (l *Log) grow(s *spare, size int64) (*spare, error) {
	if s != nil {
		if err := s.file.Allocate(size); err != nil {
			return s, fmt.Errorf("allocate a segment: %w", err)
		}
		return &spare{file: s.file, size: size}, nil
	}
	f, err := l.allocate(size)
	if err != nil {
		return nil, err
	}
	return &spare{file: f, size: size}, nil
}

// release lets go of the segments that nobody needs.
func (l *Log) release() {
	l.mu.Lock()
	var victims []*segment
	if l.options.Kind.queues() {
		victims = l.acknowledgedLocked()
	} else {
		victims = l.expiredLocked()
	}
	l.mu.Unlock()
	if len(victims) > 0 {
		l.drop(victims)
	}
}

// shrink goes on in a segment of the usual size when a queue has nothing left that needs the larger one it is in.
func (l *Log) shrink() {
	l.mu.Lock()
	defer l.mu.Unlock()
	large := func() bool { return l.options.Kind.queues() && l.active().size > l.options.SegmentSize }
	if !large() {
		return
	}
	l.takeBaton()
	if !large() {
		return
	}
	for _, p := range l.state.positions {
		if p.acked.floor < l.next-1 {
			return
		}
	}
	if l.errLocked() == nil && l.turn == nil && l.turnLocked(0) {
		l.commitLocked(commitPolicy)
	}
}

// acknowledgedLocked returns the sealed segments of which all consumers have acknowledged everything.
func (l *Log) acknowledgedLocked() (victims []*segment) {
	for _, s := range l.segments {
		if s.sealed && l.liveLocked(s) == 0 {
			victims = append(victims, s)
		}
	}
	return victims
}

// liveLocked returns how many messages of a sealed segment are not acknowledged, by the consumer that lacks most.
func (l *Log) liveLocked(s *segment) uint64 {
	all, live := s.last-s.header.base+1, uint64(0)
	for _, p := range l.state.positions {
		live = max(live, all-p.acked.count(s.header.base, s.last))
	}
	return live
}

// expiredLocked returns the oldest sealed segments, as many as retention does not want.
func (l *Log) expiredLocked() (victims []*segment) {
	r, bytes := l.options.Retention, int64(0)
	for _, s := range l.segments {
		bytes += s.size
	}
	for _, s := range l.segments {
		if !s.sealed {
			break
		}
		switch {
		case s.last < s.header.base: // empty
		case s.last <= l.trimmed:
		case r.Age > 0 && time.Since(s.ended) > r.Age:
		case r.Bytes > 0 && bytes > r.Bytes:
		case r.Count > 0 && l.written >= s.last+r.Count:
		default:
			return victims
		}
		if s.last >= s.header.base {
			l.state.dropped = max(l.state.dropped, s.last)
		}
		bytes -= s.size
		victims = append(victims, s)
	}
	return victims
}

// countDropped counts messages that are gone and that nobody had acknowledged.
func (l *Log) countDropped(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > 0 {
		l.counts.dropped += n
		notify(&l.lapsed)
	}
}

// dropOldest lets the oldest sealed segment go to make room. It reports whether there was one.
func (l *Log) dropOldest() bool {
	l.mu.Lock()
	s := l.segments[0]
	if !s.sealed {
		l.mu.Unlock()
		return false
	}
	l.state.dropped = max(l.state.dropped, s.last)
	l.mu.Unlock()
	l.dropped += s.size
	return l.drop([]*segment{s})
}

// drop removes segments, after what says that they may go is on disk: else a crash would make their messages
// look lost.
func (l *Log) drop(victims []*segment) bool {
	if l.secure(victims) != nil {
		return false
	}
	removed := false
	for _, s := range victims {
		lost := l.forget(s) // first: a reader must not look for a file that is gone
		if err := l.fs.Remove(s.name()); err != nil && !errors.Is(err, os.ErrNotExist) {
			l.recall(s)
			continue
		}
		l.countDropped(lost)
		removed = true
	}
	return l.fs.Sync(".") == nil && removed
}

// secure makes durable what of these segments may go, where there is little room that alone.
func (l *Log) secure(victims []*segment) error {
	err := l.flush(context.Background())
	if errors.Is(err, ErrFull) {
		err = l.confirm(victims)
	}
	return err
}

// confirm makes durable what of these segments may go, and nothing else, in the last of the room, or a little more if the disk has that.
func (l *Log) confirm(victims []*segment) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.takeBaton()
	if err := l.errLocked(); err != nil {
		return err
	}
	var gone spans
	for _, s := range victims {
		if l.options.Kind.queues() && s.last > l.state.dropped { // else it is enough to know what was dropped
			l.addGoneLocked(&gone, s)
		}
	}
	record := func() []byte { return l.stateRecord(l.state.appendGone(nil, &gone)) }
	end := max(l.tail, l.limit) + int64(len(record())) + recordHeader // messages may come meanwhile
	l.busy = true
	l.mu.Unlock()
	err := l.file.Allocate(end)
	l.mu.Lock()
	l.busy = false
	b := record()
	switch {
	case l.cut >= 0: // the next segment will begin with all of it
		err = nil
	case err == nil && l.tail+int64(len(b))+recordHeader > end: // names came meanwhile
		err = ErrFull
	case err == nil:
		l.buf = append(l.buf, b...)
		l.tail += int64(len(b))
		l.state.settleNames()
	}
	l.commitLocked(commitSync) // which others have waited for, too
	return errors.Join(err, l.failed)
}

// addGoneLocked adds the messages of a sealed segment that all consumers have acknowledged.
func (l *Log) addGoneLocked(gone *spans, s *segment) {
	var all spans
	all.add(s.header.base, s.last)
	for _, p := range l.state.positions {
		all.intersect(&p.acked)
	}
	for _, r := range all.all() {
		gone.add(r.lo, r.hi)
	}
}

// forget takes a segment out of the list, and returns how many messages go with it, of a queue those that are not acknowledged. Readers that have it open read it
// to its end.
func (l *Log) forget(s *segment) (lost uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = slices.DeleteFunc(l.segments, func(o *segment) bool { return o == s })
	if l.options.Kind.queues() {
		return l.liveLocked(s)
	}
	return s.last - s.header.base + 1
}

// recall takes a segment back into the list: it could not be removed.
func (l *Log) recall(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, _ := slices.BinarySearchFunc(l.segments, s.header.ordinal, func(o *segment, n uint64) int { return cmp.Compare(o.header.ordinal, n) })
	l.segments = slices.Insert(l.segments, at, s)
}
