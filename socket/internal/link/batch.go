package link

import "github.com/meshmq/meshmq/transport/zmtp"

// Batch is a number of whole messages as they arrived: a run of frames to be decoded one by one, or
// one message that is decoded already.
type Batch struct {
	Msgs  int    // messages left in it
	Bytes int    // bytes of their bodies, when the batch was made
	Lease *Lease // memory of the large bodies of a single message, nil where there is none

	data   []byte   // frames; commands among them have been dealt with
	frames [][]byte // the one message of a batch without data
}

// frameCost is what a decoded frame costs beside its body: a slice header.
const frameCost = 24

// Held returns how much memory the batch holds, however little of it are bodies.
func (b *Batch) Held() int {
	if b.data != nil {
		return len(b.data)
	}
	return b.Bytes + frameCost*len(b.frames)
}

// One returns a batch of a single message.
func One(frames ...[]byte) Batch {
	b := Batch{Msgs: 1, frames: frames}
	for _, f := range frames {
		b.Bytes += len(f)
	}
	return b
}

// Slab deals out slices of frames from larger allocations, which it gives away for good.
type Slab struct{ free [][]byte }

// slabFrames is how many frames one allocation holds: enough to make it rare, few enough that a kept
// message does not hold much.
const slabFrames = 128

func (s *Slab) take(n int) [][]byte {
	if n > len(s.free) {
		s.free = make([][]byte, max(n, slabFrames))
	}
	f := s.free[:n:n]
	s.free = s.free[n:]
	return f
}

// Next takes one message out of the batch, which must hold one: its frames behind lead empty places for
// frames of the caller's, and the size of their bodies. The frames belong to the caller.
func (b *Batch) Next(slab *Slab, lead int) (frames [][]byte, size int) {
	b.Msgs--
	d := b.data
	if len(d) >= 2 && d[0] == 0 { // a short message of one frame
		n := 2 + int(d[1])
		frames = slab.take(lead + 1)
		frames[lead] = d[2:n:n]
		b.data = d[n:]
		return frames, n - 2
	}
	if d == nil {
		frames, b.frames = b.frames, nil
		if lead > 0 {
			frames = append(slab.take(lead + len(frames))[:lead], frames...)
		}
		return frames, b.Bytes
	}
	return b.next(slab, lead)
}

// next is Next for long frames and messages of several frames.
func (b *Batch) next(slab *Slab, lead int) (frames [][]byte, size int) {
	count := 0
	for pos, more := 0, true; more; {
		flags, n, h, _ := zmtp.ParseHeader(b.data[pos:])
		pos += h + int(n)
		if flags&zmtp.FlagCommand == 0 {
			more = flags&zmtp.FlagMore != 0
			count++
		}
	}
	frames = slab.take(lead + count)
	for i := lead; i < len(frames); {
		flags, n, h, _ := zmtp.ParseHeader(b.data)
		end := h + int(n)
		if flags&zmtp.FlagCommand == 0 {
			frames[i] = b.data[h:end:end]
			size += int(n)
			i++
		}
		b.data = b.data[end:]
	}
	return frames, size
}
