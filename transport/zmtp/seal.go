package zmtp

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// A frame of ours becomes a MESSAGE on a CURVE connection:
//
//	 0       1 or 9    8           16      32      33
//	+-------+---------+-----------+-------+-------+-------+----------+
//	| 00    | size    | 7 MESSAGE | nonce | tag   | flags | body     |   flags and body are enciphered; the offsets count from the name
//	+-------+---------+-----------+-------+-------+-------+----------+
//
// The outer flags are 0, not COMMAND as RFC 37 wants, since libzmq drops a MESSAGE with that flag; from peers both are taken. The inner ones
// are bit 0 for MORE, as in RFC 26, and bit 1 for a command, as libzmq has it.
const (
	sealedName   = "\x07MESSAGE"
	sealedHead   = len(sealedName) + shortNonce + tagSize
	sealedMore   = 0x01
	sealedInside = 0x02 // what is inside is a command
	// SealedOverhead is how much larger the body of a sealed frame is.
	SealedOverhead = sealedHead + 1
)

// Errors of Opener. After any of them the stream cannot be followed any more.
var (
	ErrUnsealed  = errors.New("zmtp: a frame that is not sealed on a CURVE connection")
	ErrSealed    = errors.New("zmtp: a sealed frame does not open: it was changed on its way, or sealed with another key")
	ErrReplayed  = errors.New("zmtp: the nonce of a sealed frame is not larger than the last")
	ErrSealFlags = errors.New("zmtp: a sealed frame has flags that nobody knows")
	// ErrExhausted is Sealer's: 2^64 frames have been sealed, and the connection has to end.
	ErrExhausted = errors.New("zmtp: the nonces of this connection are used up")
)

// Sealer turns frames into the MESSAGE commands that carry them over a CURVE connection. It is not safe for concurrent use.
type Sealer struct {
	cipher
	nonce  uint64 // the last one
	header [MaxHeaderSize]byte
	n      int    // octets of a header that is cut short, or whose body is
	body   []byte // the body that is cut short, as far as it is there
}

// Append appends what the frames at the start of in become, until dst has limit octets or more, or in ends. used is how much of in it took; a frame
// that is cut short at its end is kept until the rest comes. The error is ErrExhausted, or one of ParseHeader.
func (s *Sealer) Append(dst, in []byte, limit int) (out []byte, used int, err error) {
	for used < len(in) && len(dst) < limit {
		rest := in[used:]
		if s.n == 0 {
			flags, size, h, err := ParseHeader(rest)
			if err != nil {
				return dst, used, err
			}
			if h > 0 && size <= uint64(len(rest)-h) {
				end := h + int(size)
				if dst, err = s.seal(dst, flags, rest[h:end]); err != nil {
					return dst, used, err
				}
				used += end
				continue
			}
		}
		n := 0
		if dst, n, err = s.collect(dst, rest); err != nil {
			return dst, used, err
		}
		used += n
	}
	return dst, used, nil
}

// Held returns how many octets of a frame that is cut short were taken.
func (s *Sealer) Held() int { return s.n + len(s.body) }

// collect takes what is missing of a frame that is cut short, and seals it when it is whole.
func (s *Sealer) collect(dst, in []byte) (out []byte, n int, err error) {
	flags, size, h, err := ParseHeader(s.header[:s.n])
	for ; h == 0 && err == nil; flags, size, h, err = ParseHeader(s.header[:s.n]) {
		if n == len(in) {
			return dst, n, nil
		}
		s.header[s.n] = in[n]
		s.n, n = s.n+1, n+1
	}
	if err != nil {
		return dst, n, err
	}
	missing := size - uint64(len(s.body))
	if missing > uint64(len(in)-n) {
		s.body = append(s.body, in[n:]...)
		return dst, len(in), nil
	}
	body := in[n : n+int(missing)]
	if len(s.body) > 0 {
		body = append(s.body, body...)
	}
	dst, err = s.seal(dst, flags, body)
	s.n, s.body = 0, nil
	return dst, n + int(missing), err
}

// seal appends one frame.
func (s *Sealer) seal(dst []byte, flags byte, body []byte) ([]byte, error) {
	if s.nonce+1 == 0 {
		return dst, ErrExhausted
	}
	s.nonce++
	dst = AppendHeader(dst, 0, SealedOverhead+len(body))
	start := len(dst)
	dst = grow(dst, SealedOverhead+len(body))
	frame := dst[start:]
	inside := byte(0)
	switch {
	case flags&FlagMore != 0:
		inside = sealedMore
	case flags&FlagCommand != 0:
		inside = sealedInside
	}
	var ks group
	s.group(&ks, s.nonce, 0, tagKey+1+len(body))
	frame[sealedHead] = inside ^ ks[tagKey]
	n := subtle.XORBytes(frame[SealedOverhead:], body, ks[tagKey+1:])
	s.xor(frame[SealedOverhead+n:], body[n:], s.nonce, tagKey+1+n)
	copy(frame, sealedName)
	binary.BigEndian.PutUint64(frame[len(sealedName):], s.nonce)
	ks.sum(frame[sealedHead-tagSize:], frame[sealedHead:])
	return dst, nil
}

// grow makes b n octets longer. It does not clear them.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b[:len(b)+n]
	}
	more := make([]byte, len(b)+n, max(2*cap(b), len(b)+n))
	copy(more, b)
	return more
}

// Written returns how many octets of frames are carried by the sealed frames that lie wholly within the first n octets of sealed, which begins with one.
func Written(sealed []byte, n int) (octets int) {
	for {
		_, size, h, err := ParseHeader(sealed)
		if err != nil || h == 0 || uint64(n) < uint64(h)+size {
			return octets
		}
		body := int(size) - SealedOverhead
		octets += headerSize(body) + body
		sealed, n = sealed[h+int(size):], n-h-int(size)
	}
}

func headerSize(body int) int {
	if body <= maxShort {
		return 2
	}
	return MaxHeaderSize
}

// Wipe forgets the key. Nothing can be sealed any more.
func (s *Sealer) Wipe() {
	s.nonce = 1<<64 - 1
	clear(s.key[:])
}

func newTraffic(s *session, ours, theirs string) (*Sealer, *Opener) {
	return &Sealer{cipher: newCipher(&s.shared, ours), nonce: s.sent}, &Opener{cipher: newCipher(&s.shared, theirs), last: s.received}
}

// Traffic returns what seals and opens all that follows a handshake with CURVE, once it is Done: from the next octet on. It is nil with other
// mechanisms. It can be called once.
func (h *Handshake) Traffic() (*Sealer, *Opener) {
	m, ok := h.mechanism.(interface {
		traffic() (*Sealer, *Opener)
		forget()
	})
	if !ok || !h.Done() || h.peer.Major < 3 {
		return nil, nil
	}
	defer m.forget()
	return m.traffic()
}
