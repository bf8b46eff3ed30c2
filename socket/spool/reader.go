package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"os"
	"slices"
	"sort"
	"sync/atomic"
	"time"
)

// Record is a message read from a log.
type Record struct {
	// Number is its place in the log: each message has the number of the one before it plus 1.
	Number uint64
	// Origin is the number that it had before it was a dead letter, if it was replayed from there; else 0.
	Origin uint64
	// Incarnation counts how often the log was opened after a crash when the message was written. Numbers that were
	// never confirmed are given again, so (ID, Incarnation, Number) names a message, (ID, Number) may not. With an Origin
	// it is that of then, and (ID, Incarnation, Origin) names the message.
	Incarnation uint32
	// Time is when it was appended. It never goes back within a log.
	Time time.Time
	// Attempts is how many deliveries have failed, as the consumer counted whose reader it is; 0 from other readers.
	Attempts int
	// Frames are the message. They are valid until the next call of the reader; Clone keeps them.
	Frames [][]byte
}

// Clone returns a copy that shares no memory with the reader.
func (r Record) Clone() Record {
	frames := make([][]byte, len(r.Frames))
	for i, f := range r.Frames {
		frames[i] = append([]byte{}, f...)
	}
	r.Frames = frames
	return r
}

// Start is where a reader or a new consumer begins.
type Start struct {
	end    bool
	number uint64
	since  int64
}

// Beginning is the oldest message that is there.
func Beginning() Start { return Start{} }

// End is the next message to come.
func End() Start { return Start{end: true} }

// At is message n. If it is gone the reader says so by a Gap; if it is yet to come the reader waits.
func At(n uint64) Start { return Start{number: max(n, 1)} }

// Since is the first message that was appended at t or later. If messages are gone of which some may have been, the reader says so by a Gap.
func Since(t time.Time) Start {
	first, last := time.Unix(0, 1), time.Unix(0, math.MaxInt64) // beyond them UnixNano is anything
	switch {
	case t.Before(first):
		t = first
	case t.After(last):
		t = last
	}
	return Start{since: t.UnixNano()}
}

// Place takes a Start apart: the end, or a number above 0, or a time that is not zero; nothing of that is the beginning.
func (s Start) Place() (end bool, number uint64, since time.Time) {
	if s.since != 0 {
		since = time.Unix(0, s.since)
	}
	return s.end, s.number, since
}

// Reader reads a log in order. It is for one goroutine at a time; any number of readers may read one log, and
// none of them slows appends down but by what it takes of processor and disk.
type Reader struct {
	l      *Log
	number uint64 // of the next message
	since  int64  // older ones are passed over; 0 once one was not
	seg    *segment
	header segmentHeader
	file   File
	c      *cursor // nil while no segment is open
	skip   *Consumer
	top    *atomic.Uint64 // with skip: the highest number that it has acknowledged or failed
	mark   int64          // the offset from which on a landmark is noted
	frames [][]byte
	buf    []byte // kept from one segment to the next
}

// Reader returns a reader that begins at start. Close it.
func (l *Log) Reader(start Start) *Reader {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &Reader{l: l, number: l.startLocked(start), since: start.since}
}

// startLocked returns the number a start stands for; with a time, one that is not behind it.
func (l *Log) startLocked(start Start) uint64 {
	switch {
	case start.end:
		return l.next
	case start.number > 0:
		return start.number
	case start.since != 0:
		// Times never go back: the segment before the first that was made then or later holds the place, or held it.
		i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].header.created >= start.since })
		if i == 0 {
			return 1
		}
		return l.segments[i-1].header.base
	}
	return l.firstLocked()
}

// Next returns the next message. It waits for one that is as safe as the policy says. A *Gap says which messages
// are missing at this place, once; the next call goes on behind them. Other errors: that of ctx, ErrClosed, those
// of the disk.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	for {
		rec, err := r.TryNext()
		if !errors.Is(err, io.EOF) {
			return rec, err
		}
		if err := r.wait(ctx); err != nil {
			return Record{}, err
		}
	}
}

// TryNext is Next without waiting: at the end of the log it returns io.EOF.
func (r *Reader) TryNext() (Record, error) {
	for {
		if r.c == nil {
			if err := r.open(); err != nil {
				return Record{}, err
			}
		}
		rec, at, err := r.c.next()
		if err == nil && at >= r.mark {
			r.note(rec.number, at)
		}
		switch {
		case err == nil && (rec.number < r.number || r.since != 0 && !rec.kind.isMessage()):
			continue
		case err == nil:
		case errors.As(err, new(*badBytes)):
			continue // what is missing shows at the next record, or at the segment's end
		case errors.Is(err, io.EOF):
			if err := r.ended(); err != nil {
				return Record{}, err
			}
			continue
		default:
			return Record{}, fmt.Errorf("read %s: %w", segmentName(r.header.ordinal), err)
		}
		if gap := r.pass(rec.number, rec.time); gap != nil {
			r.c.off, r.c.expect = at, rec.number
			return Record{}, gap
		}
		if !rec.kind.isMessage() {
			continue
		}
		r.number = rec.number + 1
		if rec.time < r.since {
			continue
		}
		attempts, wanted := r.standing(rec.number)
		if !wanted {
			continue
		}
		r.since = 0
		m := Record{Number: rec.number, Incarnation: r.header.incarnation, Time: time.Unix(0, rec.time), Attempts: attempts}
		if err := m.parse(r.frames[:0], rec); err != nil {
			return Record{}, fmt.Errorf("message %d in %s: %w", rec.number, segmentName(r.header.ordinal), err)
		}
		r.frames = m.Frames
		return m, nil
	}
}

