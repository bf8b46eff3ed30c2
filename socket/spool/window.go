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
	Number      uint64
	// ID is the sender's own id of the message, at most 64 bytes. Empty: it has none.
	ID string
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
	// Count is how many marks are kept, the latest. They are in memory as well, about 100 bytes each. Default: 131072.
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

	mu     sync.Mutex // guards the fields below
	places map[place]int
	ids    map[string]int
	marks  []entry // the oldest that counts is at first
	first  int
}

type entry struct {
	mark Mark
	at   time.Time
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
		Retention: Retention{Count: uint64(o.Count)},
	})
	if err != nil {
		return nil, err
	}
	w := &Window{log: log, options: o, places: make(map[place]int), ids: make(map[string]int)}
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
	r := w.log.Reader(At(max(from, w.log.First())))
	defer r.Close()
	for {
		rec, err := r.TryNext()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, new(*Gap)): // a mark lost to damage: its message may be handled again
			continue
		case err != nil:
			return err
		}
		if m, err := parseMark(rec); err == nil {
			w.add(m)
		}
	}
}

func parseMark(r Record) (m Mark, err error) {
	if len(r.Frames) != 1 || len(r.Frames[0]) < 28 {
		return m, errState
	}
	b := r.Frames[0]
	copy(m.Stream[:], b)
	m.Incarnation = binary.LittleEndian.Uint32(b[16:])
	m.Number = binary.LittleEndian.Uint64(b[20:])
	m.ID = string(b[28:])
	return m, nil
}

// Seen reports whether a message is known by its place or by its id.
func (w *Window) Seen(m Mark) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expire()
	if m.Number > 0 && w.places[m.place()] > 0 {
		return true
	}
	return m.ID != "" && w.ids[m.ID] > 0
}

// Mark remembers a message and returns when that is as safe as the policy says. Until then a crash may forget it.
// Errors are those of Append; ErrName for an id that is too long, or a mark without any name.
func (w *Window) Mark(ctx context.Context, m Mark) error {
	if len(m.ID) > maxMarkID || m.ID == "" && m.Number == 0 {
		return fmt.Errorf("mark with an id of %d bytes and number %d: %w", len(m.ID), m.Number, ErrName)
	}
	b := make([]byte, 0, 28+maxMarkID)
	b = append(b, m.Stream[:]...)
	b = binary.LittleEndian.AppendUint32(b, m.Incarnation)
	b = binary.LittleEndian.AppendUint64(b, m.Number)
	b = append(b, m.ID...)
	if _, err := w.log.Append(ctx, b); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(m)
	return nil
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
	w.marks = append(w.marks, entry{mark: m, at: time.Now()})
	if m.Number > 0 {
		w.places[m.place()]++
	}
	if m.ID != "" {
		w.ids[m.ID]++
	}
	w.expire()
}

// expire forgets what is beyond count or age.
func (w *Window) expire() {
	for w.first < len(w.marks) {
		e := &w.marks[w.first]
		if len(w.marks)-w.first <= w.options.Count && (w.options.Age == 0 || time.Since(e.at) <= w.options.Age) {
			break
		}
		forget(w.places, e.mark.place())
		forget(w.ids, e.mark.ID)
		*e = entry{}
		w.first++
	}
	if w.first > 1024 && w.first > len(w.marks)/2 { // half is room
		w.marks = append(w.marks[:0], w.marks[w.first:]...)
		w.first = 0
	}
}

// forget takes one of the marks with this name away.
func forget[K comparable](m map[K]int, k K) {
	if m[k]--; m[k] <= 0 {
		delete(m, k)
	}
}
