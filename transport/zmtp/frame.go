package zmtp

import (
	"encoding/binary"
	"errors"
)

// The bits of a frame's first octet (RFC 37, "Framing"). All others are zero.
const (
	FlagMore    = 0x01 // another frame of the same message follows
	FlagLong    = 0x02 // the size takes eight octets instead of one
	FlagCommand = 0x04 // the body is a command
)

// MaxHeaderSize is the size of the longest frame header: flags and an eight-octet size.
const MaxHeaderSize = 9

// maxShort is the largest body whose size fits the one octet of a short frame.
const maxShort = 255

// Errors of ParseHeader. After either the stream cannot be followed any more.
var (
	ErrFrameFlags = errors.New("zmtp: frame has reserved flags set, or MORE on a command")
	ErrFrameSize  = errors.New("zmtp: frame size is above 2^63-1")
)

// AppendHeader appends the header of a frame whose body has size octets, in the shortest form. Of flags only
// FlagMore and FlagCommand count, one of them at a time; FlagLong is set here.
func AppendHeader(dst []byte, flags byte, size int) []byte {
	flags &= FlagMore | FlagCommand
	if size <= maxShort {
		return append(dst, flags, byte(size))
	}
	return binary.BigEndian.AppendUint64(append(dst, flags|FlagLong), uint64(size))
}

// AppendFrame appends a whole frame: header and body.
func AppendFrame(dst []byte, flags byte, body []byte) []byte {
	return append(AppendHeader(dst, flags, len(body)), body...)
}

// ParseHeader reads the frame header at the start of b. n is its length, 0 when b is too short to tell. flags
// holds FlagMore or FlagCommand or neither: FlagLong has done its work and is not reported. size is what the peer
// claims, up to 2^63-1: bound it before allocating. The error is ErrFrameFlags or ErrFrameSize, as soon as b
// shows it.
func ParseHeader(b []byte) (flags byte, size uint64, n int, err error) {
	if len(b) >= 2 && b[0] <= FlagMore { // a short message frame: the hot path
		return b[0], uint64(b[1]), 2, nil
	}
	if len(b) == 0 {
		return 0, 0, 0, nil
	}
	flags = b[0] &^ FlagLong
	// RFC 37, "Framing": bits 7-3 are reserved and zero, and MORE is zero on commands: 0, 1 and 4 are left.
	if flags > FlagCommand {
		return 0, 0, 0, ErrFrameFlags
	}
	if b[0]&FlagLong == 0 {
		if len(b) < 2 {
			return 0, 0, 0, nil
		}
		return flags, uint64(b[1]), 2, nil
	}
	if len(b) >= 2 && b[1] > 0x7f {
		return 0, 0, 0, ErrFrameSize
	}
	if len(b) < MaxHeaderSize {
		return 0, 0, 0, nil
	}
	return flags, binary.BigEndian.Uint64(b[1:]), MaxHeaderSize, nil
}