// standing returns how often message n has failed, and whether it is wanted at all. Those behind all that the consumer knows of
// cost no lock.
func (r *Reader) standing(n uint64) (attempts int, wanted bool) {
	if r.skip == nil || n > r.top.Load() {
		return 0, true
	}
	return r.skip.standing(n)
}

// Records iterates over what Next returns, gaps included; it ends after any other error.
func (r *Reader) Records(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for {
			rec, err := r.Next(ctx)
			if !yield(rec, err) || err != nil && !errors.As(err, new(*Gap)) {
				return
			}
		}
	}
}

// Number returns the number that Next goes on at.
func (r *Reader) Number() uint64 { return r.number }

// Close lets the reader's file go. The reader may be used again.
func (r *Reader) Close() error {
	if r.c == nil {
		return nil
	}
	r.buf, r.c, r.seg = r.c.buf, nil, nil
	return r.file.Close()
}

// open opens the segment that holds the next message, or would.
func (r *Reader) open() error {
	for {
		seg, limit, from := r.l.locate(r.number)
		f, h, err := openSegment(r.l.fs, seg.name())
		switch {
		case err == nil:
		case errors.Is(err, os.ErrNotExist) && r.l.view:
			if err := r.leap(seg); err != nil {
				return err
			}
			continue
		case errors.Is(err, os.ErrNotExist) && r.l.isGone(seg):
			continue
		default:
			return err
		}
		r.seg, r.file, r.header = seg, f, h
		if h.salt != seg.header.salt { // rewritten meanwhile
			if limit, err = f.Size(); err != nil {
				return errors.Join(err, r.Close())
			}
		}
		r.c = newCursor(f, h, limit)
		r.c.buf = r.buf[:0]
		if from.off > 0 && h.salt == seg.header.salt {
			r.c.off, r.c.expect = from.off, from.number
		}
		r.mark = r.c.off + landmarkEvery
		return nil
	}
}

// locate returns the segment for message n, how far it may be read, and a landmark from which on it is to be looked for, if one is known.
func (l *Log) locate(n uint64) (s *segment, limit int64, from landmark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(l.segments), func(i int) bool { return !l.segments[i].sealed || l.segments[i].last >= n })
	s = l.segments[i]
	from = s.landmarks.before(n)
	if s.sealed {
		return s, s.size, from
	}
	if n == l.written+1 {
		from = landmark{number: n, off: l.visible}
	}
	return s, l.visible, from
}

// isGone reports whether a segment has been dropped since it was located.
func (l *Log) isGone(s *segment) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.segments {
		if o == s {
			return false
		}
	}
	return true
}

// ended looks whether there is more behind what has been read: in the same segment, or in the next one. It
// returns io.EOF if not.
func (r *Reader) ended() error {
	limit, last, sealed := r.l.extent(r.seg)
	if r.seg.header.salt == r.header.salt && limit > r.c.limit {
		r.c.limit = limit
		return nil
	}
	if gap := r.pass(last+1, r.since); gap != nil {
		return gap
	}
	if !sealed {
		return io.EOF
	}
	return r.Close()
}

// extent returns up to where a segment may be read, and the number of the last message there.
func (l *Log) extent(s *segment) (limit int64, last uint64, sealed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.sealed {
		return s.size, s.last, true
	}
	return l.visible, l.written, false
}

// pass accounts for what is missing from the next message to before n, which was appended at the time at or later, and goes there. It returns
// a gap if anybody could have wanted it.
func (r *Reader) pass(n uint64, at int64) error {
	if n <= r.number {
		return nil
	}
	gap := r.l.gap(r.number, n-1, r.skip)
	if gap == nil || at < r.since {
		r.number = n
		return nil
	}
	r.number = gap.To + 1
	return gap
}

// gap returns the first missing messages from lo to hi, nil if all that are missing were acknowledged.
func (l *Log) gap(lo, hi uint64, of *Consumer) *Gap {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wantedBy []*position
	switch {
	case of != nil:
		wantedBy = []*position{l.state.positions[of.name]}
	case l.options.Kind.queues():
		wantedBy = slices.Collect(maps.Values(l.state.positions))
	}
	gap := l.state.missing(lo, hi, wantedBy...)
	if gap != nil && gap.Damaged {
		l.state.damaged.add(gap.From, gap.To)
	}
	return gap
}

// wait returns when there may be more than what has been read.
func (r *Reader) wait(ctx context.Context) error {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.errLocked(); err != nil {
		return err
	}
	if r.moreLocked() {
		return nil
	}
	return l.sleep(ctx, awaited(&l.grown))
}

func (r *Reader) moreLocked() bool { return r.c == nil || r.seg.sealed || r.l.visible > r.c.limit }

var ready = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// More returns a channel that is closed when TryNext may return something else than io.EOF; nil if that will not be, because the
// log is closed or has failed.
func (r *Reader) More() <-chan struct{} {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case r.moreLocked():
		return ready
	case l.errLocked() != nil:
		return nil
	}
	return awaited(&l.grown)
}
