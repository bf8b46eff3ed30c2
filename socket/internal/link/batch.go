package link

import (
	"slices"
	"unsafe"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Batch is a number of whole messages as they arrived: a run of frames to be decoded one by one, or
// one message that is decoded already.
type Batch struct {
	Msgs  int    // messages left in it
	Bytes int    // bytes of their bodies, when the batch was made
	Lease *Lease // of the messages' memory, nil where it is not used again

	data   []byte   // frames; commands among them have been dealt with
	pos    int      // where in data the first message begins: a number, since a store of a pointer costs more while the collector runs
	frames [][]byte // the one message of a batch without data
	share  *share   // that of Lease
}

// frameCost is what a decoded frame costs beside its body: a slice header.
const frameCost = 24

// Held returns how much memory the batch holds, however little of it are bodies.
func (b *Batch) Held() int {
	if b.data != nil {
		return len(b.data) - b.pos
	}
	return b.Bytes + frameCost*len(b.frames)
}

// end returns where the memory ends that the messages lie in, which tells one chunk from others as long as somebody has something of it.
func (b *Batch) end() uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b.data))) + uintptr(cap(b.data))
}

// One returns a batch of a single message.
func One(frames ...[]byte) Batch {
	b := Batch{Msgs: 1, frames: frames}
	for _, f := range frames {
		b.Bytes += len(f)
	}
	return b
}

// Slab deals out slices of frames from larger allocations, which it gives away for good. A message that is kept keeps all frames of its allocation, and the chunks they lie in: so one allocation is for few chunks, or a dozen messages where each lies in another.
type Slab struct {
	frames [][]byte
	used   int
	end    uintptr // where the last chunk ends that frames are of: a number, as pos of Batch
	held   int     // bytes of all such chunks
	since  int     // frames since the first of them
	taken  int     // messages of the allocation
}

const (
	// slabFrames is how many frames one allocation holds at most: enough to make it rare.
	slabFrames = 128
	// slabBytes bounds the chunks that they lie in, if there are several, and slabTakes messages: where peers take turns, each time it is another chunk.
	slabBytes = 2 * chunkSize
	// slabTakes is for how many messages an allocation is at least, so that it stays rare whatever they lie in: less than what a full chunk has of 16 KiB.
	slabTakes = 12
)

// Turn is called when the messages of b are the next to be taken.
func (s *Slab) Turn(b *Batch) {
	end := b.end()
	if end == s.end || b.data == nil {
		return
	}
	s.end = end
	if s.held += cap(b.data); s.held <= slabBytes || s.taken < slabTakes {
		return
	}
	s.frames, s.used, s.taken = make([][]byte, min(max(b.Msgs, s.since), slabFrames)), 0, 0
	s.since, s.held = 0, cap(b.data)
}

func (s *Slab) take(n int, b *Batch) [][]byte {
	if n > len(s.frames)-s.used {
		size := min(max(n*(b.Msgs+1), 2*len(s.frames)), slabFrames)
		s.frames, s.used, s.taken, s.held = make([][]byte, max(size, n)), 0, 0, cap(b.data)
	}
	from := s.used
	s.used += n
	s.since += n
	s.taken++
	return s.frames[from:s.used:s.used]
}

// Next takes one message out of the batch, which must hold one: its frames behind lead empty places for
// frames of the caller's, and the size of their bodies. The frames belong to the caller.
func (b *Batch) Next(slab *Slab, lead int) (frames [][]byte, size int) {
	b.Msgs--
	d, pos := b.data, b.pos
	if pos+1 < len(d) && d[pos] == 0 { // a short message of one frame
		size = int(d[pos+1])
		pos += 2
		frames = b.slots(slab, lead+1)
		frames[lead] = d[pos : pos+size : pos+size]
		b.pos = pos + size
		return frames, size
	}
	if d == nil {
		frames, b.frames = b.frames, nil
		if lead > 0 {
			frames = append(make([][]byte, lead, lead+len(frames)), frames...)
		}
		return frames, b.Bytes
	}
	return b.next(slab, lead)
}

// NextSole is Next for a short message of one frame, and reports false for any other.
func (b *Batch) NextSole(frame *[]byte) bool {
	d, pos := b.data, b.pos
	if pos+1 >= len(d) || d[pos] != 0 {
		return false
	}
	end := pos + 2 + int(d[pos+1])
	*frame = d[pos+2 : end : end]
	b.pos = end
	b.Msgs--
	return true
}

