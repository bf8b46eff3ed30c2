package codec

import (
	"hash/maphash"
	"sync/atomic"
)

// names has the names that envelopes carried of late: type, source and codec, as they are on the wire. There are few in a process, and
// each message would copy them once more.
var names interned

// interned is a table of strings. What is in it is replaced by what comes later, so that it holds no more than it has places.
type interned struct {
	places [256]atomic.Pointer[string] // 64 KiB of strings at most
}

// maxInterned is how long a string may be that is kept: names that people read are shorter.
const maxInterned = 256

var namesSeed = maphash.MakeSeed()

// copy returns b as a string.
func (t *interned) copy(b []byte) string {
	if len(b) > maxInterned {
		return string(b)
	}
	place := &t.places[maphash.Bytes(namesSeed, b)%uint64(len(t.places))]
	if known := place.Load(); known != nil && *known == string(b) {
		return *known
	}
	s := string(b)
	place.Store(&s)
	return s
}
