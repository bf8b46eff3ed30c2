package spool

import (
	"encoding/binary"
	"hash/crc32"
	"os"
)

// newestName is a file with the ordinal of the newest segment and its sum, 12 bytes. Without it nobody could tell that the last segment was removed from a crash
// before it was begun. It is written when the segment is durable and never synced: it may say too little, or nothing, and never too much.
const newestName = "newest"

// noteNewest writes it. What the disk refuses stays as it was, which says less.
func noteNewest(fs FS, ordinal uint64) {
	f, err := fs.Open(newestName, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return
	}
	b := binary.LittleEndian.AppendUint64(nil, ordinal)
	_, _ = f.WriteAt(binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), 0)
	_ = f.Close()
}

// readNewest returns the ordinal, 0 if it is not known.
func readNewest(fs FS) uint64 {
	f, err := fs.Open(newestName, os.O_RDONLY)
	if err != nil {
		return 0
	}
	defer f.Close()
	b := make([]byte, 12)
	if n, _ := f.ReadAt(b, 0); n < len(b) || binary.LittleEndian.Uint32(b[8:]) != crc32.Checksum(b[:8], castagnoli) {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}
