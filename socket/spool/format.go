package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

const (
	magic         = "MQSPOL"
	formatVersion = 2

	headerSize   = 80         // bytes of one copy of a segment's header
	headerCopyAt = sector     // the second copy
	dataStart    = 2 * sector // where records begin: headers and records never share a sector
	sector       = 4096       // what a disk loses at once, at most: what is there twice is this far apart
	recordHeader = 32         // bytes in front of a payload
	maxPayload   = 1 << 28    // the length has 28 bits; a payload is shorter than this

	flagCompacted  = 1             // records that were acknowledged may be absent
	knownFlags     = flagCompacted // any other flag means something we would get wrong
	maxSegmentSize = 1<<32 - 1<<29 // offsets have 32 bits, and one more record must fit
	paddingMask    = 8 - 1         // records begin at multiples of 8, where a search looks for them
	zeroTime       = int64(-1 << 63)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ID names a spool: 16 random bytes drawn when it was made. A spool that is deleted and made again has
// another, so that its numbers, which begin at 1 again, are not taken for those of the old one.
type ID [16]byte

// String returns the id in hexadecimal.
func (id ID) String() string { return fmt.Sprintf("%x", id[:]) }

// Kind says when records may go. It is in every segment, so that a topic is never opened as a queue.
type Kind uint8

// The kinds.
const (
	// Queue keeps a record until all its consumers have acknowledged it.
	Queue Kind = 1
	// Topic keeps records as long as Retention says, acknowledged or not.
	Topic Kind = 2
	// kindWindow is a Topic of marks, see Window.
	kindWindow Kind = 3
	// kindDead is a Queue of letters, see Dead.
	kindDead Kind = 4
)

// String returns "queue", "topic", "window" or "dead letters".
func (k Kind) String() string {
	switch k {
	case Queue:
		return "queue"
	case Topic:
		return "topic"
	case kindWindow:
		return "window"
	case kindDead:
		return "dead letters"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// queues reports whether acknowledgements decide how long records stay.
func (k Kind) queues() bool { return k == Queue || k == kindDead }

// salt makes the sums of one segment differ from those of any other, so that no stale or hostile byte
// passes for a record: it would have to guess 64 random bits.
type salt struct{ header, payload uint32 }

// segmentHeader is what a segment says about itself; doc.go draws it.
type segmentHeader struct {
	kind        Kind
	flags       uint8
	incarnation uint32
	id          ID
	salt        salt
	ordinal     uint64 // its place among segments, which is its name, too
	base        uint64 // number of the first message it may hold
	created     int64  // Unix nanoseconds
	until       uint64 // compacted: number of the last message it held; else 0
}

// encode writes both copies into page, which has dataStart bytes.
func (h *segmentHeader) encode(page []byte) {
	b := page[:headerSize]
	copy(b, magic)
	le := binary.LittleEndian
	le.PutUint16(b[6:], formatVersion)
	b[8], b[9] = byte(h.kind), h.flags
	le.PutUint32(b[12:], h.incarnation)
	copy(b[16:], h.id[:])
	le.PutUint32(b[32:], h.salt.header)
	le.PutUint32(b[36:], h.salt.payload)
	le.PutUint64(b[40:], h.ordinal)
	le.PutUint64(b[48:], h.base)
	le.PutUint64(b[56:], uint64(h.created))
	le.PutUint64(b[64:], h.until)
	le.PutUint32(b[76:], crc32.Checksum(b[:76], castagnoli))
	copy(page[headerCopyAt:], b)
}

// decodeSegmentHeader reads the first copy that is sound. It returns ErrVersion if the segment says it is of
// another version, ErrDamaged if neither copy can be read.
func decodeSegmentHeader(page []byte) (segmentHeader, error) {
	other := uint16(0)
	for _, at := range []int{0, headerCopyAt} {
		if len(page) < at+headerSize {
			break
		}
		b := page[at : at+headerSize]
		if !bytes.HasPrefix(b, []byte(magic)) {
			continue
		}
		if v := binary.LittleEndian.Uint16(b[6:]); v != formatVersion {
			other = v
			continue
		}
		if binary.LittleEndian.Uint32(b[76:]) == crc32.Checksum(b[:76], castagnoli) {
			return parseSegmentHeader(b)
		}
	}
	if other != 0 {
		return segmentHeader{}, fmt.Errorf("format %d: %w", other, ErrVersion)
	}
	return segmentHeader{}, fmt.Errorf("no readable segment header: %w", ErrDamaged)
}

func parseSegmentHeader(b []byte) (segmentHeader, error) {
	le := binary.LittleEndian
	h := segmentHeader{
		kind:        Kind(b[8]),
		flags:       b[9],
		incarnation: le.Uint32(b[12:]),
		id:          ID(b[16:32]),
		salt:        salt{header: le.Uint32(b[32:]), payload: le.Uint32(b[36:])},
		ordinal:     le.Uint64(b[40:]),
		base:        le.Uint64(b[48:]),
		created:     int64(le.Uint64(b[56:])),
		until:       le.Uint64(b[64:]),
	}
	if h.flags&^knownFlags != 0 {
		return h, fmt.Errorf("format %d with features %#x: %w", formatVersion, h.flags, ErrVersion)
	}
	return h, nil
}

// recordKind says what a payload is. 0 is none, so that zeros are no record.
type recordKind uint8

const (
	recordMessage    recordKind = 1 // a message of one frame: the payload is the frame
	recordFrames     recordKind = 2 // a message of several or no frames: each its length as a varint, then its bytes
	recordState      recordKind = 3 // changes of state since the last such record, see state.go
	recordCheckpoint recordKind = 4 // all of the state
	recordEnd        recordKind = 5 // all before it is durable, and nothing follows unless the log was opened again
	recordReplayed   recordKind = 6 // a message that was a dead letter: as recordFrames, behind the number and incarnation that it had before
	lastKind                    = recordReplayed
)

func (k recordKind) isMessage() bool {
	return k == recordMessage || k == recordFrames || k == recordReplayed
}

// record is one record of a segment. What is not a message has the number of the next message.
type record struct {
	kind    recordKind
	number  uint64
	time    int64
	synced  uint32 // all of the segment below this offset was durable when the record was written
	payload []byte
}

// recordSize returns the bytes a record with a payload of n bytes takes.
func recordSize(n int) int64 { return int64(recordHeader+n+paddingMask) &^ paddingMask }

// appendRecordHeader starts a record in b: the payload of n bytes, with the plain sum, follows, then padding.
// The record is not readable before seal.
func appendRecordHeader(b []byte, kind recordKind, number uint64, time int64, n int, sum uint32) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(n)|uint32(kind)<<28)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, number)
	b = le.AppendUint64(b, uint64(time))
	b = le.AppendUint32(b, sum)
	return le.AppendUint32(b, 0)
}

