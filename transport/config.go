package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/proxy"
)

// Config says how endpoints are listened on and dialled. The zero Config is ready to use. It must not be changed while
// in use.
type Config struct {
	// Dialer replaces net.Dialer for tcp, tls+tcp, ws and wss; address is host:port, the host as in the endpoint. What it returns must
	// be such as the package documentation asks of connections. KeepAlive and Control do not reach it.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)
	// SOCKS5 is a proxy that tcp, tls+tcp, ws and wss go through; nil: none.
	SOCKS5 *SOCKS5
	// KeepAlive is the TCP keep-alive of dialled and accepted connections; nil: a probe after 30 s without traffic,
	// then two more 10 s apart.
	KeepAlive *net.KeepAliveConfig
	// SendBuffer and RecvBuffer are the sizes of the system's buffers for a connection, in bytes; 0: the system's choice, but without Control and Dialer 512 KiB to send over ipc.
	SendBuffer, RecvBuffer int
	// Backlog is how many connections may wait for Accept; 0: the system's largest. Unix only.
	Backlog int
	// Control is called for each socket before it is bound or connected, as in net.Dialer and net.ListenConfig.
	Control func(network, address string, conn syscall.RawConn) error
	// TLS is for tls+tcp and wss. A listener needs a certificate; a dialler trusts the system's roots if nil. What is below TLS 1.2
	// is refused, whatever it says.
	TLS *tls.Config
	// TLSFor is asked for the configuration of each connection, if not nil, in place of TLS; it returns one that can be used by
	// listeners only if it holds a certificate.
	TLSFor func() *tls.Config
	// Mechanism is the ZMTP mechanism that ws and wss agree upon when they connect; empty: NULL.
	Mechanism string
	// Origins are the web sites whose pages may connect by ws and wss besides the one the page came from; "*": all.
	Origins []string
	// MaxMessage bounds what ws and wss gather of a message that comes in fragments, in bytes; 0: 64 MiB.
	MaxMessage int
}

// SOCKS5 is a proxy (RFC 1928) that resolves host names for us. An empty User means no authentication, else RFC 1929 is used.
type SOCKS5 struct {
	Address        string // host:port
	User, Password string
}

// Listen binds the endpoint and listens on it. ctx bounds only the call, not the listener's life. If another
// listener has the address the error is syscall.EADDRINUSE.
func (c *Config) Listen(ctx context.Context, e Endpoint) (Listener, error) {
	if problem := e.bindProblem(); problem != "" {
		return nil, &EndpointError{Endpoint: e.String(), Problem: problem}
	}
	var ln Listener
	var err error
	switch e.scheme {
	case "tcp":
		ln, err = c.listenTCP(ctx, e, c.tune)
	case "tls+tcp":
		ln, err = c.listenTLS(ctx, e)
	case "ipc":
		ln, err = c.listenIPC(ctx, e)
	case "inproc":
		ln, err = listenInproc(e)
	case "ws", "wss":
		ln, err = c.listenWS(ctx, e)
	}
	if err != nil {
		return nil, fmt.Errorf("bind %s: %w", e, callError(ctx, err))
	}
	return ln, nil
}

// Dial connects to the endpoint; it blocks until connected, refused, or ctx ends, and the error is then
// ctx.Err(). A host name is resolved at each call and all its addresses are tried. An inproc name that
// nobody has bound yet is waited for.
func (c *Config) Dial(ctx context.Context, e Endpoint) (net.Conn, error) {
	if problem := e.dialProblem(); problem != "" {
		return nil, &EndpointError{Endpoint: e.String(), Problem: problem}
	}
	var conn net.Conn
	var err error
	switch e.scheme {
	case "tcp":
		conn, err = c.dialTCP(ctx, e)
	case "tls+tcp":
		conn, err = c.dialTLS(ctx, e)
	case "ipc":
		conn, err = c.dialIPC(ctx, e)
	case "inproc":
		conn, err = dialInproc(ctx, e)
	case "ws", "wss":
		conn, err = c.dialWS(ctx, e)
	}
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", e, callError(ctx, err))
	}
	return conn, nil
}

