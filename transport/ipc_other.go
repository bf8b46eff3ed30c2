//go:build !linux

package transport

import (
	"context"
	"errors"
	"fmt"
)

// maxSocketPath is what sockaddr_un.sun_path of the BSDs and macOS holds, without the NUL at its end.
const maxSocketPath = 103

// abstractSupport returns an error where ipc://@name does not exist.
func abstractSupport() error {
	return fmt.Errorf("abstract names exist on Linux only; use a path: %w", errors.ErrUnsupported)
}

// lockFolder does nothing: two processes that replace the same stale socket file at the same moment may both
// believe they have it.
func lockFolder(context.Context, string) (unlock func()) { return func() {} }
