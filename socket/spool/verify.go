package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
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
	// Torn is how many bytes at the end, also of the dead letters' log, opening the spool will cut off: see Recovery. They are no Damage.
	Torn int64
	// Damage lists what cannot be read, in order. It is empty in a sound spool.
	Damage []Damage
	// Letters is how many dead letters there are; damage to them is in Damage, too, under "dead/".
	Letters uint64
	// Quarantined names the files that Repair has put aside, now or earlier.
	Quarantined []string
	// Aside names those that this Repair has put aside.
	Aside []string

	lost map[string]lost // by directory; nothing as long as there is Damage
}

// Verify reads every byte of the spool in dir and says what is damaged, all that opening it would find among it. It changes nothing. The spool must not
// be in use (ErrInUse). It may be on a disk that is mounted read-only. Damage is no error: an error says that the spool could not be read at all.
func Verify(dir string) (Report, error) { return VerifyContext(context.Background(), dir) }

// VerifyContext is Verify until ctx ends; the error is then that of ctx.
func VerifyContext(ctx context.Context, dir string) (Report, error) {
	var r Report
	err := withLocked(dir, func(fs FS) (err error) {
		r, err = verifyAll(newSalvage(ctx, fs))
		return err
	})
	return r, err
}

// VerifyFS is Verify on a file layer of the caller's.
func VerifyFS(fs FS) (Report, error) { return verifyAll(newSalvage(context.Background(), fs)) }

func verifyAll(fs *salvage) (Report, error) {
	r, err := verifyLog(fs)
	if err != nil {
		return r, err
	}
	dead, err := verifyLog(folder{fs, deadName})
	if errors.Is(err, errNotFolder) {
		dead.Damage = []Damage{{What: noFolder}}
	} else if err != nil && !errors.Is(err, ErrNotSpool) {
		return r, fmt.Errorf("dead letters: %w", err)
	}
	r.Letters, r.Torn = dead.Messages, r.Torn+dead.Torn
	r.lost = map[string]lost{".": r.lost["."], deadName: dead.lost["."]}
	for _, d := range dead.Damage {
		r.Damage = append(r.Damage, d.ofLetters())
	}
	for _, name := range dead.Quarantined {
		r.Quarantined = append(r.Quarantined, path.Join(deadName, name))
	}
	for _, name := range slices.Sorted(maps.Keys(fs.unreadable)) {
		r.Damage = append(r.Damage, Damage{Segment: name, What: "the disk cannot read all of it: " + fs.unreadable[name].Error()})
	}
	if len(r.Damage) > 0 { // nobody knows yet what can be read of it
		r.lost = nil
	}
	return r, nil
}

// verifyLog reads one log, without the one in it. One of which no segment can be read is damaged, too.
func verifyLog(fs FS) (Report, error) {
	d, err := load(fs, true)
	if err != nil && (d == nil || len(d.Damage) == 0 || len(d.segments) > 0) {
		return Report{}, err
	}
	r := Report{Torn: d.Torn}
	var absent spans
	for i, s := range d.segments {
		v := verifier{d: d, i: i, s: s, next: s.header.base, absent: &absent}
		if err := v.run(fs); err != nil {
			return Report{}, err
		}
		r.ID, r.Kind = s.header.id, s.header.kind
		r.Segments++
		r.Messages += v.messages
		r.Bytes += s.size
		r.Damage = append(r.Damage, v.damage...)
	}
	r.lost = map[string]lost{".": {id: r.ID, next: d.next, numbers: absent}}
	for _, x := range d.Damage { // what opening finds: all of it
		there := func(y Damage) bool { return x.Segment == y.Segment && x.Offset == y.Offset }
		if i := slices.IndexFunc(r.Damage, there); i >= 0 {
			r.Damage[i].What, r.Damage[i].Acks = x.What, x.Acks
		} else {
			r.Damage = append(r.Damage, x)
		}
	}
	if r.Quarantined, err = quarantined(fs); err != nil {
		return Report{}, err
	}
	slices.SortStableFunc(r.Damage, func(a, b Damage) int {
		return cmp.Or(strings.Compare(a.Segment, b.Segment), cmp.Compare(a.Offset, b.Offset))
	})
	if r.Segments == 0 && len(r.Damage) == 0 {
		return r, ErrNotSpool
	}
	return r, nil
}

// quarantined returns the names of the files that Repair has put aside, sorted.
func quarantined(fs FS) ([]string, error) {
	names, err := fs.List(".")
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !isQuarantine(name) })
	slices.Sort(names)
	return names, nil
}

