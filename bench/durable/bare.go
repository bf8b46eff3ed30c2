package main

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// bare returns how many messages a second a file takes, n of them with each fdatasync.
func bare(r run, n int) float64 {
	const size = 64 << 20
	f, err := os.OpenFile(filepath.Join(r.dir, "bare"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	check(err)
	defer f.Close()
	check(syscall.Fallocate(int(f.Fd()), 0, 0, size))
	check(f.Sync())
	body, table := make([]byte, r.size), crc32.MakeTable(crc32.Castagnoli)
	var buf []byte
	off, count, begun := int64(0), 0, time.Now()
	for time.Since(begun) < r.d {
		buf = buf[:0]
		for range n {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(r.size))
			buf = binary.LittleEndian.AppendUint32(buf, crc32.Checksum(body, table))
			buf = append(buf, body...)
		}
		if off+int64(len(buf)) > size {
			off = 0
		}
		_, err := f.WriteAt(buf, off)
		check(err)
		check(syscall.Fdatasync(int(f.Fd())))
		off += int64(len(buf))
		count += n
	}
	return float64(count) / time.Since(begun).Seconds()
}