// Unshare has the memory of the messages used again when all of them were given back together, by Batch.Release, and not one by one.
func (b *Batch) Unshare() { b.share = nil }

// Release gives the memory of all messages back that were taken since Unshare, if none is left. Only the first call does.
func (b *Batch) Release() {
	if b.Msgs == 0 && b.share == nil {
		b.Lease.releaseAll()
		b.Lease = nil
	}
}

// Left returns the size of the bodies that are left in the batch.
func (b *Batch) Left() (bytes int) {
	if b.data == nil || b.pos == 0 {
		return b.Bytes
	}
	rest := *b
	return rest.Skip(rest.Msgs)
}

// Skip takes n messages out of the batch, as Next does, and returns the size of their bodies.
func (b *Batch) Skip(n int) (bytes int) {
	b.Msgs -= n
	if b.data == nil {
		return n * b.Bytes
	}
	for range n {
		_, size, end := firstMessage(b.data[b.pos:])
		bytes += size
		b.pos += end
	}
	return bytes
}

// slots deals out slots for the frames of the next message.
func (b *Batch) slots(slab *Slab, n int) [][]byte {
	s := b.share
	if s == nil {
		return slab.take(n, b)
	}
	frames := s.take(n, slab, b)
	if b.Msgs == 0 {
		s.taken.Add(1)
		s.unref(1)
	}
	return frames
}

// Last leaves only the last message in the batch whose first frame is wanted, nil wanting all. It returns how many messages
// were wanted; when none was, the batch is of no use any more.
func (b *Batch) Last(wanted func(first []byte) bool) (count int) {
	if b.data == nil {
		if b.Msgs > 0 && (wanted == nil || wanted(b.frames[0])) {
			count = 1
		}
		return count
	}
	var last []byte
	for rest := b.data[b.pos:]; b.Msgs > 0; b.Msgs-- {
		first, size, end := firstMessage(rest)
		if wanted == nil || wanted(first) {
			last, b.Bytes = rest[:end:end], size
			count++
		}
		rest = rest[end:]
	}
	b.data, b.pos, b.Msgs = last, 0, 1
	return count
}

// Keep leaves only the messages in the batch whose first frame is wanted, in order. It returns how many were not.
func (b *Batch) Keep(wanted func(first []byte) bool) (others int) {
	if b.data == nil {
		if b.Msgs == 0 || wanted(b.frames[0]) {
			return 0
		}
		b.Lease.Release(b.frames)
		*b = Batch{}
		return 1
	}
	var kept []byte // from the first message on that is left out
	b.data, b.pos = b.data[b.pos:], 0
	rest := b.data
	for range b.Msgs {
		first, size, end := firstMessage(rest)
		switch {
		case !wanted(first):
			if others == 0 {
				kept = slices.Clone(b.data[:len(b.data)-len(rest)])
			}
			others++
			b.Bytes -= size
		case others > 0:
			kept = append(kept, rest[:end]...)
		}
		rest = rest[end:]
	}
	if others > 0 {
		b.data = kept
	}
	b.Msgs -= others
	return others
}

// firstMessage returns the first frame of the message that data begins with, the size of its bodies, and where it ends.
func firstMessage(data []byte) (first []byte, size, end int) {
	for inside, more := false, true; more; {
		flags, n, h, _ := zmtp.ParseHeader(data[end:])
		body := data[end+h : end+h+int(n)]
		end += h + int(n)
		if flags&zmtp.FlagCommand == 0 {
			if !inside {
				first, inside = body, true
			}
			size += int(n)
			more = flags&zmtp.FlagMore != 0
		}
	}
	return first, size, end
}

// next is Next for long frames and messages of several frames.
func (b *Batch) next(slab *Slab, lead int) (frames [][]byte, size int) {
	count := 0
	for pos, more := b.pos, true; more; {
		flags, n, h, _ := zmtp.ParseHeader(b.data[pos:])
		pos += h + int(n)
		if flags&zmtp.FlagCommand == 0 {
			more = flags&zmtp.FlagMore != 0
			count++
		}
	}
	frames = b.slots(slab, lead+count)
	for i := lead; i < len(frames); {
		flags, n, h, _ := zmtp.ParseHeader(b.data[b.pos:])
		body := b.pos + h
		end := body + int(n)
		if flags&zmtp.FlagCommand == 0 {
			frames[i] = b.data[body:end:end]
			size += int(n)
			i++
		}
		b.pos = end
	}
	return frames, size
}
