// Package salsa is the key stream of Salsa20: on amd64 eight blocks at a time, where golang.org/x/crypto has four. Elsewhere, and for what is no
// longer than a block, it is that package.
package salsa

//lint:file-ignore SA1019 Salsa20 is what CURVE is made of, which is older than what is recommended today

import (
	"encoding/binary"

	"golang.org/x/crypto/salsa20/salsa"
)

const (
	wide   = 8 * 64 // what the assembly takes at a time
	single = 64     // up to here one block of x/crypto's is quicker
)

// XORKeyStream enciphers or deciphers in to out, which must be the same or not overlap. Counter is the nonce and the number of the first
// block, eight octets each; it does not change.
func XORKeyStream(out, in []byte, counter *[16]byte, key *[32]byte) {
	block := binary.LittleEndian.Uint64(counter[8:])
	n := len(in) / wide
	if !fast || len(in) <= single || uint64(uint32(block))+uint64(8*(n+1)) > 1<<32 { // the assembly leaves the upper half of the number alone
		salsa.XORKeyStream(out, in, counter, key)
		return
	}
	out = out[:len(in)]
	rest := *counter
	if n > 0 {
		xorWide(&out[0], &in[0], uint64(n), key, counter)
		in, out = in[n*wide:], out[n*wide:]
		binary.LittleEndian.PutUint64(rest[8:], block+uint64(8*n))
	}
	if len(in) <= single {
		salsa.XORKeyStream(out, in, &rest, key)
		return
	}
	var tail [wide]byte
	copy(tail[:], in)
	xorWide(&tail[0], &tail[0], 1, key, &rest)
	copy(out, tail[:])
}
