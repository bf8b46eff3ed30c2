package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// Report is what Verify found.
type Report struct {
	// ID and Kind are the spool's.
	ID   ID
	Kind Kind
	// Segments and Messages are how many there are, Bytes what the segments take.
	Segments int
	Messages uint64
	Bytes    int64
	// Torn is how many bytes at the end were written but never confirmed to anybody. They are no damage; opening
	// the spool cuts them off.
	Torn int64
	// Damage lists what cannot be read, in order. It is empty in a sound spool.
	Damage []Damage
	// Quarantined names the files that Repair has put aside.
	Quarantined []string
}

// Verify reads every byte of the spool in dir and says what is damaged. It changes nothing. The spool must not
// be in use (ErrInUse). Damage is no error: an error says that the spool could not be read at all.
func Verify(dir string) (Report, error) {
	var r Report
	err := withLocked(dir, func(fs FS) (err error) {
		r, err = VerifyFS(fs)
		return err
	})
	return r, err
}

// VerifyFS is Verify on a file layer of the caller's.
func VerifyFS(fs FS) (Report, error) {
	d, err := load(fs, true)
	if err != nil {
		return Report{}, err
	}
	r := Report{Torn: d.Torn}
	for _, x := range d.Damage {
		if x.What == noHeader {
			r.Damage = append(r.Damage, x)
		}
	}
	for i, s := range d.segments {
		v := verifier{d: d, i: i, s: s}
		if err := v.run(fs); err != nil {
			return Report{}, err
		}
		r.ID, r.Kind = s.header.id, s.header.kind
		r.Segments++
		r.Messages += v.messages
		r.Bytes += s.size
		r.Damage = append(r.Damage, v.damage...)
	}
	names, err := fs.List(".")
	if err != nil {
		return Report{}, err
	}
	r.Quarantined = slices.DeleteFunc(names, func(name string) bool { return !isQuarantine(name) })
	slices.Sort(r.Quarantined)
	slices.SortStableFunc(r.Damage, func(a, b Damage) int { return bytes.Compare([]byte(a.Segment), []byte(b.Segment)) })
	if r.Segments == 0 && len(r.Damage) == 0 {
		return r, ErrNotSpool
	}
	return r, nil
}

// withLocked runs do on the directory of a spool that must be there, holding its lock.
func withLocked(dir string, do func(FS) error) error {
	fs, err := openDir(dir, false)
	if err != nil {
		return fmt.Errorf("spool %s: %w", dir, err)
	}
	if ordinals, err := listSegments(fs); err != nil || len(ordinals) == 0 {
		return errors.Join(fmt.Errorf("spool %s: %w", dir, errors.Join(err, ErrNotSpool)), fs.Close())
	}
	lock, err := fs.lock()
	if err != nil {
		return errors.Join(fmt.Errorf("spool %s: %w", dir, err), fs.Close())
	}
	if err := do(fs); err != nil {
		return errors.Join(fmt.Errorf("spool %s: %w", dir, err), lock.Close(), fs.Close())
	}
	return errors.Join(lock.Close(), fs.Close())
}

// verifier reads one segment.
type verifier struct {
	d        *loaded
	i        int
	s        *segment
	messages uint64
	ended    bool // the last record says that it is the last
	damage   []Damage
}

func (v *verifier) run(fs FS) error {
	f, h, err := openSegment(fs, v.s.name())
	if err != nil {
		return err
	}
	defer f.Close()
	if err := v.page(f, h); err != nil {
		return err
	}
	end := v.s.size
	if !v.s.sealed {
		end = v.d.end
	}
	c := newCursor(f, h, end)
	if err := v.records(c); err != nil {
		return err
	}
	if v.s.sealed && (!v.ended || v.s.header.flags&flagCompacted == 0) {
		v.lost(c.expect, v.s.last, end)
	}
	return nil
}

// page looks at all that is in front of the records.
func (v *verifier) page(f File, h segmentHeader) error {
	page, right := make([]byte, dataStart), make([]byte, dataStart)
	if _, err := f.ReadAt(page, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	h.encode(right)
	for i := 0; i < dataStart; i++ {
		if page[i] == right[i] {
			continue
		}
		n := 1
		for i+n < dataStart && page[i+n] != right[i+n] {
			n++
		}
		v.damage = append(v.damage, Damage{Segment: v.s.name(), Offset: int64(i), Bytes: int64(n), What: "a copy of the header differs"})
		i += n
	}
	return nil
}

func (v *verifier) records(c *cursor) error {
	for {
		expect := c.expect
		r, at, err := c.next()
		var bad *badBytes
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &bad):
			v.damage = append(v.damage, damageOf(v.s, c, bad))
			if d := &v.damage[len(v.damage)-1]; d.To > 0 {
				c.expect = max(c.expect, d.To+1)
			}
			continue
		case err != nil:
			return err
		}
		if r.number > expect && v.s.header.flags&flagCompacted == 0 {
			v.lost(expect, r.number-1, at)
		}
		v.ended = r.kind == recordEnd
		if err := v.content(c, r, at); err != nil {
			v.damage = append(v.damage, Damage{Segment: v.s.name(), Offset: at, Bytes: c.off - at, What: err.Error()})
		}
	}
}

// content looks at what the sums do not cover, and whether what they cover makes sense.
func (v *verifier) content(c *cursor, r record, at int64) error {
	n := recordHeader + len(r.payload)
	whole, err := c.view(at, int(c.off-at))
	if err != nil {
		return err
	}
	for _, b := range whole[n:] {
		if b != 0 {
			return errors.New("padding is not zero")
		}
	}
	r.payload = whole[recordHeader:n]
	switch {
	case r.kind.isMessage():
		v.messages++
		_, err = splitFrames(nil, r)
	case r.kind != recordEnd:
		st := newState()
		err = st.apply(r.payload)
	}
	return err
}

// lost notes messages that should be behind offset at and are not. If the bytes before them are bad, that is why.
func (v *verifier) lost(lo, hi uint64, at int64) {
	if lo > hi {
		return
	}
	wanted := []*position{}
	if v.s.header.kind.queues() {
		wanted = slices.Collect(maps.Values(v.d.state.positions))
	}
	gap := v.d.state.missing(lo, hi, wanted...)
	if gap != nil && !gap.Damaged { // what retention dropped; the rest may be lost all the same
		gap = v.d.state.missing(gap.To+1, hi, wanted...)
	}
	if gap == nil {
		return
	}
	if n := len(v.damage); n > 0 {
		if d := &v.damage[n-1]; d.To == 0 && d.Offset >= dataStart && d.Offset+d.Bytes == at {
			d.From, d.To = gap.From, gap.To
			return
		}
	}
	v.damage = append(v.damage, Damage{Segment: v.s.name(), Offset: at, From: gap.From, To: gap.To, What: "messages missing behind this place"})
}
