package zmtp

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// oldTypes are the socket types by the numbers that ZMTP 2.0 has for them (RFC 15). It has none for the last two, which
// libzmq 3 sends all the same.
var oldTypes = [...]SocketType{Pair, Pub, Sub, Req, Rep, Dealer, Router, Pull, Push, XPub, XSub}

// oldCodes are the numbers we send. RFC 15, "Publish-Subscribe": XPUB and XSUB are PUB and SUB on the wire.
var oldCodes = map[SocketType]byte{
	Pair: 0, Pub: 1, Sub: 2, Req: 3, Rep: 4, Dealer: 5, Router: 6, Pull: 7, Push: 8, XPub: 1, XSub: 2,
}

// startOld answers a peer of version 1 or 2, of which versionOf has just made sure.
//
//	          1.0                          2.0
//	ours      ff length 7f | identity      signature 03 | type 00 length identity
//	theirs    length 00 identity           signature 01   type 00 length identity
//
// What stands before the bar was sent: in 1.0 our signature is the header of a long frame.
func (h *Handshake) startOld(major byte) error {
	sent := greetingMajor
	if major == 2 {
		sent = greetingMinor
	}
	switch {
	case !h.downgrade:
		return refuse(OldVersion, "the peer speaks ZMTP %d.0, want 3.0 or later", major)
	case h.sent > sent:
		return refuse(OldVersion, "the peer speaks ZMTP %d.0 and was silent until it was greeted in 3.1", major)
	}
	if err := h.admitted(); err != nil {
		return err
	}
	if major == 1 {
		h.out = append(h.out, h.identity...)
	} else {
		h.greet(greetingMinor)
		h.out = AppendFrame(append(h.out, oldCodes[h.socketType]), 0, h.identity)
		h.buf = h.buf[:0]
	}
	h.sent = GreetingSize // all there will be of it
	h.peer = Peer{Major: major, Mechanism: h.mechanism.name()}
	return nil
}

// stepOld takes what it can of what an older peer says of itself, and accepts it when it is whole.
func (h *Handshake) stepOld(in []byte) (n int, err error) {
	n, header, err := h.collect(in, h.oldFrame)
	if err != nil || header == 0 {
		return n, err
	}
	if h.peer.Major == 2 {
		if err := h.acceptOldType(h.buf[0]); err != nil {
			return n, err
		}
	}
	if identity := h.buf[header:]; h.peer.SocketType.announces() || h.peer.SocketType == "" {
		if err := checkIdentity(identity); err != nil {
			return n, refuse(BadIdentity, "%v", err)
		}
		h.peer.Identity = bytes.Clone(identity)
	}
	if err := h.identified(); err != nil {
		return n, err
	}
	h.agreed = true
	return n, nil
}

// oldFrame is frame for the identity frame of an older version, behind the socket type in 2.0. Its size is refused
// above the 255 octets that an identity has at most.
func (h *Handshake) oldFrame() (header, missing int, err error) {
	var flags byte
	var size uint64
	if h.peer.Major == 1 {
		_, size, header, err = parseOldHeader(h.buf)
	} else if len(h.buf) > 0 {
		flags, size, header, err = ParseHeader(h.buf[1:])
		if header > 0 {
			header++
		}
	}
	switch {
	case err != nil:
		return 0, 0, refuse(MalformedCommand, "%s", detail(err))
	case header == 0:
		return 0, 1, nil
	case flags != 0:
		return 0, 0, refuse(UnexpectedCommand, "a frame with flags 0x%02x in place of an identity", flags)
	case size > maxIdentity:
		return 0, 0, refuse(BadIdentity, "an identity of %d octets, want at most %d", size, maxIdentity)
	}
	return header, header + int(size) - len(h.buf), nil
}

// acceptOldType checks the socket type of a 2.0 peer. RFC 15 has one that does not fit disconnected without a word.
func (h *Handshake) acceptOldType(code byte) error {
	if int(code) >= len(oldTypes) {
		return refuse(IncompatibleType, "%s cannot talk to socket type %d", h.socketType, code)
	}
	theirs := oldTypes[code]
	if !h.socketType.Compatible(theirs) {
		return refuse(IncompatibleType, "%s cannot talk to %q", h.socketType, theirs)
	}
	h.peer.SocketType = theirs
	return nil
}

