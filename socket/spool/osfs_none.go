//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly || windows)

package spool

import (
	"errors"
	"io/fs"
	"os"
)

const openFlags = 0

func checkOwner(fs.FileInfo) error { return nil }

func syncDir(f *os.File) error { return f.Sync() }

// tryLock refuses: a spool that two processes may open at once is none.
func tryLock(*os.File) error { return errors.ErrUnsupported }

func probeLock(*os.File) error { return nil }

func lockDir(*os.File) error { return nil }

func checkLinked(*os.File) error { return nil }

func unlock(*os.File) error { return nil }

func freeBytes(*os.File) (uint64, error) { return 1 << 63, nil }
