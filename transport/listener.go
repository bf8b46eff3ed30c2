package transport

import (
	"fmt"
	"net"
)

// Listener accepts connections at one address. Its methods may be called at once from any goroutine.
type Listener interface {
	// Accept returns the next connection. After Close, which wakes it, the error is net.ErrClosed; other
	// errors, such as too many open files, may pass.
	Accept() (net.Conn, error)

	// Endpoint returns the address that was bound, in a form that ParseBind and ParseConnect accept.
	Endpoint() string

	// Close releases the address before it returns: the next Listen may have it. Accepted
	// connections live on. Closing again does nothing and returns the same.
	Close() error
}

// netListener is the Listener of those transports that the operating system provides.
type netListener struct {
	ln       net.Listener
	endpoint string
	wrap     func(net.Conn) net.Conn
	close    func() error // may be called any number of times
}

func (l *netListener) Accept() (net.Conn, error) {
	conn, err := l.ln.Accept()
	if err != nil {
		return nil, fmt.Errorf("accept %s: %w", l.endpoint, cause(err))
	}
	return l.wrap(conn), nil
}

func (l *netListener) Endpoint() string { return l.endpoint }

func (l *netListener) Close() error { return l.close() }