// withLocked runs do on the directory of a spool that must be there, holding its lock.
func withLocked(dir string, do func(FS) error) error {
	fs, err := openDir(dir, false)
	if err != nil {
		return fmt.Errorf("spool %s: %w", dir, err)
	}
	if err := checkSpool(fs); err != nil {
		return errors.Join(fmt.Errorf("spool %s: %w", dir, err), fs.Close())
	}
	leave, err := fs.borrow()
	if err != nil {
		return errors.Join(fmt.Errorf("spool %s: %w", dir, err), fs.Close())
	}
	if err := do(fs); err != nil {
		return errors.Join(fmt.Errorf("spool %s: %w", dir, err), leave(), fs.Close())
	}
	return errors.Join(leave(), fs.Close())
}

// checkSpool refuses what is no spool before anything is made in it, if only a lock.
func checkSpool(fs FS) error {
	ordinals, err := listSegments(fs)
	if err != nil {
		return err
	}
	if len(ordinals) == 0 {
		return ErrNotSpool
	}
	f, h, err := openSegment(fs, segmentName(ordinals[0]))
	if err != nil { // looked at later
		return nil
	}
	if h.kind == kindDead {
		err = errDeadFolder
	}
	return errors.Join(err, f.Close())
}

// verifier reads one segment.
type verifier struct {
	d        *loaded
	i        int
	s        *segment
	messages uint64
	ended    bool // the last record says that it is the last
	damage   []Damage
	next     uint64 // behind the last message that is there
	absent   *spans // messages that are wanted and not there
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
	c := v.d.cursor(f, h, end)
	if err := v.records(c); err != nil {
		return err
	}
	if v.s.sealed {
		v.miss(v.s.last)
	} else {
		v.miss(v.d.next - 1)
	}
	if v.s.sealed && (!v.ended || v.s.header.flags&flagCompacted == 0) {
		v.lost(c.expect, v.s.last, end)
	}
	return nil
}

// page looks at all that is in front of the records.
func (v *verifier) page(f File, h segmentHeader) error {
	page, right := make([]byte, dataStart), make([]byte, dataStart)
	size, err := f.ReadAt(page, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	h.encode(right)
	for at := 0; at < size; at += headerCopyAt {
		first, end := differ(page[at:min(at+headerCopyAt, size)], right[at:])
		if first < end {
			v.damage = append(v.damage, Damage{
				Segment: v.s.name(), Offset: int64(at + first), Bytes: int64(end - first), What: "a copy of the header differs",
			})
		}
	}
	if size < dataStart && v.s.sealed { // load tells of the last
		v.damage = append(v.damage, Damage{Segment: v.s.name(), Offset: int64(size), What: endsAt(int64(size))})
	}
	return nil
}

// differ returns the first byte of b that differs from that of what is right, and the end of the last.
func differ(b, right []byte) (first, end int) {
	for i := range b {
		if b[i] != right[i] {
			if end == 0 {
				first = i
			}
			end = i + 1
		}
	}
	return first, end
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
			d := &v.damage[len(v.damage)-1]
			if d.Acks = d.Acks && !v.s.sealed; d.To > 0 { // the checkpoint of the next one knows
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
	whole, err := c.view(at, int(min(c.off, c.limit)-at))
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
		v.miss(r.number - 1)
		v.next = r.number + 1
		err = new(Record).parse(nil, r)
	case r.kind != recordEnd:
		st := newState()
		err = st.apply(r.payload)
	}
	return err
}

// lost notes messages that should be behind offset at and are not. If the bytes before them are bad, that is why.
func (v *verifier) lost(lo, hi uint64, at int64) {
	gap := v.gap(lo, hi)
	if gap == nil {
		return
	}
	if n := len(v.damage); n > 0 {
		if d := &v.damage[n-1]; d.To == 0 && (d.Offset >= dataStart || at < dataStart) && d.Offset+d.Bytes == at {
			d.From, d.To = gap.From, gap.To
			return
		}
	}
	v.damage = append(v.damage, Damage{Segment: v.s.name(), Offset: at, From: gap.From, To: gap.To, What: "messages missing behind this place"})
}

// miss notes those of the messages up to last that are wanted and not there.
func (v *verifier) miss(last uint64) {
	if gap := v.gap(v.next, last); gap != nil {
		v.absent.add(gap.From, gap.To)
	}
}

// gap returns what somebody wants of messages that are not there, and nobody let go.
func (v *verifier) gap(lo, hi uint64) *Gap {
	if lo > hi {
		return nil
	}
	wanted := []*position{}
	if v.s.header.kind.queues() {
		wanted = slices.Collect(maps.Values(v.d.state.positions))
	}
	gap := v.d.state.missing(lo, hi, wanted...)
	if gap != nil && !gap.Damaged { // what retention dropped; the rest may be lost all the same
		gap = v.d.state.missing(gap.To+1, hi, wanted...)
	}
	return gap
}
