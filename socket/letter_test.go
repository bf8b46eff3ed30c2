package socket_test

import (
	"encoding/binary"
	"hash/crc32"
)

// largeLife marks letters of a megabyte, more than goes into a connection with small buffers at once: when one is cut, part of it has been written.
const largeLife = 1 << 20

// letter is a message that says which it is, whose, and whether it is whole.
func letter(number, life uint64) []byte {
	size := number * 37 % 900
	if life == largeLife {
		size += largeLife
	}
	b := make([]byte, 16, 20+size)
	binary.BigEndian.PutUint64(b, number)
	binary.BigEndian.PutUint64(b[8:], life)
	b = append(b, make([]byte, size)...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// openLetter returns what letter was given. ok is false when those are not its bytes.
func openLetter(b []byte) (number, life uint64, ok bool) {
	if len(b) < 20 {
		return 0, 0, false
	}
	number, life = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	return number, life, string(b) == string(letter(number, life))
}
