package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// worthRewriting is the share of a segment's messages, one in so many, below which those that are left are
// copied and the rest of the disk is given back.
const worthRewriting = 4

// rewriteAgain is the most that passes before a segment is tried again that could not be copied, as where the disk is full: each try
// reads all of it and may take what room there is, so it is twice as long each time.
const rewriteAgain = time.Minute

// rewriteOne copies what is left in one sealed segment of a queue, so that a few messages that are stuck do
// not hold the disk of all their neighbours. Numbers, order and places stay as they are.
func (l *Log) rewriteOne() {
	if !l.options.Kind.queues() {
		return
	}
	l.mu.Lock()
	s := l.sparseLocked()
	l.mu.Unlock()
	if s == nil {
		return
	}
	if err := l.flush(context.Background()); err != nil && !errors.Is(err, ErrFull) { // secure needs less room
		return
	}
	n, err := rewriteSegment(l.fs, s, rewriting{keep: l.wanted, confirm: func() error { return l.secure([]*segment{s}) }})
	l.mu.Lock()
	defer l.mu.Unlock()
	if n == nil {
		s.postpone(err)
		return
	}
	for i := range l.segments { // also where it may not be durable: the other one would do
		if l.segments[i] == s {
			l.segments[i] = n
		}
	}
}

// sparseLocked returns a segment worth rewriting, nil if there is none.
func (l *Log) sparseLocked() *segment {
	for _, s := range l.segments {
		if !s.sealed || s.fixed || time.Now().Before(s.again) {
			continue
		}
		live := l.liveLocked(s)
		if s.present == 0 {
			s.present = s.last - s.header.base + 1
			if s.header.flags&flagCompacted != 0 {
				s.present = live
			}
		}
		if live > 0 && live*worthRewriting < s.present {
			return s
		}
	}
	return nil
}

// postpone says when a segment is tried again that could not be copied: never if it is damaged, since damage must not vanish. All else may pass, the lack of room
// above all.
func (s *segment) postpone(err error) {
	s.fixed = errors.As(err, new(*badBytes)) || errors.Is(err, ErrDamaged)
	s.pause = min(max(2*s.pause, tendEvery), rewriteAgain)
	s.again = time.Now().Add(s.pause)
}

// wanted reports whether a consumer has not acknowledged n.
func (l *Log) wanted(n uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.state.positions {
		if !p.acked.has(n) {
			return true
		}
	}
	return false
}

// rewriting says how a segment is rewritten.
type rewriting struct {
	keep    func(number uint64) bool // says which messages stay
	confirm func() error             // is called before the old one goes: makes durable what keep went by
	skip    bool                     // damage does not end it
	state   []byte                   // what the checkpoint is to say that it begins with, nil for that which is there
}

// rewriteSegment replaces a sealed segment by one with the messages that are wanted and all that is no message. It returns that one if it has its place, which with an error
// may not be durable.
func rewriteSegment(fs FS, s *segment, how rewriting) (*segment, error) {
	in, h, err := openSegment(fs, s.name())
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if err := fs.Remove(compactName); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	out, err := fs.Open(compactName, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, fmt.Errorf("rewrite %s: %w", s.name(), err)
	}
	w := copier{f: out, header: newHeader(h.kind, h.id, h.ordinal, h.base, h.incarnation, h.created)}
	w.header.flags, w.header.until = h.flags|flagCompacted, s.last
	err = w.run(newCursor(in, h, s.size), how)
	if err == nil && how.confirm != nil { // else a crash could take back what let messages go
		err = how.confirm()
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("rewrite %s: %w", s.name(), err), fs.Remove(compactName))
	}
	if err := fs.Rename(compactName, s.name()); err != nil {
		return nil, errors.Join(fmt.Errorf("rewrite %s: %w", s.name(), err), fs.Remove(compactName))
	}
	if err = fs.Sync("."); err != nil {
		err = fmt.Errorf("rewrite %s: %w", s.name(), err)
	}
	return &segment{header: w.header, size: w.off, last: s.last, sealed: true, present: w.messages}, err
}

// copier writes the copy of a segment.
type copier struct {
	f        File
	header   segmentHeader
	buf      []byte
	off      int64
	messages uint64
	ended    bool
	next     uint64
}

func (w *copier) run(c *cursor, how rewriting) error {
	w.off, w.next = dataStart, c.expect
	if how.state != nil {
		w.buf = firstRecords(w.buf, w.header.base, w.header.created, how.state)
	}
	for {
		r, _, err := c.next()
		switch {
		case errors.Is(err, io.EOF):
			return w.finish()
		case how.skip && errors.As(err, new(*badBytes)):
			continue
		case err != nil:
			return err
		}
		w.next = c.expect
		if w.ended = r.kind == recordEnd; r.kind.isMessage() {
			if !how.keep(r.number) {
				continue
			}
			w.messages++
		}
		if len(w.buf) >= blockSize || w.ended { // the end says that all before it is there
			if err := w.flush(); err != nil {
				return err
			}
		}
		w.buf = appendRecord(w.buf, r.kind, r.number, r.time, r.payload)
	}
}

func (w *copier) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	w.header.salt.seal(w.buf, w.off)
	if err := writeAt(w.f, w.buf, w.off); err != nil {
		return err
	}
	w.off += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

func (w *copier) finish() error {
	if !w.ended {
		if err := w.flush(); err != nil {
			return err
		}
		w.buf = appendRecord(w.buf, recordEnd, max(w.next, w.header.until+1), now(), turned)
	}
	if err := w.flush(); err != nil {
		return err
	}
	page := make([]byte, dataStart)
	w.header.encode(page)
	return flush(w.f, page, 0)
}
