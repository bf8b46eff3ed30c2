package ws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gobwas/ws"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Config is what both sides have to agree on, and what one side demands.
type Config struct {
	Mechanism  string   // of ZMTP, as in its greeting: NULL, PLAIN, CURVE; empty means NULL
	Secure     bool     // the connection below is TLS
	Host       string   // client: the host and port it was told to connect to
	Path       string   // client: what to ask for; server: what to answer to. It begins with /; empty: anything
	Origins    []string // server: the sites whose pages may connect, besides its own; * for any
	MaxMessage int      // the largest message accepted in fragments; those that are whole are the user's to bound

	// Explain, if not nil, turns an error of the connection below into what is reported, while that and the upgrade are under way.
	Explain func(error) error
}

// The subprotocols (RFC 45, "Handshake").
const (
	bareProtocol = "ZWS2.0"
	protocol     = "ZWS2.0/"
	null         = "NULL"
)

// maxHead bounds the HTTP request or response; ours and libzmq's have under 400 bytes, a browser's cookies may add some.
const maxHead = 8 << 10

// open makes the upgrade, once.
func (c *Conn) open() error {
	if c.opened.Load() {
		return c.openErr
	}
	c.opening.Lock()
	defer c.opening.Unlock()
	if !c.opened.Load() {
		c.openErr = c.upgrade()
		c.opened.Store(true)
	}
	return c.openErr
}

func (c *Conn) upgrade() error {
	agree := c.accept
	if c.client {
		agree = c.ask
	}
	x := &exchange{nc: c.nc, client: c.client, explain: c.cfg.Explain}
	chosen, err := agree(x)
	switch {
	case x.err != nil:
		return x.err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUpgrade, err)
	}
	bare := chosen == bareProtocol
	c.dec = decoder{masked: !c.client, bare: bare, maxMessage: c.cfg.MaxMessage, pongs: &c.pongs, out: greeting(c.cfg.Mechanism)}
	c.enc = encoder{mask: c.client, bare: bare, skip: zmtp.GreetingSize}
	c.raw, c.r, c.w = x.buf, x.end, len(x.buf)
	return nil
}

// greeting is what a peer of ZMTP 3.0 would have sent.
func greeting(mechanism string) []byte {
	g := make([]byte, zmtp.GreetingSize)
	g[0], g[9], g[10] = 0xff, 0x7f, 3
	copy(g[12:32], mechanism)
	return g
}

// offered lists the subprotocols for the mechanism, the best first.
func (c *Config) offered() []string {
	if c.Mechanism == null {
		return []string{protocol + c.Mechanism, bareProtocol}
	}
	return []string{protocol + c.Mechanism}
}

// ask is the client's side.
func (c *Conn) ask(x *exchange) (chosen string, err error) {
	offered := c.cfg.offered()
	d := ws.Dialer{Protocols: offered, ReadBufferSize: maxHead}
	scheme := "http"
	if c.cfg.Secure {
		scheme = "https"
	}
	// Opaque goes out as it is: the path is the user's (RFC 45, "Handshake").
	_, hs, err := d.Upgrade(x, &url.URL{Scheme: scheme, Host: c.cfg.Host, Opaque: c.cfg.Path})
	if status, ok := errors.AsType[ws.StatusError](err); ok {
		return "", fmt.Errorf("the server answers %d %s", int(status), http.StatusText(int(status)))
	}
	if err == nil && hs.Protocol == "" {
		err = fmt.Errorf("the server chose no subprotocol: want %s", strings.Join(offered, " or "))
	}
	return hs.Protocol, err
}

// accept is the server's side. Whoever asks for something else is told what is wrong, in HTTP.
func (c *Conn) accept(x *exchange) (chosen string, err error) {
	var host, origin string
	var asked []string
	offered := c.cfg.offered()
	u := ws.Upgrader{
		ReadBufferSize: maxHead,
		// Not Protocol, which takes only tokens of HTTP: the names of ZWS have a slash.
		ProtocolCustom: func(value []byte) (string, bool) {
			asked = append(asked, string(value))
			return choose(string(value), offered), true
		},
		OnRequest: func(uri []byte) error {
			path, _, _ := strings.Cut(string(uri), "?")
			if c.cfg.Path == "" || path == c.cfg.Path {
				return nil
			}
			return refuse(http.StatusNotFound, "no socket at %.80q", path)
		},
		OnHost: func(h []byte) error { host = string(h); return nil },
		OnHeader: func(key, value []byte) error {
			if strings.EqualFold(string(key), "Origin") {
				origin = string(value)
			}
			return nil
		},
	}
	u.OnBeforeUpgrade = func() (ws.HandshakeHeader, error) {
		switch {
		case !c.cfg.trusts(origin, host):
			return nil, refuse(http.StatusForbidden, "pages of %.80q may not connect here", origin)
		case choose(strings.Join(asked, ","), offered) == "":
			return nil, refuse(http.StatusBadRequest, "the client offers %.80q: want %s", asked, strings.Join(offered, " or "))
		}
		return nil, nil
	}
	hs, err := u.Upgrade(x)
	return hs.Protocol, err
}

