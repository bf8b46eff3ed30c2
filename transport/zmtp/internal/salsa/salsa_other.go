//go:build !amd64 || purego

package salsa

const fast = false

func xorWide(_, _ *byte, _ uint64, _ *[32]byte, _ *[16]byte) {}
