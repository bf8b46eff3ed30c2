// Package sockettest holds what tests of sockets need and no program does.
//
//	RawPeer     a ZMTP peer that speaks bytes: an independent witness of what a socket really sends
//	FaultyConn  a net.Conn that cuts short, holds back or fails where the test wants it to
//	LeakCheck   for TestMain: fails the run if a goroutine is left
//	Limit, Soon, Try   contexts for what must happen, must not, and can be done at once
//
// It uses the standard library only. In particular RawPeer writes and reads ZMTP by itself, so that a
// mistake in transport/zmtp cannot hide behind the same mistake in its tests. Every wait has a deadline: a
// test that uses RawPeer fails, but does not hang. The package starts no goroutine.
package sockettest
