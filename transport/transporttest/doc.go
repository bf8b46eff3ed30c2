// Package transporttest is the kit that every transport runs: what a socket relies on, whatever carries
// its bytes.
//
//	func TestTCP(t *testing.T) {
//		transporttest.Run(t, func(t testing.TB) string { return "tcp://127.0.0.1:0" })
//	}
package transporttest
