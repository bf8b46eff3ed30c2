package zmtp

//lint:file-ignore SA1019 Salsa20 and Poly1305 are what secretbox is made of. New protocols should not be made of them; this one is old.

import (
	"crypto/subtle"
	"encoding/binary"

	"golang.org/x/crypto/poly1305"
	"golang.org/x/crypto/salsa20/salsa"

	wide "github.com/meshmq/meshmq/transport/zmtp/internal/salsa"
)

// cipher is secretbox for a row of nonces that differ in their last eight octets. The others, which say that this is traffic of a client or of
// a server, make one key with that of the session, which secretbox would make again for each frame; and a frame is deciphered
// where it is wanted, and in portions.
type cipher struct{ key [32]byte }

// group is a piece of a key stream. Eight blocks come at about the price of one, so that it is made in groups of eight.
type group [groupSize]byte

const (
	groupSize = 8 * 64
	tagSize   = poly1305.TagSize
	tagKey    = 32 // how much of the key stream, at its beginning, is the key of the tag
)

func newCipher(shared *[32]byte, prefix string) (c cipher) {
	subkey(&c.key, shared, [16]byte([]byte(prefix)))
	return c
}

// subkey makes a key of another, and of the first part of a nonce.
func subkey(key, of *[32]byte, nonce [16]byte) { salsa.HSalsa20(key, &nonce, of, &salsa.Sigma) }

// stream enciphers or deciphers src with nonce's key stream from group number at on, in whatever length.
func (c *cipher) stream(dst, src []byte, nonce uint64, at int) {
	var counter [16]byte
	binary.BigEndian.PutUint64(counter[:], nonce)
	binary.LittleEndian.PutUint64(counter[8:], uint64(at)*(groupSize/64))
	wide.XORKeyStream(dst, src, &counter, &c.key)
}

// group returns group number at of nonce's key stream, of which need octets, or all, are wanted.
func (c *cipher) group(ks *group, nonce uint64, at, need int) {
	*ks = group{}
	part := ks[:min(need, groupSize)]
	c.stream(part, part, nonce, at)
}

// xor enciphers or deciphers src with nonce's key stream from octet number pos on.
func (c *cipher) xor(dst, src []byte, nonce uint64, pos int) {
	if in := pos % groupSize; in > 0 && len(src) > 0 {
		var ks group
		c.group(&ks, nonce, pos/groupSize, in+len(src))
		n := subtle.XORBytes(dst, src, ks[in:])
		dst, src, pos = dst[n:], src[n:], pos+n
	}
	if len(src) > 0 {
		c.stream(dst[:len(src)], src, nonce, pos/groupSize)
	}
}

// sum and verify make and check the tag of what a key stream begins with has enciphered.
func (ks *group) sum(tag, sealed []byte) {
	poly1305.Sum((*[tagSize]byte)(tag), sealed, (*[tagKey]byte)(ks[:]))
}

func (ks *group) verify(tag, sealed []byte) bool {
	return poly1305.Verify((*[tagSize]byte)(tag), sealed, (*[tagKey]byte)(ks[:]))
}
