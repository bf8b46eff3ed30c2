package zmtp

import (
	"crypto/subtle"
	"encoding/binary"
)

// largeSealed is the body from which on Opener returns the header of a frame first and the rest with the next call, when the caller can have a place made
// for it where it is to stay.
const largeSealed = 32 << 10

// Opener turns the MESSAGE commands of a CURVE connection back into frames. It is not safe for concurrent use.
type Opener struct {
	cipher
	last uint64 // nonce

	// Of a frame that has been verified and is being returned in portions:
	header [MaxHeaderSize]byte
	h, k   int // header[k:h] is to be returned
	at     int // where in the frame the next octet to decipher is
	left   int // how many there are
}

// Open opens the frames at the start of sealed into dst, as many as are whole and have room. n octets of dst are to be used, used octets of
// sealed are done with; the next call gets what follows those. Both zero means that more is needed: see ParseHeader for how much. Nothing is returned of
// a frame that does not open. The error is one of this package, and may come with frames that stood before.
func (o *Opener) Open(dst, sealed []byte) (n, used int, err error) {
	for n < len(dst) {
		if o.h > 0 {
			wrote, whole := o.proceed(dst[n:], sealed[used:])
			n += wrote
			if whole == 0 {
				return n, used, nil
			}
			used += whole
			continue
		}
		flags, size, h, err := ParseHeader(sealed[used:])
		if err != nil {
			return n, used, err
		}
		if err := checkSealed(flags, size, h, sealed[used:]); err != nil {
			return n, used, err
		}
		if h == 0 || size > uint64(len(sealed)-used-h) {
			return n, used, nil
		}
		body := int(size) - SealedOverhead
		if n > 0 && headerSize(body)+body > len(dst)-n {
			return n, used, nil
		}
		wrote, whole, err := o.open(dst[n:], sealed[used+h:used+h+int(size)], h)
		if err != nil {
			return n, used, err
		}
		n, used = n+wrote, used+whole
		if whole == 0 {
			return n, used, nil
		}
	}
	return n, used, nil
}

// checkSealed looks at as much of a frame as is there.
func checkSealed(flags byte, size uint64, h int, b []byte) error {
	if h == 0 {
		return nil
	}
	name := b[h:min(len(b), h+len(sealedName))]
	if flags&FlagMore != 0 || size < uint64(SealedOverhead) || string(name) != sealedName[:len(name)] {
		return ErrUnsealed
	}
	return nil
}

// open verifies one frame, of which frame is the body behind a header of h octets, and deciphers it into dst as far as it has room. whole is the size of it all
// when that was so, else 0.
func (o *Opener) open(dst, frame []byte, h int) (n, whole int, err error) {
	nonce := binary.BigEndian.Uint64(frame[len(sealedName):])
	if nonce <= o.last {
		return 0, 0, ErrReplayed
	}
	var ks group
	o.group(&ks, nonce, 0, tagKey+len(frame)-sealedHead)
	if !ks.verify(frame[sealedHead-tagSize:], frame[sealedHead:]) {
		return 0, 0, ErrSealed
	}
	o.last = nonce
	var flags byte
	switch frame[sealedHead] ^ ks[tagKey] {
	case 0:
	case sealedMore:
		flags = FlagMore
	case sealedInside:
		flags = FlagCommand
	default:
		return 0, 0, ErrSealFlags
	}
	body := frame[SealedOverhead:]
	if len(dst) >= MaxHeaderSize+len(body) && len(body) < largeSealed {
		n = len(AppendHeader(dst[:0], flags, len(body)))
		done := subtle.XORBytes(dst[n:], body, ks[tagKey+1:])
		o.xor(dst[n+done:], body[done:], nonce, tagKey+1+done)
		return n + len(body), h + len(frame), nil
	}
	o.h, o.k = len(AppendHeader(o.header[:0], flags, len(body))), 0
	o.at, o.left = h+SealedOverhead, len(body)
	n = copy(dst, o.header[:o.h])
	o.k = n
	if o.left == 0 && o.k == o.h {
		o.h = 0
		return n, h + len(frame), nil
	}
	return n, 0, nil
}

// proceed goes on with a frame that has been verified, at the start of sealed. whole is its size when that was all.
func (o *Opener) proceed(dst, sealed []byte) (n, whole int) {
	n = copy(dst, o.header[o.k:o.h])
	o.k += n
	_, size, h, _ := ParseHeader(sealed)
	k := min(len(dst)-n, o.left)
	o.xor(dst[n:n+k], sealed[o.at:o.at+k], o.last, o.at-h-sealedHead+tagKey)
	o.at, o.left = o.at+k, o.left-k
	if o.k < o.h || o.left > 0 {
		return n + k, 0
	}
	o.h = 0
	return n + k, h + int(size)
}

// Wipe forgets the key. Nothing can be opened any more.
func (o *Opener) Wipe() {
	o.last = 1<<64 - 1
	clear(o.key[:])
}
