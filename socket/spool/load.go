package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// Recovery says what opening found.
type Recovery struct {
	// Clean is true if the log had been closed, or is new.
	Clean bool
	// Torn is how many bytes were cut off the end, from the first bad one on that nothing says was durable, which after Close all is. Where a crash had cut a write short, with Always nobody had
	// been told of what was in it, and with Interval and OS it had not been synced. What was written last before a crash, whole, and has rotted looks the same. TornLetters is
	// the same of the dead letters' log.
	Torn, TornLetters int64
	// Damage lists what cannot be read in the last segment, or of segments as a whole, that of dead letters under "dead/". Sealed segments are read
	// by Verify only.
	Damage []Damage
	// Missing is how many marks of a Window that count could not be read, wherever they were.
	Missing uint64
}

// AcksLost reports whether messages may be delivered again because of the Damage.
func (r Recovery) AcksLost() bool {
	return slices.ContainsFunc(r.Damage, func(d Damage) bool { return d.Acks && path.Dir(d.Segment) != deadName })
}

// Err returns nil if nothing was found damaged, else an ErrDamaged that says what: how many marks are missing, the first part of the Damage, and how many more there are.
func (r Recovery) Err() error {
	var found []string
	if r.Missing > 0 {
		found = append(found, fmt.Sprintf("marks missing: %d", r.Missing))
	}
	if n := len(r.Damage); n > 0 {
		found = append(found, r.Damage[0].String())
		if n > 1 {
			found = append(found, fmt.Sprintf("%d more", n-1))
		}
	}
	if found == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrDamaged, strings.Join(found, "; "))
}

// loaded is what a directory holds, found without changing it.
type loaded struct {
	Recovery
	segments []*segment // the last is not sealed, whatever it says
	state    state
	next     uint64
	end      int64  // where the records of the last segment end
	turned   bool   // the last segment has been ended for another
	gone     uint64 // messages up to this number a queue has let go: all its consumers had acknowledged them
	removed  uint64 // the ordinal of the last segment, where that is missing, else 0
	bridge   *Gap   // what is missing before the first segment, nil if nothing is
	newest   newest
	damaged  spans // messages of the last segment that are not in it; those that all have acknowledged may be among them
	stale    bool  // the file lostName is of no use
	lastTime int64
}

// load reads the headers of all segments and the records of the last, whose length bounds the time it takes.
// With tolerant it also goes on where nothing can be appended because the last header is lost.
func load(fs FS, tolerant bool) (*loaded, error) {
	d := &loaded{state: newState()}
	newest, bad, unread := readNewest(fs) // first: a log in use may turn meanwhile
	d.newest = newest
	ordinals, err := listSegments(fs)
	if err != nil || len(ordinals) == 0 {
		return d, err
	} else if unread != nil {
		return nil, unread
	}
	if newest.ordinal > ordinals[len(ordinals)-1] {
		if !tolerant {
			return nil, fmt.Errorf("%s: %s: %w", segmentName(newest.ordinal), noFile, ErrDamaged)
		}
		d.removed = newest.ordinal
	}
	all := true
	for i, ordinal := range ordinals {
		newest := i == len(ordinals)-1
		err := d.addSegment(fs, ordinal, !newest || tolerant)
		if err != nil && (newest || !tolerant || !errors.Is(err, os.ErrNotExist)) { // a log in use may have let it go
			return nil, err
		}
		all = all && (err == nil || newest)
	}
	if len(d.segments) == 0 {
		return d, fmt.Errorf("no segment can be read: %w", ErrDamaged)
	}
	if first := d.segments[0].header; first.kind.queues() && first.ordinal == ordinals[0] {
		d.gone = first.base - 1
	}
	for i, s := range d.segments[:len(d.segments)-1] {
		s.sealed = true
		s.last = max(s.header.until, d.segments[i+1].header.base-1)
	}
	if d.state, err = d.replay(fs, len(d.segments)-1); err != nil {
		return nil, err
	}
	d.state.damaged = d.damaged.clone()
	d.readLost(fs)
	if d.newest.ordinal > d.segments[len(d.segments)-1].header.ordinal {
		d.lose(d.newest.ordinal, d.next, d.newest.durable.number)
	}
	if all {
		d.missingFirst()
	}
	if bad && d.Clean && !d.turned { // the mark of the end is written when that is on disk
		if _, bad, err = readNewest(fs); bad { // still: it is not being written
			d.Damage = append(d.Damage, Damage{Segment: newestName, Bytes: newestSize, What: "differs from its sum"})
		}
	}
	return d, err
}

