package spool

import (
	"context"
	"testing"
)

// What tests that damage segments must know of them.
const (
	DataStart    = dataStart
	HeaderCopyAt = headerCopyAt
	HeaderSize   = headerSize
)

// RealFS opens a directory as logs do.
func RealFS(t testing.TB, dir string) (FS, func() error) {
	t.Helper()
	fs, err := openDir(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	return fs, fs.Close
}

// VerifyFSContext is VerifyFS until ctx ends.
func VerifyFSContext(ctx context.Context, fs FS) (Report, error) {
	return verifyAll(newSalvage(ctx, fs))
}

// RepairFSContext is RepairFS until ctx ends.
func RepairFSContext(ctx context.Context, fs FS) (Report, error) {
	return repairAll(newSalvage(ctx, fs))
}
