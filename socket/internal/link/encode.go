package link

import "github.com/meshmq/meshmq/transport/zmtp"

// Encode encodes a message once for many queues: parts alternate between frames as they go on the wire,
// which are to be copied, and large bodies, which the queues share. parts and small are buffers to reuse.
func Encode(parts [][]byte, small []byte, frames [][]byte) ([][]byte, []byte) {
	parts, small = encodeAround(parts, small, frames)
	k := 1
	for _, f := range frames {
		if len(f) > largeBody {
			parts[k] = append([]byte(nil), f...)
			k += 2
		}
	}
	return parts, small
}

// EncodeGiven is Encode for frames that the caller gives away: large bodies are not copied.
func EncodeGiven(parts [][]byte, small []byte, frames [][]byte) ([][]byte, []byte) {
	parts, small = encodeAround(parts, small, frames)
	k := 1
	for _, f := range frames {
		if len(f) > largeBody {
			parts[k] = f
			k += 2
		}
	}
	return parts, small
}

// encodeAround leaves places for the large bodies.
func encodeAround(parts [][]byte, small []byte, frames [][]byte) ([][]byte, []byte) {
	need := 0
	for _, f := range frames {
		need += zmtp.MaxHeaderSize
		if len(f) <= largeBody {
			need += len(f)
		}
	}
	if cap(small) < need {
		small = make([]byte, 0, need)
	}
	parts, small = parts[:0], small[:0]
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
	return parts, small
}
