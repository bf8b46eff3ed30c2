package spool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Mark names a message that was handled: by its place in a sender's stream, by an id that its sender gave it, or both.
type Mark struct {
	// Stream, Incarnation and Number are those of the sender's spool. Number 0: the message has no such name.
	Stream      ID
	Incarnation uint32
	// Sum is a checksum of the message, for Clash. 0: it is not known.
	Sum    uint32
	Number uint64
	// ID is the sender's own id of the message, at most 64 bytes. Empty: it has none.
	ID string
	// Body is a checksum of what each message with this ID says, for Clash. 0: it is not known. It counts with a Sum.
	Body uint32
}

// summed is set in the number of a mark on disk that has its Sum behind it: numbers are below.
const summed = 1 << 63

// append encodes a mark:
//
//	+--------+-------------+---------------------+-------------------+--------------------+----+
//	| stream | incarnation | number, 8, and      | sum, 4,           | body, 4, if summed | id |
//	| 16     | 4           | summed if there is: | if number has bit | and there is an id |    |
//	+--------+-------------+---------------------+-------------------+--------------------+----+
func (m Mark) append(b []byte) []byte {
	b = append(b, m.Stream[:]...)
	b = binary.LittleEndian.AppendUint32(b, m.Incarnation)
	if m.Sum == 0 {
		b = binary.LittleEndian.AppendUint64(b, m.Number)
	} else {
		b = binary.LittleEndian.AppendUint64(b, m.Number|summed)
		b = binary.LittleEndian.AppendUint32(b, m.Sum)
		if m.ID != "" {
			b = binary.LittleEndian.AppendUint32(b, m.Body)
		}
	}
	return append(b, m.ID...)
}

func parseMark(r Record) (m Mark, err error) {
	if len(r.Frames) != 1 || len(r.Frames[0]) < 28 {
		return m, errState
	}
	b := r.Frames[0]
	copy(m.Stream[:], b)
	m.Incarnation = binary.LittleEndian.Uint32(b[16:])
	m.Number = binary.LittleEndian.Uint64(b[20:])
	b = b[28:]
	if m.Number&summed != 0 {
		if len(b) < 4 {
			return m, errState
		}
		m.Number &^= summed
		m.Sum, b = binary.LittleEndian.Uint32(b), b[4:]
		if len(b) > 4 { // an id has one byte or more
			m.Body, b = binary.LittleEndian.Uint32(b), b[4:]
		} else if len(b) > 0 {
			return m, errState
		}
	}
	m.ID = string(b)
	return m, nil
}

func (m Mark) check() error {
	if len(m.ID) > maxMarkID || m.ID == "" && m.Number == 0 || m.Number >= summed {
		return fmt.Errorf("mark with an id of %d bytes and number %d: %w", len(m.ID), m.Number, ErrName)
	}
	return nil
}

// maxMarkID bounds what one mark takes of memory.
const maxMarkID = 64

// place is a Mark's name without its id.
type place struct {
	stream      ID
	incarnation uint32
	number      uint64
}

func (m Mark) place() place { return place{m.Stream, m.Incarnation, m.Number} }

// WindowOptions of a Window. The zero value is a durable window of 131072 messages.
type WindowOptions struct {
	// Count is how many marks are kept, the latest. They are in memory as well, about 120 bytes each and, with ids, 60 more and
	// the id. Default: 131072.
	Count int
	// Age is how long a mark counts, whatever Count says. What was read from disk counts that long from the opening
	// on, so that no jump of a clock shortens it. 0: no bound.
	Age time.Duration
	// Policy and Interval are as in Options. Default: Always.
	Policy   Policy
	Interval time.Duration
	// SegmentSize is that of the files. Default: 1 MiB.
	SegmentSize int64
}

// Window remembers on disk which messages were handled lately, so that what comes again after a crash of either
// side is known. All methods may be called from many goroutines.
type Window struct {
	log     *Log
	options WindowOptions
	opened  time.Time
	missing uint64 // marks that could not be read at opening

	mu     sync.Mutex // guards the fields below
	places map[place]named
	ids    map[string]named
	marks  []entry // the oldest that counts is at first
	first  int
}

type entry struct {
	mark Mark
	at   time.Duration // since Window.opened
}

// named is what is known of a place or an id.
type named struct {
	marks uint32 // how many have it
	sum   uint32 // Sum or Body of the last of those
}

// clashes reports whether the name is that of something with another sum, as far as both are known.
func (n named) clashes(sum uint32) bool { return n.sum != 0 && sum != 0 && n.sum != sum }

// count notes that a mark with this sum has a name, and discount that one has it no more.
func count[K comparable](names map[K]named, key K, sum uint32) {
	names[key] = named{names[key].marks + 1, sum}
}

func discount[K comparable](names map[K]named, key K) {
	if n := names[key]; n.marks > 1 {
		names[key] = named{n.marks - 1, n.sum}
	} else {
		delete(names, key)
	}
}

// OpenWindow opens the window in a directory of its own, as Open does.
func OpenWindow(dir string, options WindowOptions) (*Window, error) {
	return options.open(func(o Options) (*Log, error) { return Open(dir, o) })
}

