package pubsub

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"

	"github.com/meshmq/meshmq/patterns"
)

// Numbers of events, WithSequence, are a third frame:
//
//	0     1        2                 10                18
//	+-----+--------+-----------------+-----------------+
//	|  1  | levels | numbering       | number, from 1  |    big-endian
//	+-----+--------+-----------------+-----------------+
//
// A numbering is drawn at random. It counts the events of one publisher whose topics have the first levels in common, or that have the very topic if that has no more than those;
// with levels 0 always the latter.
const (
	sequenceVersion = 1
	sequenceSize    = 18
	// maxLevels is as many as a topic can have.
	maxLevels = maxTopic/2 + 1
	// maxNumberings bounds the memory of publishers, and of subscribers: a megabyte or two.
	maxNumberings = 10_000
)

// place is what the third frame says.
type place struct {
	levels    int
	numbering uint64
	number    uint64
}

func (p place) append(dst []byte) []byte {
	dst = append(dst, sequenceVersion, byte(p.levels))
	dst = binary.BigEndian.AppendUint64(dst, p.numbering)
	return binary.BigEndian.AppendUint64(dst, p.number)
}

func parsePlace(frame []byte) (p place, err error) {
	if len(frame) != sequenceSize || frame[0] != sequenceVersion || frame[1] > maxLevels {
		return p, fmt.Errorf("%w: sequence % x, want version %d and %d bytes", patterns.ErrMalformed, frame[:min(len(frame), sequenceSize)], sequenceVersion, sequenceSize)
	}
	p = place{levels: int(frame[1]), numbering: binary.BigEndian.Uint64(frame[2:]), number: binary.BigEndian.Uint64(frame[10:])}
	if p.number == 0 {
		return p, fmt.Errorf("%w: sequence number 0, want 1 or more", patterns.ErrMalformed)
	}
	return p, nil
}

// commonOf returns what topics of one numbering have in common: the first levels and the dot behind them, or all of the topic.
func commonOf(topic string, levels int) string {
	if levels == 0 {
		return topic
	}
	end := 0
	for range levels {
		dot := strings.IndexByte(topic[end:], '.')
		if dot < 0 {
			return topic
		}
		end += dot + 1
	}
	return topic[:end]
}

// sequencer numbers what a Publisher publishes.
type sequencer struct {
	levels int

	mu         sync.Mutex // guards the field below
	numberings map[string]*numbering
}

// numbering is one count of events. The turn belongs to who sends one of them, so that they are sent in the order of their numbers; a channel, because sending may block.
type numbering struct {
	turn chan struct{}
	id   uint64
	last uint64 // of who has the turn
}

func newSequencer(levels int) *sequencer {
	return &sequencer{levels: levels, numberings: map[string]*numbering{}}
}

func (s *sequencer) of(topic string) *numbering {
	common := commonOf(topic, s.levels)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.numberings[common]
	if n == nil {
		if len(s.numberings) == maxNumberings {
			clear(s.numberings)
		}
		var id [8]byte
		_, _ = rand.Read(id[:]) // never fails
		n = &numbering{turn: make(chan struct{}, 1), id: binary.BigEndian.Uint64(id[:])}
		s.numberings[strings.Clone(common)] = n
	}
	return n
}

// send calls send with the frame of the next number, which is used if that returns nil.
func (s *sequencer) send(ctx context.Context, topic string, send func(sequence []byte) error) error {
	n := s.of(topic)
	select {
	case n.turn <- struct{}{}:
	default:
		select {
		case n.turn <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("publish: %w", ctx.Err())
		}
	}
	defer func() { <-n.turn }()
	var frame [sequenceSize]byte
	err := send(place{s.levels, n.id, n.last + 1}.append(frame[:0]))
	if err == nil {
		n.last++
	}
	return err
}
