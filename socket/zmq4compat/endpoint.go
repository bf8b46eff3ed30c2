package zmq4

import (
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/meshmq/meshmq/socket"
)

// listenEndpoint returns the endpoint as package transport writes it: go-zeromq lets host and port be empty for any.
func listenEndpoint(ep string) string {
	host, port, ok := splitTCP(ep)
	if !ok {
		return ep
	}
	if host == "" {
		host = "*"
	}
	if port == "" {
		port = "0"
	}
	return "tcp://" + net.JoinHostPort(host, port)
}

// dialEndpoint is listenEndpoint for Dial, where any host is this one.
func dialEndpoint(ep string) string {
	host, port, ok := splitTCP(ep)
	if ok && (host == "" || host == "*") {
		return "tcp://" + net.JoinHostPort("127.0.0.1", port)
	}
	return ep
}

func splitTCP(ep string) (host, port string, ok bool) {
	rest, ok := strings.CutPrefix(ep, "tcp://")
	if !ok {
		return "", "", false
	}
	host, port, err := net.SplitHostPort(rest)
	return host, port, err == nil
}

func schemeOf(ep string) string {
	scheme, _, _ := strings.Cut(ep, "://")
	return scheme
}

// unknown is err, or go-zeromq's error for an endpoint whose scheme is the trouble.
func unknown(ep string, err error) error {
	if scheme, _, found := strings.Cut(ep, "://"); found && errors.Is(err, socket.ErrEndpoint) && !slices.Contains(Transports(), scheme) {
		return UnknownTransportError{Name: scheme}
	}
	return err
}

// addrOf returns the address of a bound endpoint.
func addrOf(endpoint string) net.Addr {
	scheme, rest, _ := strings.Cut(endpoint, "://")
	switch scheme {
	case "tcp":
		if addr, err := net.ResolveTCPAddr("tcp", rest); err == nil { // an IP address: nothing is looked up
			return addr
		}
	case "ipc":
		return &net.UnixAddr{Name: rest, Net: "unix"}
	}
	return address{scheme, rest}
}

// address is that of an endpoint which the standard library has no type for.
type address struct{ network, name string }

func (a address) Network() string { return a.network }
func (a address) String() string  { return a.name }
