package spool

import (
	"fmt"
	"path"
)

// Damage is a part of a segment that cannot be read.
type Damage struct {
	// Segment is the name of the file.
	Segment string
	// Offset is the first byte concerned, Bytes how many there are.
	Offset, Bytes int64
	// From and To are the numbers of the messages lost, both 0 if none are, or if nothing of the file can be read: others say then what is missing between
	// them. To alone is 0 where nobody knows how many.
	From, To uint64
	// Acks is true if it may have held what consumers had acknowledged, or failed at: such messages are delivered again. Of dead letters it is what was purged, which is there again.
	Acks bool
	// What says what is wrong.
	What string
}

// String returns one line.
func (d Damage) String() string {
	lost := "no message lost"
	switch {
	case d.From == 0 && d.What == noHeader:
		lost = "its messages are lost"
	case d.To == 0 && d.From > 0:
		lost = fmt.Sprintf("messages from %d on lost", d.From)
	case d.To > 0 && d.Acks:
		lost = fmt.Sprintf("messages %d to %d lost, and acknowledgements may be", d.From, d.To)
	case d.To > 0:
		lost = fmt.Sprintf("messages %d to %d lost", d.From, d.To)
	case d.Acks:
		lost += ", but acknowledgements may be"
	}
	return fmt.Sprintf("%s: bytes %d to %d: %s: %s", d.Segment, d.Offset, d.Offset+d.Bytes, d.What, lost)
}

// ofLetters returns damage found in the dead letters as that of the spool they are in.
func (d Damage) ofLetters() Damage {
	d.Segment = path.Join(deadName, d.Segment)
	return d
}

// noHeader is what is wrong with a segment of which nothing can be read.
const noHeader = "no readable header"

// noFile is what is wrong with a segment that is not there.
const noFile = "the file is missing"

// noFolder is what is wrong with the dead letters where a file or a link is in their place.
const noFolder = "not a folder"

// noCheckpoint is what is wrong with a segment that does not say what was acknowledged before it.
const noCheckpoint = "no readable checkpoint"

// endsAt is what is wrong with a segment that is shorter than it was.
func endsAt(size int64) string { return fmt.Sprintf("the file ends at byte %d", size) }

// damageOf describes bad bytes. The messages lost with them show at the record behind.
func damageOf(s *segment, c *cursor, bad *badBytes) Damage {
	d := Damage{Segment: s.name(), Offset: bad.from, Bytes: bad.to - bad.from, What: "no record"}
	if bad.number > 0 {
		d.From, d.To, d.What = bad.number, bad.number, "payload differs from its sum"
		return d
	}
	behind, _, err := c.parse(c.off)
	next := behind.number
	if err != nil && c.off >= c.known.off { // it is the end
		next = c.known.number
	}
	if next > c.expect {
		d.From, d.To = c.expect, next-1
	}
	if d.Offset+d.Bytes > s.size {
		d.What = endsAt(s.size)
	}
	unknown := bad.kind == 0 && (err != nil || behind.kind != recordCheckpoint) // which says all that was before it
	d.Acks = unknown || bad.kind == recordState
	return d
}