var padding [8]byte

// appendRecord appends a whole record, to be sealed.
func appendRecord(b []byte, kind recordKind, number uint64, time int64, payload []byte) []byte {
	b = appendRecordHeader(b, kind, number, time, len(payload), crc32.Checksum(payload, castagnoli))
	b = append(b, payload...)
	return append(b, padding[:-len(payload)&paddingMask]...)
}

// seal gives the records in b, which are whole and only of our making, the sums of their segment.
func (s salt) seal(b []byte, synced int64) {
	le := binary.LittleEndian
	for len(b) > 0 {
		le.PutUint32(b[4:], uint32(synced))
		le.PutUint32(b[24:], le.Uint32(b[24:])^s.payload)
		le.PutUint32(b[28:], crc32.Update(s.header, castagnoli, b[:28]))
		b = b[recordSize(int(le.Uint32(b)&(maxPayload-1))):]
	}
}

// parseHeader reads a record's header; ok is false if it is not one of this segment. The payload is not
// looked at: n is its length, sum what it must add up to.
func (s salt) parseHeader(b []byte) (r record, n int, sum uint32, ok bool) {
	le := binary.LittleEndian
	head := le.Uint32(b)
	r.kind = recordKind(head >> 28)
	if r.kind == 0 || r.kind > lastKind || le.Uint32(b[28:]) != crc32.Update(s.header, castagnoli, b[:28]) {
		return record{}, 0, 0, false
	}
	r.synced = le.Uint32(b[4:])
	r.number = le.Uint64(b[8:])
	r.time = int64(le.Uint64(b[16:]))
	return r, int(head & (maxPayload - 1)), le.Uint32(b[24:]) ^ s.payload, true
}
