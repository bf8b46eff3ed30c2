package link

import "sync"

// Peers that send nothing but commands, such as PINGs, hold no buffer: of ten thousand peers of a socket most are idle. A peer is idle
// until its first message, and again when a command follows another.

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
	idleChunks.Put(in.lent)
	in.lent, in.buf = nil, nil
}

// rest gives the buffer up if the peer is idle. messages and commands say what was found in it.
func (in *In) rest(messages, commands bool) {
	switch {
	case messages:
		in.lent, in.quiet = nil, false // it belongs to the messages
	case !commands:
	case !in.quiet:
		in.quiet = true
	case in.buf == nil || in.r < in.w || in.want > 0 || len(in.partial) > 0:
	case in.lent != nil:
		in.takeBack()
		in.r, in.p, in.w = 0, 0, 0
	default:
		in.leave()
		in.buf, in.r, in.p, in.w = nil, 0, 0, 0
	}
}