// listen makes a listener of the system's.
func (c *Config) listen(ctx context.Context, network, address string) (net.Listener, error) {
	lc := net.ListenConfig{Control: c.control()}
	lc.KeepAlive, lc.KeepAliveConfig = c.keepAlive()
	ln, err := lc.Listen(ctx, network, address)
	if err != nil || c.Backlog == 0 {
		return ln, err
	}
	if err := setBacklog(ln.(syscall.Conn), c.Backlog); err != nil {
		ln.Close()
		return nil, fmt.Errorf("backlog of %d: %w", c.Backlog, err)
	}
	return ln, nil
}

// dialVia dials host:port directly or through the proxy.
func (c *Config) dialVia(ctx context.Context, local net.Addr, address string) (net.Conn, error) {
	if c.SOCKS5 == nil {
		return c.dial(ctx, local, "tcp", address)
	}
	conn, err := c.dial(ctx, local, "tcp", c.SOCKS5.Address)
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", c.SOCKS5.Address, cause(err))
	}
	if err := c.SOCKS5.connect(ctx, conn, address); err != nil {
		conn.Close()
		return nil, fmt.Errorf("proxy %s: %w", c.SOCKS5.Address, cause(err))
	}
	return conn, nil
}

// connect asks the proxy at the other end of conn for a connection to address. Afterwards conn is that.
func (s *SOCKS5) connect(ctx context.Context, conn net.Conn, address string) error {
	var auth *proxy.Auth
	if s.User != "" {
		auth = &proxy.Auth{User: s.User, Password: s.Password}
	}
	d, err := proxy.SOCKS5("tcp", s.Address, auth, nil)
	if err != nil {
		return err
	}
	// Its other methods wrap the connection in a type that has neither CloseWrite nor a descriptor.
	_, err = d.(interface {
		DialWithConn(context.Context, net.Conn, string, string) (net.Addr, error)
	}).DialWithConn(ctx, conn, "tcp", address)
	return err
}

func (c *Config) dial(ctx context.Context, local net.Addr, network, address string) (net.Conn, error) {
	if c.Dialer != nil && network == "tcp" {
		if local != nil {
			return nil, errors.New("a source address and a dialer of one's own exclude each other")
		}
		conn, err := c.Dialer(ctx, network, address)
		if err == nil && conn == nil {
			err = errors.New("the dialer returned neither a connection nor an error")
		}
		if err != nil {
			return nil, err
		}
		return c.tune(conn), nil
	}
	d := net.Dialer{Control: c.control(), LocalAddr: local}
	d.KeepAlive, d.KeepAliveConfig = c.keepAlive()
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return c.tune(conn), nil
}

// ipcSendBuffer is the system's buffer of a Unix socket, which does not grow by itself as those of TCP do: Linux has 208 KiB, which holds less than a large message, so that who
// writes one waits several times for who reads it. Half a MiB got all that more got (DECISIONS.md 12).
const ipcSendBuffer = 512 << 10

// control prepares a socket before it is bound or connected. The window that TCP offers first goes by the size of the buffer: were that made smaller later, what the
// peer has sent already would not fit, and be sent again, time after time. Accepted connections have the sizes of the listening socket.
func (c *Config) control() func(network, address string, conn syscall.RawConn) error {
	return func(network, address string, conn syscall.RawConn) error {
		if c.SendBuffer > 0 || c.RecvBuffer > 0 {
			setBuffers(conn, c.SendBuffer, c.RecvBuffer)
		}
		if c.Control != nil {
			return c.Control(network, address, conn)
		}
		if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().Unmap().IsLoopback() {
			calmSocket(conn)
		}
		return nil
	}
}

// tune sets the size of the system's buffers, where the connection has such. A size that the system does not like leaves
// what was there, as everywhere: it has limits of its own. Who has a Control or a Dialer has the say over all else.
func (c *Config) tune(conn net.Conn) net.Conn {
	if c.Control == nil && c.Dialer == nil {
		calm(conn)
		if local, ok := conn.(*net.UnixConn); ok && c.SendBuffer == 0 {
			_ = local.SetWriteBuffer(ipcSendBuffer)
		}
	}
	buffered, ok := conn.(interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	})
	if ok && c.SendBuffer > 0 {
		_ = buffered.SetWriteBuffer(c.SendBuffer)
	}
	if ok && c.RecvBuffer > 0 {
		_ = buffered.SetReadBuffer(c.RecvBuffer)
	}
	return conn
}
