package codec

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
)

// ID identifies a message. NewID makes them; those of other origin may be any 16
// bytes. The zero ID means none. IDs are comparable, and usable as map keys.
type ID [16]byte

// lastStamp is the stamp of the newest ID: milliseconds since 1970 in the upper
// bits, 4096ths of a millisecond in the lower 12.
var lastStamp atomic.Uint64

// NewID returns a new ID: a UUID of version 7, hence unique among all processes,
// and ordered by time of creation among them as far as their clocks agree. Within
// a process each is greater than the one before, even if the clock steps back.
// It is no secret: others may guess it. It takes no lock.
func NewID() ID { return newID(nanos()) }

// newID takes the time in nanoseconds since 1970.
func newID(now int64) ID {
	stamp, _ := nextStamp(now)
	return makeID(stamp, rand.Uint64())
}

// nextStamp returns the stamp of a new ID, and that of the one before.
func nextStamp(now int64) (stamp, last uint64) {
	stamp = uint64(now/1e6)<<12 + uint64(now%1e6)*4096/1e6
	for {
		last = lastStamp.Load()
		stamp = max(stamp, last+1)
		if lastStamp.CompareAndSwap(last, stamp) {
			return stamp, last
		}
	}
}

// makeID lays out a UUID version 7, RFC 9562, 5.7, with the fraction of the
// millisecond in rand_a as its 6.2 (method 3) allows:
//
//	48 bits       4    12         2   62
//	milliseconds  0x7  fraction   10  random
func makeID(stamp, random uint64) ID {
	var id ID
	putID(id[:], stamp, random)
	return id
}

func putID(id []byte, stamp, random uint64) {
	binary.BigEndian.PutUint64(id, stamp>>12<<16|0x7000|stamp&0xfff)
	binary.BigEndian.PutUint64(id[8:], random>>2|1<<63)
}

// IsZero reports whether id is the zero ID, which means none.
func (id ID) IsZero() bool { return id == ID{} }

// String is the usual text of a UUID, in lower case:
// 0192f0c1-2b3c-7d4e-8f90-a1b2c3d4e5f6.
func (id ID) String() string {
	b, _ := id.AppendText(make([]byte, 0, 36))
	return string(b)
}

// AppendText appends String to b. It never fails; the error is for
// encoding.TextAppender.
func (id ID) AppendText(b []byte) ([]byte, error) {
	b = hex.AppendEncode(b, id[:4])
	b = hex.AppendEncode(append(b, '-'), id[4:6])
	b = hex.AppendEncode(append(b, '-'), id[6:8])
	b = hex.AppendEncode(append(b, '-'), id[8:10])
	return hex.AppendEncode(append(b, '-'), id[10:]), nil
}

// MarshalText is String, so that an ID is readable in JSON. It never fails.
func (id ID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// UnmarshalText is ParseID.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}

// ParseID reads what String writes, in either case. It accepts any UUID.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, fmt.Errorf("message id %.40q: want 8-4-4-4-12 hexadecimal digits", s)
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil {
		return ID{}, fmt.Errorf("message id %q: %w", s, err)
	}
	return id, nil
}