// choose returns the first of the subprotocols asked for, a list with commas, that is among ours.
func choose(asked string, ours []string) string {
	for p := range strings.SplitSeq(asked, ",") {
		if p = strings.Trim(p, " \t"); slices.Contains(ours, p) {
			return p
		}
	}
	return ""
}

func refuse(status int, format string, args ...any) error {
	return ws.RejectConnectionError(ws.RejectionStatus(status), ws.RejectionReason(fmt.Sprintf(format, args...)))
}

// trusts decides on the page a browser connects for. Other programs name no origin. Without this any web page that a
// person opens could talk to the sockets on that person's machine.
func (c *Config) trusts(origin, host string) bool {
	_, site, _ := strings.Cut(origin, "://")
	return origin == "" || strings.EqualFold(site, host) || slices.ContainsFunc(c.Origins, func(o string) bool {
		return o == "*" || strings.EqualFold(o, origin)
	})
}

// exchange is the connection during the upgrade: it reads to the end of the HTTP head and not beyond.
type exchange struct {
	nc     net.Conn
	client bool
	buf    []byte
	end    int // of the head in buf, once it has arrived
	given  int
	err    error // of the connection, or what the peer sent in place of HTTP

	explain func(error) error // Config.Explain
}

func (x *exchange) Write(p []byte) (int, error) {
	n, err := x.nc.Write(p) // with TLS below it is the handshake of that which may fail
	x.err = x.lost(err)
	return n, x.err
}

func (x *exchange) Read(p []byte) (int, error) {
	for x.end == 0 && x.err == nil {
		x.err = x.more()
	}
	if x.err != nil {
		return 0, x.err
	}
	if x.given == x.end {
		return 0, io.EOF
	}
	n := copy(p, x.buf[x.given:x.end])
	x.given += n
	return n, nil
}

// more reads once and looks for the end of the head.
func (x *exchange) more() error {
	if len(x.buf) == maxHead {
		return fmt.Errorf("%w: an HTTP head above %d bytes", ErrUpgrade, maxHead)
	}
	if len(x.buf) == cap(x.buf) {
		x.buf = append(make([]byte, 0, max(firstRaw, 2*len(x.buf))), x.buf...)
	}
	old := len(x.buf)
	n, err := x.nc.Read(x.buf[old:cap(x.buf)])
	x.buf = x.buf[:old+n]
	if n == 0 && err != nil {
		return x.lost(err)
	}
	if at := bytes.Index(x.buf[max(0, old-3):], []byte("\r\n\r\n")); at >= 0 {
		x.end = max(0, old-3) + at + 4
	}
	return x.foreign()
}

// lost puts the end of the connection into words.
func (x *exchange) lost(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return fmt.Errorf("websocket upgrade: the peer closed the connection: %w", io.ErrUnexpectedEOF)
	case x.explain != nil:
		return x.explain(err)
	}
	return err
}

// foreign refuses at once what is not HTTP: such a peer waits for an answer, not for the handshake's time limit.
func (x *exchange) foreign() error {
	want := "GET "
	if x.client {
		want = "HTTP/"
	}
	n := min(len(want), len(x.buf))
	if string(x.buf[:n]) == want[:n] {
		return nil
	}
	if !x.client { // ours is the answer that all of them can tell apart
		_, _ = io.WriteString(x.nc, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
	}
	switch x.buf[0] {
	case 0xff:
		return fmt.Errorf("%w: this is ZMTP without WebSocket; the endpoint for that is tcp://", ErrUpgrade)
	case 0x15, 0x16: // an alert, a handshake
		return fmt.Errorf("%w: this is TLS; the endpoint for that is wss://", ErrUpgrade)
	}
	return fmt.Errorf("%w: this is not HTTP: it begins with %q, want %q", ErrUpgrade, x.buf[:n], want)
}
