//go:build !linux

package sockettest

import "net"

// reserve only finds a port that is free now: not every system lets others bind one that is taken.
func reserve() (addr string, release func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	return ln.Addr().String(), func() {}, ln.Close()
}
