package dbtest

import "syscall"

// ofThisProcess makes a child another user's, and has it end with this process, whatever ends that.
func ofThisProcess(who *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: who, Pdeathsig: syscall.SIGQUIT}
}
