//go:build !linux

package transport

import (
	"errors"
	"net"
)

// PeerCredentials is not available here: the error is errors.ErrUnsupported.
func PeerCredentials(net.Conn) (Credentials, error) { return Credentials{}, errors.ErrUnsupported }
