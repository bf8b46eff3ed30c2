package transport

import (
	"cmp"
	"context"
	"net"

	"github.com/meshmq/meshmq/transport/internal/ws"
)

// largestFragmented is what a message in fragments may have where nothing else is said: as much as a socket takes by default.
const largestFragmented = 64 << 20

// What the error of a Read or Write is when a peer of ws or wss is none for us.
var (
	// ErrUpgrade: it asks for something else than is here, such as another path, or speaks something else than HTTP.
	ErrUpgrade = ws.ErrUpgrade
	// ErrWebSocket: it broke the rules of WebSocket (RFC 6455), or of ZMTP over it (RFC 45).
	ErrWebSocket = ws.ErrProtocol
	// ErrFragments: it sends a message in fragments that is larger than Config.MaxMessage, or than a handshake takes where it is not let in yet.
	ErrFragments = ws.ErrTooLarge
)

// listenWS leaves TLS and the HTTP upgrade to the first Read or Write of each connection, so that Accept waits for none.
func (c *Config) listenWS(ctx context.Context, e Endpoint) (Listener, error) {
	cfg := c.web(e)
	if !cfg.Secure {
		return c.listenTCP(ctx, e, func(conn net.Conn) net.Conn { return ws.Server(c.tune(conn), cfg) })
	}
	if !c.hasCertificate() {
		return nil, errNoCertificate
	}
	return c.listenTCP(ctx, e, func(conn net.Conn) net.Conn {
		return ws.Server(c.tlsServer(c.tune(conn)), cfg)
	})
}

// dialWS dials like listenWS listens: what comes on top of TCP happens in the first Read or Write.
func (c *Config) dialWS(ctx context.Context, e Endpoint) (net.Conn, error) {
	conn, err := c.dialTCP(ctx, e)
	if err != nil {
		return nil, err
	}
	cfg := c.web(e)
	cfg.Path = cmp.Or(cfg.Path, "/")
	if cfg.Secure {
		conn = c.tlsClient(conn, e.addr.host)
	}
	return ws.Client(conn, cfg), nil
}

func (c *Config) web(e Endpoint) ws.Config {
	cfg := ws.Config{
		Mechanism:  c.Mechanism,
		Secure:     e.scheme == "wss",
		Host:       e.addr.String(),
		Path:       e.name,
		Origins:    c.Origins,
		MaxMessage: cmp.Or(c.MaxMessage, largestFragmented),
	}
	if cfg.Secure {
		cfg.Explain = explain
	}
	return cfg
}
