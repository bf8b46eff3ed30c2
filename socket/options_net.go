package socket

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"syscall"

	"github.com/meshmq/meshmq/transport"
)

// netConfig is what options set about connections below ZMTP.
type netConfig struct {
	filters    []func(Candidate) error // each must agree
	dialer     func(ctx context.Context, network, address string) (net.Conn, error)
	socks5     *transport.SOCKS5
	keepAlive  *net.KeepAliveConfig
	sendBuffer int
	recvBuffer int
	backlog    int
	control    func(network, address string, conn syscall.RawConn) error
	tls        *tls.Config
	tlsFiles   *reloaded[*tls.Config]
	origins    []string
}

func (c *netConfig) checkNet() error {
	if c.tls != nil && c.tlsFiles != nil {
		return fmt.Errorf("%w: WithTLS and WithTLSFiles exclude each other", ErrOption)
	}
	return nil
}

// transport is what the options mean to the transports.
func (c *config) transport() *transport.Config {
	largest := c.maxMessageSize
	if largest == 0 || largest > largestMessage {
		largest = largestMessage
	}
	return &transport.Config{
		Dialer: c.dialer, SOCKS5: c.socks5, KeepAlive: c.keepAlive, SendBuffer: c.sendBuffer, RecvBuffer: c.recvBuffer,
		Backlog: c.backlog, Control: c.control, TLS: c.tls, TLSFor: c.tlsFor(), Origins: c.origins, MaxMessage: largest,
		Mechanism: c.mechanismIs,
	}
}

// WithDialer has connections of tcp, tls+tcp, ws and wss made by dial, at each attempt: network is "tcp", address host:port with the host as in
// the endpoint, not resolved. ctx ends at the connect timeout, on Disconnect and on Close; dial must then return. What it returns must be
// a connection as Attach wants it. Options on keep-alive and WithControl do not reach it. Default: net.Dialer.
func WithDialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) Option {
	return func(c *config) error {
		if dial == nil {
			return bad("WithDialer", "nil", "want a function")
		}
		c.dialer = dial
		return nil
	}
}

// WithSOCKS5 makes connections of tcp, tls+tcp, ws and wss through the SOCKS5 proxy at address, host:port (RFC 1928). The proxy resolves host
// names. An empty user means no authentication, else user and password have 1 to 255 bytes (RFC 1929). The proxy is
// reached with WithDialer, where that is set. Default: no proxy. libzmq: ZMQ_SOCKS_PROXY, ZMQ_SOCKS_USERNAME, ZMQ_SOCKS_PASSWORD.
func WithSOCKS5(address, user, password string) Option {
	return func(c *config) error {
		host, port, err := net.SplitHostPort(address)
		switch {
		case err != nil || host == "" || port == "":
			return bad("WithSOCKS5", fmt.Sprintf("%.80q", address), "want the proxy's address as host:port")
		case len(user) > 255 || len(password) > 255 || (user == "") != (password == ""):
			return bad("WithSOCKS5", address, "want user and password of 1 to 255 bytes, or neither")
		}
		c.socks5 = &transport.SOCKS5{Address: address, User: user, Password: password}
		return nil
	}
}

// WithKeepAlive sets the TCP keep-alive of all connections of tcp, tls+tcp, ws and wss. Default: a probe after 30 s without
// traffic, then two more 10 s apart. The zero value turns it off. libzmq: ZMQ_TCP_KEEPALIVE, _IDLE, _INTVL, _CNT.
func WithKeepAlive(k net.KeepAliveConfig) Option {
	return func(c *config) error {
		c.keepAlive = &k
		return nil
	}
}

// WithSocketBuffers sets the size in bytes of the system's buffers of each connection that Bind and Connect make but those of inproc; systems round it and have limits.
// Default and zero: the system's choice, which adapts on most, and 512 KiB to send over ipc, where it does not, unless WithControl or WithDialer has a say. libzmq: ZMQ_SNDBUF, ZMQ_RCVBUF.
func WithSocketBuffers(send, recv int) Option {
	return func(c *config) error {
		if send < 0 || recv < 0 {
			return bad("WithSocketBuffers", fmt.Sprint(send, ", ", recv), "want bytes, 0 for the system's choice")
		}
		c.sendBuffer, c.recvBuffer = send, recv
		return nil
	}
}

// WithBacklog sets how many connections the system keeps that are not accepted yet, for each endpoint bound. A socket accepts at once, so this
// matters only when the process is starved. Default and zero: the system's largest, 4096 on Linux. On systems other than Unix Bind
// fails with it, with errors.ErrUnsupported. It does not apply to inproc. libzmq: ZMQ_BACKLOG.
func WithBacklog(n int) Option {
	return count("WithBacklog", n, func(c *config) { c.backlog = n })
}

// WithControl has control called for each network socket that is made, before it is bound or connected, as in net.Dialer and
// net.ListenConfig. It is the way to all that has no option here: type of service (ZMQ_TOS), priority (ZMQ_PRIORITY),
// binding to a device (ZMQ_BINDTODEVICE). Accepted connections inherit most of it. An error fails Bind or the attempt. Default: none.
func WithControl(control func(network, address string, conn syscall.RawConn) error) Option {
	return func(c *config) error {
		if control == nil {
			return bad("WithControl", "nil", "want a function")
		}
		c.control = control
		return nil
	}
}

// WithTLS sets the TLS configuration of tls+tcp and wss endpoints. To bind one takes a certificate in it; peers need one only if it says so
// (ClientAuth, ClientCAs). To connect works without: by default the peer's certificate must be one that the system trusts, for the
// host in the endpoint. What is older than TLS 1.2 is never spoken. It must not be changed afterwards, see WithTLSFiles and CertificateFiles for
// certificates that change. Default: none. libzmq: ZMQ_WSS_KEY_PEM, ZMQ_WSS_CERT_PEM, ZMQ_WSS_TRUST_PEM, ZMQ_WSS_HOSTNAME.
func WithTLS(t *tls.Config) Option {
	return func(c *config) error {
		if t == nil {
			return bad("WithTLS", "nil", "want a configuration")
		}
		if t.MaxVersion != 0 && t.MaxVersion < tls.VersionTLS12 {
			return bad("WithTLS", tls.VersionName(t.MaxVersion)+" at most", "want TLS 1.2 or later to be allowed")
		}
		c.tls = t
		return nil
	}
}

// WithOrigins lists web sites, such as https://example.com, whose pages may connect to ws and wss endpoints bound here; "*" means all.
// Browsers say for which site they connect, other programs do not and are not concerned. Default: only pages from the same host
// and port as the endpoint, since otherwise every page that a person opens could talk to the sockets on that person's machine.
func WithOrigins(origins ...string) Option {
	return func(c *config) error {
		for _, o := range origins {
			u, err := url.Parse(o)
			if o != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != o) {
				return bad("WithOrigins", fmt.Sprintf("%.80q", o), "want scheme://host, scheme://host:port or *")
			}
		}
		c.origins = append(c.origins[:len(c.origins):len(c.origins)], origins...)
		return nil
	}
}
