package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"unicode"
)

// ErrTLS is what the error of a Read or Write is when the two sides did not come to terms on TLS: a certificate that is not
// trusted, expired or for another name, none where one is wanted, too old a version, or a peer that speaks something else.
var ErrTLS = errors.New("no TLS with the peer")

var errNoCertificate = errors.New("TLS needs a certificate to listen: give one in the TLS configuration (WithTLS, WithTLSFiles)")

// listenTLS leaves the TLS handshake to the first Read or Write of each connection, so that Accept waits for none.
func (c *Config) listenTLS(ctx context.Context, e Endpoint) (Listener, error) {
	if !c.hasCertificate() {
		return nil, errNoCertificate
	}
	return c.listenTCP(ctx, e, func(conn net.Conn) net.Conn {
		below := &gather{Conn: c.tune(conn)}
		return &tlsConn{tls: c.tlsServer(below), below: below}
	})
}

// dialTLS dials like listenTLS listens.
func (c *Config) dialTLS(ctx context.Context, e Endpoint) (net.Conn, error) {
	conn, err := c.dialTCP(ctx, e)
	if err != nil {
		return nil, err
	}
	below := &gather{Conn: conn}
	return &tlsConn{tls: c.tlsClient(below, e.addr.host), below: below}, nil
}

// tlsConfig returns what the next connection is to use.
func (c *Config) tlsConfig() *tls.Config {
	switch {
	case c.TLSFor != nil:
		return c.TLSFor()
	case c.TLS != nil:
		return c.TLS
	}
	return &tls.Config{}
}

func (c *Config) hasCertificate() bool {
	t := c.tlsConfig()
	return len(t.Certificates) > 0 || t.GetCertificate != nil || t.GetConfigForClient != nil
}

func (c *Config) tlsServer(conn net.Conn) *tls.Conn { return tls.Server(conn, harden(c.tlsConfig())) }

func (c *Config) tlsClient(conn net.Conn, host string) *tls.Conn {
	t := harden(c.tlsConfig())
	host, _, _ = strings.Cut(host, "%") // the zone of an IPv6 address is ours alone
	t.ServerName = cmp.Or(t.ServerName, host)
	return tls.Client(conn, t)
}

// harden returns a copy that refuses what is older than TLS 1.2 (RFC 8996). Its records are of full size from the first: small ones
// show a person the head of a page sooner, which is of no use here.
func harden(t *tls.Config) *tls.Config {
	t = t.Clone()
	t.MinVersion = max(t.MinVersion, tls.VersionTLS12)
	t.DynamicRecordSizingDisabled = true
	if choose := t.GetConfigForClient; choose != nil {
		t.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if chosen != nil {
				chosen = harden(chosen)
			}
			return chosen, err
		}
	}
	return t
}

// TLSState returns what was agreed upon in the TLS handshake of a connection of tls+tcp or wss, or any *tls.Conn, after the first Read or
// Write has returned; ok is false for connections without TLS.
func TLSState(conn net.Conn) (state tls.ConnectionState, ok bool) {
	for conn != nil {
		if t, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
			return t.ConnectionState(), true
		}
		over, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = over.NetConn()
	}
	return state, false
}

// explain says what a TLS error means to whoever set up the two sides. Errors of the connection below stay as they are.
func explain(err error) error {
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Errorf("%w: %s", ErrTLS, speaks(header))
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return fmt.Errorf("%w: the peer refuses: %w", ErrTLS, op.Err)
	} else if ok {
		return err
	}
	if text := err.Error(); strings.HasPrefix(text, "tls: ") {
		return &tlsError{err}
	}
	return err
}

// tlsError is an error of crypto/tls. It has names in it that a peer made up before it proved anything, those of its certificate, as long as they
// are: they are cut, and what does not print is escaped.
type tlsError struct{ err error }

// maxTLSText is how much of such an error is shown: what they have to say comes first.
const maxTLSText = 255

func (e *tlsError) Error() string {
	text := e.err.Error()
	if len(text) > maxTLSText {
		text = text[:maxTLSText] + "..."
	}
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		quoted := strconv.Quote(text)
		text = quoted[1 : len(quoted)-1]
	}
	return ErrTLS.Error() + ": " + text
}

func (e *tlsError) Unwrap() []error { return []error{ErrTLS, e.err} }

// speaks says what is wrong with a peer's first octets.
func speaks(e tls.RecordHeaderError) string {
	start := string(e.RecordHeader[:])
	switch {
	case start[0] == 0xff:
		return "this is ZMTP, not TLS"
	case strings.Trim(start[:3], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "":
		return "this is HTTP, not TLS"
	case strings.HasPrefix(start, "SSH-"):
		return "this is SSH, not TLS"
	}
	return fmt.Sprintf("%s, which begins with %x", e.Msg, start)
}

// explainOpen is explain for the handshake, where the end of the connection is no regular one either.
func explainOpen(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("peer closed the connection during the TLS handshake: %w", io.ErrUnexpectedEOF)
	}
	return explain(err)
}
