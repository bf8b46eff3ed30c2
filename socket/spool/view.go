package spool

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// View is a spool as it was on disk when the view was opened: for tools. It changes nothing and takes no lock, so
// that it may be used while another process has the spool open. What that lets go meanwhile is a Gap, if it was not acknowledged.
type View struct {
	log    *Log
	stats  Stats
	closer func() error
}

// OpenView opens a view of the spool in dir. Errors are those of Open, and ErrNotSpool.
func OpenView(dir string) (*View, error) {
	fs, err := openDir(dir, false)
	if err != nil {
		return nil, fmt.Errorf("spool %s: %w", dir, err)
	}
	v, err := OpenViewFS(fs)
	if err == nil && v.stats.Kind == kindDead {
		err = errDeadFolder
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("spool %s: %w", dir, err), fs.Close())
	}
	v.stats.Holder, v.closer = fs.holder(), fs.Close
	return v, nil
}

// OpenViewFS is OpenView on a file layer of the caller's.
func OpenViewFS(fs FS) (*View, error) {
	d, err := look(fs)
	if err == nil && len(d.segments) == 0 {
		err = ErrNotSpool
	}
	if err != nil {
		return nil, err
	}
	last := d.segments[len(d.segments)-1].header
	if last.kind != kindDead {
		d.addLetters(fs)
	}
	l := &Log{ // that nothing can be appended to
		fs: fs, id: last.id, options: Options{Kind: last.kind}, recovery: d.Recovery, segments: d.segments, state: d.state,
		next: d.next, written: d.next - 1, durable: d.next - 1, failed: ErrClosed, view: true,
	}
	l.visible = min(d.end, l.active().size) // what is known may be cut off
	v := &View{log: l, stats: statsOf(d.segments, &d.state, d.next), closer: func() error { return nil }}
	v.stats.Recovery = d.Recovery
	v.stats.Quarantined, err = quarantined(fs)
	return v, err
}

// Stats returns what there is.
func (v *View) Stats() Stats { return v.stats }

// Reader returns a reader of all that there is. Its Next does not wait: behind the last message it returns ErrClosed.
func (v *View) Reader(start Start) *Reader { return v.log.Reader(start) }

// Pending returns a reader of what a consumer has not acknowledged; the name "" is that of Queue. ErrNoConsumer
// if there is none.
func (v *View) Pending(name string) (*Reader, error) { return v.PendingFrom(name, Beginning()) }

// PendingFrom is Pending from start on.
func (v *View) PendingFrom(name string, start Start) (*Reader, error) {
	c := &Consumer{l: v.log, name: name}
	r := v.log.Reader(start)
	r.number = max(r.number, c.Floor()+1)
	if !r.passOver(c) {
		return nil, fmt.Errorf("consumer %q: %w", name, ErrNoConsumer)
	}
	return r, nil
}

// Attempts returns how many deliveries of message n to a consumer have failed.
func (v *View) Attempts(name string, n uint64) int {
	return (&Consumer{l: v.log, name: name}).Attempts(n)
}

// Dead returns what the dead letters take, zero if there never was one: of their log, Pending is how many there are.
func (v *View) Dead() (Stats, error) {
	d, err := v.dead()
	if d == nil || err != nil {
		return Stats{}, err
	}
	return d.stats, nil
}

// Letters iterates over the dead letters as Dead.Letters does.
func (v *View) Letters() iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		d, err := v.dead()
		var r *Reader
		if d != nil && err == nil {
			r, err = d.Pending("")
		}
		if err != nil {
			yield(Letter{}, err)
		} else if r != nil {
			letters(r, yield)
		}
	}
}

// dead returns a view of the dead letters, nil if there never was one.
func (v *View) dead() (*View, error) {
	d, err := OpenViewFS(folder{v.log.fs, deadName})
	if errors.Is(err, ErrNotSpool) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	return d, nil
}

// looks is how often a spool is looked at anew whose newest segment, read last, went meanwhile: each time all there were have gone.
const looks = 100

// look loads a spool that another may be writing.
func look(fs FS) (d *loaded, err error) {
	for range looks {
		if d, err = load(fs, true); !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	return d, err
}

// leap goes on behind a segment of a view that is gone, and all that went with it. What became of the messages the spool knows as it is now.
func (r *Reader) leap(s *segment) error {
	d, err := look(r.l.fs)
	if err != nil {
		return err
	}
	l := r.l
	l.mu.Lock()
	last, first := l.written, l.next
	if s.sealed {
		last = s.last
	}
	if len(d.segments) > 0 {
		first = min(first, firstOf(d.segments, d.next))
	}
	l.state = d.state
	l.mu.Unlock()
	if gap := r.pass(max(last+1, first), r.since); gap != nil {
		return gap
	}
	if !s.sealed {
		return io.EOF
	}
	return nil
}

// Close lets the directory go; readers must be closed before.
func (v *View) Close() error { return v.closer() }
