//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package spool

import "os"

func links(f *os.File) (uint64, error) { return fstatLinks(f) }
