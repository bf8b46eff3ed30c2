//go:build !purego

package salsa

import "golang.org/x/sys/cpu"

var (
	fast   = cpu.X86.HasAVX2
	rotate = cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL // there is an instruction for it, and registers for all of the state
)

func xorWide(out, in *byte, n uint64, key *[32]byte, counter *[16]byte) {
	if rotate {
		xorAVX512(out, in, n, key, counter)
	} else {
		xorAVX2(out, in, n, key, counter)
	}
}

// xorAVX2 and xorAVX512 do n times eight blocks. The number of the first must leave room for them in its lower half.
//
//go:noescape
func xorAVX2(out, in *byte, n uint64, key *[32]byte, counter *[16]byte)

//go:noescape
func xorAVX512(out, in *byte, n uint64, key *[32]byte, counter *[16]byte)
