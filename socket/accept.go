package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/meshmq/meshmq/transport"
)

// ErrRefused is what the Err of a HandshakeFailed event is when an accept filter refused the peer.
var ErrRefused = errors.New("refused by an accept filter")

// Credentials tell who a process runs as: the effective user and group, and the process id.
type Credentials = transport.Credentials

// Candidate is a connection that came in and of which nothing has been read yet.
type Candidate struct {
	Endpoint    string       // of ours, as Bind returned it
	Address     net.Addr     // of the peer: a *net.TCPAddr for tcp, ws and wss
	Credentials *Credentials // of the peer's process, over ipc on Linux; else nil
}

// WithAcceptFilter has filter decide on each connection that comes in, before a byte of it is read: an error refuses it, and shows in a
// HandshakeFailed event as ErrRefused. Of several filters all must agree. It may be called by many goroutines
// at once, and may block: only its own connection waits, and Close. Default: all are accepted.
// libzmq: ZMQ_TCP_ACCEPT_FILTER, ZMQ_IPC_FILTER_UID, _GID and _PID.
func WithAcceptFilter(filter func(Candidate) error) Option {
	return func(c *config) error {
		if filter == nil {
			return bad("WithAcceptFilter", "nil", "want a function")
		}
		c.filters = append(c.filters[:len(c.filters):len(c.filters)], filter)
		return nil
	}
}

// WithAcceptFrom accepts only peers whose IP address is in one of the networks, given as prefixes such as 10.0.0.0/8 or single addresses. It
// is an accept filter, which peers of ipc and inproc pass: they have no IP address, and are of this host. libzmq: ZMQ_TCP_ACCEPT_FILTER.
func WithAcceptFrom(networks ...string) Option {
	return func(c *config) error {
		if len(networks) == 0 {
			return bad("WithAcceptFrom", "", "want at least one network")
		}
		var prefixes []netip.Prefix
		for _, n := range networks {
			p, err := parseNetwork(n)
			if err != nil {
				return bad("WithAcceptFrom", fmt.Sprintf("%.60q", n), "want a network such as 10.0.0.0/8 or fd00::/8, or an IP address")
			}
			prefixes = append(prefixes, p)
		}
		return WithAcceptFilter(func(from Candidate) error { return within(prefixes, from.Address) })(c)
	}
}

func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// within returns why a peer at address is refused, if it is.
func within(prefixes []netip.Prefix, address net.Addr) error {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return nil
	}
	from := tcp.AddrPort().Addr().Unmap().WithZone("") // a prefix has no zone
	for _, p := range prefixes {
		if p.Contains(from) {
			return nil
		}
	}
	return fmt.Errorf("%s is in none of %v", from, prefixes)
}

// admit asks the accept filters about a connection, and closes it if one says no, or if too many like it were denied.
func (c *core) admit(conn net.Conn, endpoint string) bool {
	from := Candidate{Endpoint: endpoint, Address: conn.RemoteAddr(), Credentials: credentialsOf(conn)}
	err := c.denials.check(from.Address, time.Now())
	for i := 0; err == nil && i < len(c.cfg.filters); i++ {
		err = c.cfg.filters[i](from)
	}
	if err == nil {
		return true
	}
	conn.Close()
	peer := &Peer{address: addressOf(conn), endpoint: endpoint, credentials: from.Credentials}
	c.report(Event{Kind: HandshakeFailed, Endpoint: endpoint, Peer: peer, Err: fmt.Errorf("%w: %w", ErrRefused, err)})
	return false
}

// credentialsOf returns nil where the credentials of a peer are not to be had.
func credentialsOf(conn net.Conn) *Credentials {
	who, err := transport.PeerCredentials(conn)
	if err != nil {
		return nil
	}
	return &who
}