// OpenWindowFS is OpenWindow on a file layer of the caller's.
func OpenWindowFS(fs FS, options WindowOptions) (*Window, error) {
	return options.open(func(o Options) (*Log, error) { return OpenFS(fs, o) })
}

func (o WindowOptions) open(open func(Options) (*Log, error)) (*Window, error) {
	setDefault(&o.Count, 128<<10)
	setDefault(&o.SegmentSize, 1<<20)
	if o.Count < 0 || o.Age < 0 {
		return nil, errors.New("window options: negative value")
	}
	log, err := open(Options{
		Kind: kindWindow, Policy: o.Policy, Interval: o.Interval, SegmentSize: o.SegmentSize,
		Retention: Retention{Count: uint64(o.Count)}, Full: Reject,
	})
	if err != nil {
		return nil, err
	}
	w := &Window{log: log, options: o, opened: time.Now(), places: make(map[place]named), ids: make(map[string]named)}
	if err := w.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read window: %w", err), log.Close())
	}
	return w, nil
}

// load reads the marks that are kept.
func (w *Window) load() error {
	from := uint64(1)
	if n := w.log.Next(); n > uint64(w.options.Count) {
		from = n - uint64(w.options.Count)
	}
	r := w.log.Reader(At(from))
	defer r.Close()
	for {
		rec, err := r.TryNext()
		var gap *Gap
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &gap):
			if gap.Damaged {
				w.missing += gap.To - gap.From + 1
			}
			continue
		case err != nil:
			return err
		}
		if m, err := parseMark(rec); err == nil {
			w.add(m)
		} else {
			w.missing++
		}
	}
}

// Recovery says what was found at opening. What was handled and has its mark among the Missing may be handled again.
func (w *Window) Recovery() Recovery {
	r := w.log.Recovery()
	r.Missing = w.missing
	return r
}

// Stats returns the state of the window's log at this moment.
func (w *Window) Stats() Stats {
	s := w.log.Stats()
	s.Recovery = w.Recovery()
	return s
}

// Seen reports whether a message is known by its place or by its id.
func (w *Window) Seen(m Mark) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	if m.Number > 0 && w.places[m.place()].marks > 0 {
		return true
	}
	return m.ID != "" && w.ids[m.ID].marks > 0
}

// Clash reports whether a message that is Seen is another one than was marked. With place it stands where that stood and their Sums differ: then two senders number
// their messages in one stream, such as one and a copy of its spool on another host. With id it stands elsewhere, has the ID of that, and another Body.
func (w *Window) Clash(m Mark) (place, id bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known := w.places[m.place()]; m.Number > 0 && known.marks > 0 {
		return known.clashes(m.Sum), false
	}
	return false, m.ID != "" && w.ids[m.ID].clashes(m.Body)
}

// Mark remembers messages and returns when all of them are as safe as the policy says, one sync for all. Until then a crash may forget them, all or
// some. Errors are those of Append; ErrFull at once where there is no room, whatever the rest of the program waits for; ErrName for an id that is too long, or a
// mark without any name. After an error none of them is remembered, but for what a window that is opened later finds on disk.
func (w *Window) Mark(ctx context.Context, marks ...Mark) error {
	for _, m := range marks {
		if err := m.check(); err != nil {
			return err
		}
	}
	if len(marks) == 0 {
		return nil
	}
	if err := w.write(ctx, marks); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range marks {
		w.add(m)
	}
	return nil
}

// write puts the marks into the log. With Enqueue for each the first would go to the disk alone.
func (w *Window) write(ctx context.Context, marks []Mark) error {
	l, n := w.log, uint64(0)
	frames := [][]byte{make([]byte, 0, 36+maxMarkID)}
	l.mu.Lock()
	for _, m := range marks {
		frames[0] = m.append(frames[0][:0])
		var err error
		if n, err = l.enqueueLocked(ctx, frames); err != nil {
			poke(l.kick) // for those before it
			l.mu.Unlock()
			return err
		}
	}
	return l.await(ctx, n)
}

// Len returns how many marks count.
func (w *Window) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	return len(w.marks) - w.first
}

// Close closes the window's log.
func (w *Window) Close() error { return w.log.Close() }

func (w *Window) add(m Mark) {
	w.marks = append(w.marks, entry{mark: m, at: time.Since(w.opened)})
	if m.Number > 0 {
		count(w.places, m.place(), m.Sum)
	}
	if m.ID != "" {
		count(w.ids, m.ID, m.Body)
	}
	w.expire()
}

// expire forgets what is beyond count or age.
func (w *Window) expire() {
	for w.first < len(w.marks) {
		e := &w.marks[w.first]
		if len(w.marks)-w.first <= w.options.Count && (w.options.Age == 0 || time.Since(w.opened)-e.at <= w.options.Age) {
			break
		}
		w.forget(e.mark)
		*e = entry{}
		w.first++
	}
	if w.first > 1024 && w.first > len(w.marks)/2 { // half is room
		w.marks = append(w.marks[:0], w.marks[w.first:]...)
		w.first = 0
	}
}

func (w *Window) forget(m Mark) {
	if m.Number > 0 {
		discount(w.places, m.place())
	}
	if m.ID != "" {
		discount(w.ids, m.ID)
	}
}