// lose notes that a segment is missing, with messages from on, to the one before next if that is known.
func (d *loaded) lose(ordinal, from, next uint64) {
	x := Damage{Segment: segmentName(ordinal), From: from, What: noFile}
	if next > from {
		x.To = next - 1
	}
	for i := range d.Damage {
		if y := &d.Damage[i]; y.Segment == x.Segment && y.What == noHeader { // it is there, and of no use
			if x.To > 0 {
				y.From, y.To = x.From, x.To
			}
			return
		}
	}
	d.Damage = append(d.Damage, x)
}

// missingFirst notes the messages before the first segment that nobody has let go.
func (d *loaded) missingFirst() {
	first := d.segments[0].header
	var wanted []*position
	if first.kind.queues() {
		if wanted = slices.Collect(maps.Values(d.state.positions)); len(wanted) == 0 { // the state is damaged: nobody can say
			return
		}
	}
	gap := d.state.missing(1, first.base-1, wanted...)
	if gap != nil && !gap.Damaged {
		gap = d.state.missing(gap.To+1, first.base-1, wanted...)
	}
	if gap != nil {
		d.bridge = gap
		d.lose(first.ordinal-1, gap.From, gap.To+1)
	}
}

// addLetters adds what opening the dead letters finds. It changes nothing there.
func (r *Recovery) addLetters(fs FS) {
	letters := folder{fs, deadName}
	d, err := look(letters)
	if d == nil {
		d = &loaded{}
	}
	if errors.Is(err, errNotFolder) {
		d.Damage = []Damage{{What: noFolder}}
	} else if err != nil && len(d.Damage) == 0 {
		d.Damage = []Damage{{What: err.Error()}}
	}
	r.TornLetters = d.Torn
	for _, x := range d.Damage {
		r.Damage = append(r.Damage, x.ofLetters())
	}
}

// listSegments returns the ordinals of the segments, in order.
func listSegments(fs FS) ([]uint64, error) {
	names, err := fs.List(".")
	if err != nil {
		return nil, fmt.Errorf("list spool: %w", err)
	}
	var ordinals []uint64
	for _, name := range names {
		if ordinal, ok := parseSegmentName(name); ok {
			ordinals = append(ordinals, ordinal)
		}
	}
	slices.Sort(ordinals)
	return ordinals, nil
}

func (d *loaded) addSegment(fs FS, ordinal uint64, optional bool) error {
	name := segmentName(ordinal)
	f, h, err := openSegment(fs, name)
	if errors.Is(err, ErrDamaged) && optional {
		d.Damage = append(d.Damage, Damage{Segment: name, What: noHeader})
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("size of %s: %w", name, err)
	}
	if h.ordinal != ordinal {
		return fmt.Errorf("%s says it is %s: %w", name, segmentName(h.ordinal), ErrForeign)
	}
	if n := len(d.segments); n > 0 {
		before := d.segments[n-1].header
		if before.id != h.id || before.kind != h.kind {
			return fmt.Errorf("%s: %w", name, ErrForeign)
		}
		if h.base < before.base {
			return fmt.Errorf("%s begins at %d, before %d: %w", name, h.base, before.base, ErrDamaged)
		}
	}
	d.segments = append(d.segments, &segment{header: h, size: size})
	return nil
}

// replay returns the state at the end of segment i. If its checkpoint is lost the segment before it is asked.
func (d *loaded) replay(fs FS, i int) (state, error) {
	s := d.segments[i]
	f, h, err := openSegment(fs, s.name())
	if err != nil {
		return state{}, err
	}
	defer f.Close()
	end := s.size
	if !s.sealed {
		torn, err := d.findEnd(f, h, s.size)
		if err != nil {
			return state{}, err
		}
		end, d.end, d.Torn = torn.end, torn.end, torn.bytes
	}
	hasCheckpoint, err := beginsWithCheckpoint(d.cursor(f, h, end))
	if err != nil {
		return state{}, err
	}
	st := d.newState()
	if !hasCheckpoint && i > 0 {
		if st, err = d.replay(fs, i-1); err != nil {
			return state{}, err
		}
	}
	st.lost = !hasCheckpoint
	found := len(d.Damage)
	if err := d.replayRecords(d.cursor(f, h, end), s, &st); err != nil {
		return state{}, err
	}
	if !hasCheckpoint {
		d.lackCheckpoint(s, found)
	}
	return st, nil
}

