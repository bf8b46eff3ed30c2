package link

import "sync"

// Peers that send nothing but commands, such as PINGs, hold no buffer: of ten thousand peers of a socket most are idle. A peer is idle
// until it says more than a word, and again when a command follows another.

// idleChunks are the buffers of idle peers, each while it is read into.
var idleChunks = sync.Pool{New: func() any { return new([firstChunk]byte) }}

// lender has such a buffer.
type lender interface {
	lend() []byte
	takeBack()
}

func (in *In) lend() []byte {
	in.lent = idleChunks.Get().(*[firstChunk]byte)
	in.buf, in.r, in.p, in.w = in.lent[:], 0, 0, 0
	return in.buf
}

func (in *In) takeBack() {
	in.leave() // no chunk before it may be taken for the buffer, which is another's from now on
	idleChunks.Put(in.lent)
	in.lent, in.buf = nil, nil
}

// firstWord is the most that a peer may say first and be idle still: many greet and then wait.
const firstWord = 512

// rest gives the buffer up if the peer is idle, and returns the batch that was found in it. commands says that there were some.
func (in *In) rest(b Batch, commands bool) Batch {
	switch {
	case b.Msgs > 0:
		if in.quiet && len(b.data) > 0 && len(b.data) <= firstWord && in.settled() { // a message that outgrew the buffer has parts in it
			b.data = in.word(b.data)
		}
		in.lent, in.quiet = nil, false // it belongs to the messages
	case !commands:
	case in.lent == nil && !in.quiet:
		in.quiet = true
	case in.buf == nil || !in.settled():
	case in.lent != nil:
		in.takeBack()
		in.r, in.p, in.w, in.quiet = 0, 0, 0, true
	default:
		in.leave()
		in.buf, in.r, in.p, in.w = nil, 0, 0, 0
	}
	return b
}

// settled reports whether nothing of the buffer is left to be parsed, and no message under way.
func (in *In) settled() bool { return in.r == in.w && in.want == 0 && len(in.partial) == 0 }

// word gives the buffer up although messages are in it: they get memory of their own, unless they fill it.
func (in *In) word(data []byte) []byte {
	switch {
	case in.lent != nil:
		data = append(make([]byte, 0, len(data)), data...)
		in.takeBack()
	case in.w == len(in.buf):
		in.leave()
		in.buf = nil
	default:
		return data
	}
	in.r, in.p, in.w = 0, 0, 0
	return data
}