// A frame of ZMTP 1.0 (RFC 13). The length counts the flags; of those only MORE, bit 0, means something, and the rest
// is not checked since libzmq 2 sets it.
//
//	 0        1       2                0    1            9       10
//	+--------+-------+--------+       +----+------------+-------+--------+
//	| length | flags | body   |       | FF | length (8) | flags | body   |
//	| 1..254 |       |        |       |    |            |       |        |
//	+--------+-------+--------+       +----+------------+-------+--------+
const (
	oldLong      = 0xff // announces a length of eight octets
	oldLongStart = 1 + 8 + 1
)

// ErrOldLength is the error of Upgrader. After it the stream cannot be followed any more.
var ErrOldLength = errors.New("zmtp: frame length of ZMTP 1.0 is zero or above 2^63-1")

// parseOldHeader is ParseHeader for a frame of ZMTP 1.0. size is that of the body. The error is ErrOldLength.
func parseOldHeader(b []byte) (flags byte, size uint64, n int, err error) {
	switch {
	case len(b) < 2:
		return 0, 0, 0, nil
	case b[0] == 0:
		return 0, 0, 0, ErrOldLength
	case b[0] != oldLong:
		return b[1] & FlagMore, uint64(b[0]) - 1, 2, nil
	case b[1] > 0x7f:
		return 0, 0, 0, ErrOldLength
	case len(b) < oldLongStart:
		return 0, 0, 0, nil
	}
	length := binary.BigEndian.Uint64(b[1:])
	if length == 0 {
		return 0, 0, 0, ErrOldLength
	}
	return b[oldLongStart-1] & FlagMore, length - 1, oldLongStart, nil
}

// appendOldHeader is AppendHeader for a frame of ZMTP 1.0.
func appendOldHeader(dst []byte, flags byte, size uint64) []byte {
	if size+1 < oldLong {
		return append(dst, byte(size+1), flags)
	}
	return append(binary.BigEndian.AppendUint64(append(dst, oldLong), size+1), flags)
}

// Upgrader turns what a ZMTP 1.0 peer sends behind its identity into frames of today. The zero value is at the start of
// a frame. It holds a header that is cut short, never a body.
type Upgrader struct {
	header [oldLongStart]byte
	n      int    // octets of the header that are there
	body   uint64 // octets of the body that are to come
}

// Append appends what in becomes, which is cut anywhere. That is never more than nine octets longer than in. After an
// error, ErrOldLength, the stream cannot be followed any more.
func (u *Upgrader) Append(dst, in []byte) ([]byte, error) {
	for len(in) > 0 {
		if u.body > 0 {
			n := int(min(u.body, uint64(len(in))))
			dst, in, u.body = append(dst, in[:n]...), in[n:], u.body-uint64(n)
			continue
		}
		if u.n == 0 && in[0] == 0 { // RFC 13: a frame of no length is not valid, and silently discarded
			in = in[1:]
			continue
		}
		u.header[u.n] = in[0]
		in, u.n = in[1:], u.n+1
		flags, size, n, err := parseOldHeader(u.header[:u.n])
		if err != nil {
			return dst, err
		}
		switch {
		case n == 0:
			continue
		case size <= maxShort:
			dst = append(dst, flags, byte(size))
		default: // not AppendHeader: on 32-bit systems the claim may be more than an int
			dst = binary.BigEndian.AppendUint64(append(dst, flags|FlagLong), size)
		}
		u.n, u.body = 0, size
	}
	return dst, nil
}

// Downgrader turns frames of today into what a ZMTP 1.0 peer understands. Commands are left out: it has none. The zero
// value is at the start of a frame; a copy of a Downgrader goes on from the same place.
type Downgrader struct {
	header [MaxHeaderSize]byte
	n      int    // octets of the header that are there
	body   uint64 // octets of the body that are to come
	drop   bool   // the body is a command's
}

// Append appends what in becomes, which is cut anywhere. The error is one of ParseHeader.
func (d *Downgrader) Append(dst, in []byte) ([]byte, error) {
	for len(in) > 0 {
		if d.body > 0 {
			n := int(min(d.body, uint64(len(in))))
			if !d.drop {
				dst = append(dst, in[:n]...)
			}
			in, d.body = in[n:], d.body-uint64(n)
			continue
		}
		d.header[d.n] = in[0]
		in, d.n = in[1:], d.n+1
		flags, size, n, err := ParseHeader(d.header[:d.n])
		if err != nil {
			return dst, err
		}
		if n == 0 {
			continue
		}
		d.n, d.body, d.drop = 0, size, flags&FlagCommand != 0
		if !d.drop {
			dst = appendOldHeader(dst, flags, size)
		}
	}
	return dst, nil
}