// cursor returns one that knows how far the segment was durable, if that is known.
func (d *loaded) cursor(f File, h segmentHeader, limit int64) *cursor {
	c := newCursor(f, h, limit)
	if h.salt == d.newest.salt {
		c.known = d.newest.durable
	}
	return c
}

// lackCheckpoint notes that a segment has none, with the bytes where it should be if those are found to be damage.
func (d *loaded) lackCheckpoint(s *segment, found int) {
	if len(d.Damage) == found || d.Damage[found].Offset != dataStart {
		d.Damage = slices.Insert(d.Damage, found, Damage{Segment: s.name(), Offset: min(dataStart, s.size)})
	}
	x := &d.Damage[found]
	x.Acks = true
	if x.What = noCheckpoint; s.size <= dataStart {
		x.What = endsAt(s.size)
	}
	if !s.sealed && s.header.salt != d.newest.salt && d.next == max(s.header.base, s.header.until+1) { // nobody knows whether there were any
		x.From = d.next
	}
}

// newState returns a state to read into.
func (d *loaded) newState() state {
	st := newState()
	st.gone = d.gone
	return st
}

func beginsWithCheckpoint(c *cursor) (bool, error) {
	for {
		r, _, err := c.next()
		switch {
		case err == nil && r.kind == recordCheckpoint:
			return true, nil
		case errors.As(err, new(*badBytes)):
		case err == nil || errors.Is(err, io.EOF):
			return false, nil
		default:
			return false, err
		}
	}
}

// replayRecords applies what a segment says of the state, and for the last segment notes where numbers go on.
func (d *loaded) replayRecords(c *cursor, s *segment, st *state) error {
	fresh, next := false, s.header.base
	for {
		r, at, err := c.next()
		var bad *badBytes
		switch {
		case errors.As(err, &bad):
			damage := damageOf(s, c, bad)
			if st.lost = st.lost || damage.Acks; !s.sealed {
				d.Damage = append(d.Damage, damage)
				d.Clean, d.turned = false, false
			}
			continue
		case errors.Is(err, io.EOF):
			if !s.sealed {
				d.next = max(c.expect, c.known.number, s.header.until+1) // those left out are not given again
				d.damaged.add(next, d.next-1)
			}
			return nil
		case err != nil:
			return err
		case r.kind == recordCheckpoint && !fresh:
			*st, fresh = d.newState(), true
			fallthrough
		case r.kind == recordState:
			if err := st.apply(r.payload); err != nil {
				d.Damage = append(d.Damage, Damage{Segment: s.name(), Offset: at, Bytes: recordSize(len(r.payload)), Acks: true, What: err.Error()})
			}
		}
		if !s.sealed {
			d.lastTime = max(d.lastTime, r.time)
			d.Clean = r.kind == recordEnd
			d.turned = d.Clean && bytes.Equal(r.payload, turned)
			if r.kind.isMessage() {
				d.damaged.add(next, r.number-1)
				next = r.number + 1
			}
		}
	}
}

// tear is where a segment that was being written ends.
type tear struct {
	end   int64 // of the last record to keep
	bytes int64 // behind it that are not zero
}

// findEnd tells damage from a write that was cut short. Each record says up to where its segment was durable when
// it was written, and the file newestName does: what is bad below that was good once, and is damage. Of the first bad byte at or above it, and of what lies
// behind, nobody can say whether it ever was good.
func (d *loaded) findEnd(f File, h segmentHeader, size int64) (tear, error) {
	c := d.cursor(f, h, size)
	synced := max(dataStart, c.known.off)
	end := synced
	var bad []badBytes
	closed := false
	for {
		r, _, err := c.next()
		var b *badBytes
		switch {
		case err == nil:
			synced, end = max(synced, int64(r.synced)), max(end, c.off)
			closed = r.kind == recordEnd
			if r.kind == recordCheckpoint { // a segment has its name when they are durable
				synced = max(synced, c.off)
			}
			continue
		case errors.As(err, &b):
			bad = append(bad, *b)
			continue
		case !errors.Is(err, io.EOF):
			return tear{}, err
		}
		break
	}
	last := end
	if n := len(bad); n > 0 {
		last = max(last, bad[n-1].to)
	}
	for _, b := range bad {
		if b.from >= synced && !(closed && b.from >= end) { // behind the mark of the end nothing was written
			return tear{end: b.from, bytes: last - b.from}, nil
		}
	}
	return tear{end: end}, nil
}
