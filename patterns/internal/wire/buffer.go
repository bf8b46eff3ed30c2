package wire

import "sync"

const (
	// keepLimit is the capacity beyond which memory is not kept where messages of all sizes are made: most are smaller, and a large one
	// should not hold its memory for as long as small ones follow.
	keepLimit = 64 << 10
	// largeLimit is that beyond which it is not kept at all: several of these would be as much as the rest of a program.
	largeLimit = 16 << 20
)

// Buffer is memory that one message after the other is made in. Sockets copy what they send.
type Buffer struct {
	body, frame []byte
	large       *memory // what the two are parts of, nil if they are the Buffer's own
	next        bool    // the last message was large, and so the next may be
}

// memory is what large messages are made in, one after the other, by whoever has one to make. New memory for each costs more than all the
// rest of sending it: the system gives it page by page.
type memory struct{ body, frame []byte }

var larger sync.Pool // of *memory: the collector takes what nobody has used for a while

// open has the Buffer ready for a message.
func (b *Buffer) open() {
	if !b.next {
		return
	}
	b.next = false // not again, should middleware have the message made twice
	if m, _ := larger.Get().(*memory); m != nil {
		b.large, b.body, b.frame = m, m.body[:0], m.frame[:0]
	}
}

// Close is called when the message that was made last is not needed any more. The Buffer is good for another then, and holds little.
func (b *Buffer) Close() {
	b.next = len(b.body) > keepLimit || len(b.frame) > keepLimit
	if cap(b.body) <= keepLimit && cap(b.frame) <= keepLimit {
		return
	}
	m := b.large
	if m == nil {
		m = new(memory)
	}
	if m.body, m.frame = b.body, b.frame; cap(m.body)+cap(m.frame) <= largeLimit {
		larger.Put(m)
	}
	b.large, b.body, b.frame = nil, nil, nil
}
