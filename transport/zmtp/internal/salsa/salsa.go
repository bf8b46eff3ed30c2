// Package salsa is the key stream of Salsa20 for long messages: on amd64 eight blocks at a time, where golang.org/x/crypto has four.
// Elsewhere, and for what is short, it is that package.
package salsa

//lint:file-ignore SA1019 Salsa20 is what CURVE is made of, which is older than what is recommended today

import (
	"encoding/binary"

	"golang.org/x/crypto/salsa20/salsa"
)

// wide is what the assembly takes at a time: eight blocks.
const wide = 8 * 64

// XORKeyStream enciphers or deciphers in to out, which must be the same or not overlap. Counter is the nonce and the number of the first
// block, eight octets each; it does not change.
func XORKeyStream(out, in []byte, counter *[16]byte, key *[32]byte) {
	block := binary.LittleEndian.Uint64(counter[8:])
	if n := len(in) / wide; n > 0 && fast && uint64(uint32(block))+uint64(8*n) <= 1<<32 { // the upper half of the number stays
		out = out[:len(in)]
		xorWide(&out[0], &in[0], uint64(n), key, counter)
		in, out = in[n*wide:], out[n*wide:]
		rest := *counter
		binary.LittleEndian.PutUint64(rest[8:], block+uint64(8*n))
		counter = &rest
	}
	salsa.XORKeyStream(out, in, counter, key)
}
