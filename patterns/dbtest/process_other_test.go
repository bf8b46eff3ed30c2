//go:build unix && !linux

package dbtest

import "syscall"

// ofThisProcess makes a child another user's.
func ofThisProcess(who *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: who}
}
