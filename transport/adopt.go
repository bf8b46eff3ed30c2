package transport

import (
	"net"
	"sync"
	"sync/atomic"
)

// Adopt makes a Listener of one that somebody else has made: passed down by a service manager, or of a network that this package does not know.
// Its endpoint is tcp://, ipc:// or the name of its network, and its address. Close closes ln, which must wake Accept.
func Adopt(ln net.Listener) Listener {
	a := &adopted{}
	a.netListener = netListener{ln: ln, endpoint: AddrEndpoint(ln.Addr()), wrap: func(conn net.Conn) net.Conn { return conn }}
	a.close = sync.OnceValue(ln.Close)
	return a
}

// AddrEndpoint returns the endpoint with the given address. Where no transport here has such, it is one that only names it.
func AddrEndpoint(addr net.Addr) string {
	if addr == nil {
		return "unknown://"
	}
	network := addr.Network()
	if network == "unix" {
		network = "ipc"
	}
	return network + "://" + addr.String()
}

// adopted also keeps what listeners of this package keep by themselves: after Close the error of Accept is net.ErrClosed.
type adopted struct {
	netListener
	closed atomic.Bool
}

func (a *adopted) Accept() (net.Conn, error) {
	conn, err := a.netListener.Accept()
	if err != nil && a.closed.Load() {
		err = net.ErrClosed
	}
	return conn, err
}

func (a *adopted) Close() error {
	a.closed.Store(true)
	return a.netListener.Close()
}
