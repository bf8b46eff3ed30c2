package spool

import (
	"maps"
	"os"
	"slices"
	"time"
)

// Stats is what a spool holds and has done.
type Stats struct {
	// ID and Kind are the spool's; Incarnation counts openings after a crash.
	ID          ID
	Kind        Kind
	Incarnation uint32
	// First and Next are the numbers of the oldest message that may be there and of the one to come.
	First, Next uint64
	// Bytes is what the spool takes on disk, allocated space included.
	Bytes int64
	// Segments lists the files.
	Segments []SegmentInfo
	// Consumers lists who has acknowledged what; that of Queue has no name.
	Consumers []ConsumerInfo
	// Recovery is what was found at opening; that of Inspect what opening would find now, where a write that is under way looks torn.
	Recovery Recovery
	// Holder is who has the spool open, nil if nobody has. Only Inspect tells.
	Holder *InUseError
	// Quarantined names the files that Repair has put aside. Only Inspect tells.
	Quarantined []string

	// Appended, Syncs and Dropped count since the spool was opened; Dropped are messages let go by retention, or by
	// DropOldest before they were acknowledged. Inspect does not know them.
	Appended, Syncs, Dropped uint64
	// Full says why there is no room, nil while there is.
	Full error
	// Failed is what stopped the log, nil while it works.
	Failed error
}

// SegmentInfo is one file.
type SegmentInfo struct {
	// Name is that of the file, Bytes its size.
	Name  string
	Bytes int64
	// From and To are the numbers of the messages it may hold; To is From-1 if there are none.
	From, To uint64
	// Created is when it was begun.
	Created time.Time
}

// ConsumerInfo is one consumer's position.
type ConsumerInfo struct {
	// Name is empty for the one that a Queue has.
	Name string
	// Floor is the number up to which all messages are acknowledged. Of those that are not, Pending are there, and Gone are not any more, as far as that is known: see
	// Consumer.Pending.
	Floor, Pending, Gone uint64
	// Failed is how many of those that are there have failed at least once.
	Failed int
}

// Stats returns the state of the log at this moment.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := statsOf(l.segments, &l.state, l.next)
	for _, p := range []*spare{l.spare, l.turn} {
		if p != nil {
			s.Bytes += p.size
		}
	}
	s.Appended, s.Dropped, s.Syncs = l.counts.appended, l.counts.dropped, l.syncs.Load()
	s.Full, s.Failed, s.Recovery = l.full, l.failed, l.recovery
	return s
}

func statsOf(segments []*segment, st *state, next uint64) Stats {
	last := segments[len(segments)-1].header
	s := Stats{ID: last.id, Kind: last.kind, Incarnation: last.incarnation, First: firstOf(segments, next), Next: next}
	for _, g := range segments {
		to := g.last
		if !g.sealed {
			to = next - 1
		}
		s.Bytes += g.size
		s.Segments = append(s.Segments, SegmentInfo{
			Name: g.name(), Bytes: g.size, From: g.header.base, To: to, Created: time.Unix(0, g.header.created),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(st.positions)) {
		p := st.positions[name]
		there := st.there(p, s.First, next-1)
		s.Consumers = append(s.Consumers, ConsumerInfo{
			Name: name, Floor: p.acked.floor, Pending: there, Gone: p.lacks(1, next-1) - there, Failed: st.failures(p, s.First),
		})
	}
	return s
}

// Inspect returns what the spool in dir holds, as far as it is on disk. It changes nothing and may be used while
// another process has the spool open.
func Inspect(dir string) (Stats, error) {
	v, err := OpenView(dir)
	if err != nil {
		return Stats{}, err
	}
	return v.Stats(), v.Close()
}

// holder returns who has the lock, nil if nobody has.
func (d dirFS) holder() *InUseError {
	f, err := d.Open(lockName, os.O_RDWR)
	if err != nil {
		return nil
	}
	defer f.Close()
	if probeLock(f.(osFile).File) == nil {
		_ = unlock(f.(osFile).File)
		return nil
	}
	h := readHolder(f)
	return &InUseError{PID: h.PID, Host: h.Host, Since: h.Since}
}
