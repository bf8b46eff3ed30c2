package route

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// seed makes the hashes of one set of topics its own: peers choose the topics, and must not know which of them meet.
type seed struct{ start, word, tail uint64 }

// draw makes up a seed unless there is one.
func (s *seed) draw() {
	if s.start == 0 {
		*s = seed{rand.Uint64() | 1, rand.Uint64() | 1, rand.Uint64() | 1}
	}
}

// hash returns the hash of a topic, which is never zero.
func (s *seed) hash(topic []byte) uint32 {
	h := s.prefixes(topic)
	return h.next(len(topic))
}

func (s *seed) prefixes(topic []byte) prefixes {
	return prefixes{seed: s, topic: topic, state: s.start}
}

// block is how much of a topic is hashed in one step.
const block = 16

// prefixes hashes prefixes of one topic, each longer than the one before: all of them in one pass over the topic.
type prefixes struct {
	seed  *seed
	topic []byte
	at    int    // how much of it is in state: whole blocks
	state uint64 // of the bytes before at
}

// next returns the hash of the first n bytes.
func (h *prefixes) next(n int) uint32 {
	for n-h.at >= block {
		a, b := words(h.topic[h.at:])
		h.state = fold(h.state^a, h.seed.word^b)
		h.at += block
	}
	a, b := h.rest(n - h.at)
	// The length tells a topic that ends with zeros from one that ends before them.
	return max(1, uint32(fold(h.state^a, h.seed.tail^b^uint64(n)<<1)))
}

// rest returns so many of the bytes that are not in state, fewer than a block.
func (h *prefixes) rest(n int) (a, b uint64) {
	if n == 0 {
		return 0, 0
	}
	if rest := h.topic[h.at:]; len(rest) >= block {
		a, b = words(rest)
	} else {
		var padded [block]byte
		copy(padded[:], rest)
		a, b = words(padded[:])
	}
	if n < 8 {
		return a & (1<<(8*n) - 1), 0
	}
	return a, b & (1<<(8*n-64) - 1)
}

func words(b []byte) (uint64, uint64) {
	return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:block])
}

// fold mixes by multiplication: together, the halves of a product depend on every bit of both factors.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
