package transport

import (
	"errors"
	"net"
	"syscall"
)

// PeerCredentials returns who is at the other end of a connection of ipc, as of the moment when that process connected or
// listened (SO_PEERCRED). For others, and on systems other than Linux, the error is errors.ErrUnsupported.
func PeerCredentials(conn net.Conn) (Credentials, error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return Credentials{}, errors.ErrUnsupported
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return Credentials{}, err
	}
	var who *syscall.Ucred
	failed := raw.Control(func(fd uintptr) {
		who, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err := errors.Join(failed, err); err != nil {
		return Credentials{}, err
	}
	return Credentials{UID: int(who.Uid), GID: int(who.Gid), PID: int(who.Pid)}, nil
}
