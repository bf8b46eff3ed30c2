package link

import (
	"sync"

	"github.com/meshmq/meshmq/transport/zmtp"
)

const (
	// smallChunk is the first segment of a queue that was empty: it serves a peer that gets a
	// message now and then, and stays with the queue.
	smallChunk = 2 << 10
	// chunkSize is the segment of a busy queue: large enough for the cost of a write call to
	// vanish, small enough to stay in the second-level cache.
	chunkSize = 64 << 10
	// largeBody is the size above which a body travels as its own segment instead of being copied
	// into a chunk: from there on a write call costs less than the copy.
	largeBody = 32 << 10
)

var chunks = sync.Pool{New: func() any {
	heap.spend(chunkSize) // within the process the receiver keeps it
	return new([chunkSize]byte)
}}

// segment is a run of encoded bytes in a queue.
type segment struct {
	b      []byte
	pooled *[chunkSize]byte // what b is cut from, nil if it does not go back to the pool
	copied *[]byte          // the copy of a large body, nil if it does not go back
	shared *shared          // the copy of a large body that other queues have as well, nil if it does not go back
	own    bool             // a large body that no other queue shares
	lent   bool             // a large body that the caller of Append has
	msgs   int              // messages that end in this segment
	size   int              // bytes of their bodies
	whole  bool             // the last message in it ends with it
	small  bool             // b is the small chunk of the queue, all of it
	blk    *block           // what b is cut from on an acknowledged link, at octet at; the fields for memory above are unused then
	at     int
}

// givenMessage is how large the messages of a chunk are, on average, that is given away: a new chunk costs more than to copy small ones.
const givenMessage = 512

// given reports whether the segment may go to a peer within the process for good: an own body, or a chunk that is full enough for what the
// peer holds to be about what it counts.
func (s *segment) given() bool {
	return s.own || s.pooled != nil && s.whole && len(s.b) >= max(chunkSize/2, givenMessage*s.msgs)
}

func (s *segment) recycle() {
	if s.pooled != nil {
		chunks.Put(s.pooled)
	}
	if s.copied != nil {
		recycleBody(s.copied)
	}
	if s.shared != nil {
		s.shared.unref()
	}
	if s.blk != nil {
		s.blk.unref()
	}
	*s = segment{}
}

// mark is a position in a list of segments at which a message begins.
type mark struct {
	seg, pos   int
	msgs, size int // what ended in that segment before pos
}

// queued is one message in a list of segments.
type queued struct {
	begin mark
	end   int // bytes of the list up to its end
	size  int // bytes of its bodies
}

// messages yields what a list of whole messages consists of, one by one.
func messages(segs []segment, yield func(queued) bool) {
	var begin mark
	var offset, size, msgs, bytes int
	more, large, inside := false, false, false
	for i := range segs {
		end := offset + len(segs[i].b)
		if large { // the segment is a body; what ends with it is counted in the next, see queuedLocked
			large, offset = false, end
			if more {
				continue
			}
			if !yield(queued{begin, end, size}) {
				return
			}
			msgs, bytes, size, inside = 1, size, 0, false
			continue
		}
		for pos := 0; pos < len(segs[i].b); {
			if !inside {
				begin, inside = mark{i, pos, msgs, bytes}, true
			}
			flags, body, h, err := zmtp.ParseHeader(segs[i].b[pos:])
			if err != nil || h == 0 {
				return // never: a queue holds whole headers of our own making
			}
			pos += h + int(body)
			size += int(body)
			more = flags&zmtp.FlagMore != 0
			large = offset+pos > end
			if more || large {
				continue
			}
			if !yield(queued{begin, offset + pos, size}) {
				return
			}
			msgs, bytes, size, inside = msgs+1, bytes+size, 0, false
		}
		msgs, bytes, offset = 0, 0, end
	}
}

// unsent returns what is left of queued segments when their first n bytes went to a connection that is
// no more: the messages of which not every byte was written, from the first byte of each on.
// RFC 37, "Socket Semantics": no message is delivered more than once, so the others are not kept.
func unsent(segs []segment, n int) (left []segment) {
	done, end, gone := 0, 0, 0 // what is written and ends with a message is not looked into: a chunk that was handed on may be another's by now
	for i := range segs {
		if end += len(segs[i].b); end > n {
			break
		}
		if segs[i].whole {
			done, gone = i+1, end
		}
	}
	for i := range segs[:done] {
		segs[i].recycle()
	}
	segs, n = segs[done:], n-gone
	messages(segs, func(m queued) bool {
		if m.end > n {
			left = cut(segs, m.begin)
		}
		return m.end <= n
	})
	return left
}

// cut drops what is before m.
func cut(segs []segment, m mark) []segment {
	for i := range segs[:m.seg] {
		segs[i].recycle()
	}
	segs = segs[m.seg:]
	segs[0].b = segs[0].b[m.pos:]
	segs[0].msgs -= m.msgs
	segs[0].size -= m.size
	return segs
}
