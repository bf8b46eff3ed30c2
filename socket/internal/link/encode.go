package link

import (
	"sync/atomic"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Encoded is a message that is encoded once for many queues. The zero value is ready for use, again and again; by one goroutine at a time.
type Encoded struct {
	parts  [][]byte  // in turn frames as they go on the wire, which queues copy, and large bodies, which they share
	bodies []*shared // the large bodies, nil for those that were given away
	small  []byte    // what the frames in parts are cut from
}

// shared is the memory of a large body that several queues have.
type shared struct {
	refs atomic.Int32
	buf  *[]byte // nil if it does not go back
}

func (s *shared) unref() {
	if s.refs.Add(-1) == 0 && s.buf != nil {
		recycleBody(s.buf)
	}
}

// Encode makes e the message of these frames, which it copies. Done follows when all queues have it.
func (e *Encoded) Encode(frames [][]byte) {
	e.encodeAround(frames)
	k := 1
	for _, f := range frames {
		if len(f) > largeBody {
			b, buf := newBody(len(f))
			body := &shared{buf: buf}
			body.refs.Store(1)
			e.parts[k] = append(b, f...)
			e.bodies = append(e.bodies, body)
			k += 2
		}
	}
}

// EncodeGiven is Encode for frames that the caller gives away: large bodies are not copied.
func (e *Encoded) EncodeGiven(frames [][]byte) {
	e.encodeAround(frames)
	k := 1
	for _, f := range frames {
		if len(f) > largeBody {
			e.parts[k] = f
			e.bodies = append(e.bodies, nil)
			k += 2
		}
	}
}

// Done leaves the large bodies to the queues.
func (e *Encoded) Done() {
	for _, s := range e.bodies {
		if s != nil {
			s.unref()
		}
	}
	clear(e.parts)
	clear(e.bodies)
	e.parts, e.bodies = e.parts[:0], e.bodies[:0]
}

// encodeAround leaves places for the large bodies.
func (e *Encoded) encodeAround(frames [][]byte) {
	need := 0
	for _, f := range frames {
		need += zmtp.MaxHeaderSize
		if len(f) <= largeBody {
			need += len(f)
		}
	}
	if cap(e.small) < need {
		e.small = make([]byte, 0, need)
	}
	parts, small := e.parts[:0], e.small[:0]
	start := 0
	for i, f := range frames {
		flags := byte(0)
		if i < len(frames)-1 {
			flags = zmtp.FlagMore
		}
		small = zmtp.AppendHeader(small, flags, len(f))
		if len(f) <= largeBody {
			small = append(small, f...)
			continue
		}
		parts = append(parts, small[start:], nil)
		start = len(small)
	}
	if start < len(small) {
		parts = append(parts, small[start:])
	}
	e.parts, e.small = parts, small
}
