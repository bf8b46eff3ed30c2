//go:build (!amd64 && !arm64) || race

package link

import "golang.org/x/sys/unix"

// writeAll writes parts, which msg has as well.
func writeAll(fd int, _ *unix.Msghdr, parts [][]byte) (int, error) {
	return unix.Writev(fd, parts)
}
