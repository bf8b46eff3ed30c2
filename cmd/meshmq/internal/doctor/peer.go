package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Caller is how endpoints are called.
type Caller struct {
	Mechanism string                         // empty: NULL
	New       func() (zmtp.Mechanism, error) // makes it, for one handshake; nil: NULL
	TLS       *tls.Config                    // nil: what the system trusts
	Timeout   time.Duration                  // for an endpoint in all
}

// takers are the types of sockets that are handed no message unless they ask for it: one of them fits each type of peer but those that
// give a message to whoever comes.
var takers = []zmtp.SocketType{zmtp.Req, zmtp.Push, zmtp.Sub, zmtp.Pub, zmtp.Client, zmtp.Scatter, zmtp.Radio, zmtp.Dish}

// taker is the type to pose as towards a peer of this type; empty if none is safe.
func taker(peer zmtp.SocketType) zmtp.SocketType {
	for _, t := range takers {
		if t.Compatible(peer) {
			return t
		}
	}
	return ""
}

// Endpoint calls the endpoint and says what answers there.
func (c *Caller) Endpoint(ctx context.Context, text string) []Finding {
	ep, err := transport.ParseConnect(text)
	if err != nil {
		return []Finding{fail(text, "give another", "%v", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	all, ok := resolve(ctx, text)
	if !ok {
		return all
	}
	var shown *tls.ConnectionState
	config := &transport.Config{TLS: verifying(c.TLS, &shown), Mechanism: c.Mechanism}
	var t *talk
	types, before := takers, len(all)
	for i := 0; i < len(types); i++ {
		var took time.Duration
		if t, took, err = dial(ctx, config, ep); err != nil {
			found, advice := dialTrouble(err, c.Timeout)
			return append(all, fail(text, advice, "connect: %s", found))
		}
		if len(all) == before { // not again with another type
			all = append(all, pass(text, "connected in %s", round(took)))
		}
		err = c.shake(ctx, t, types[i])
		if err == nil || !ofType(t, err) {
			break
		}
		t.conn.Close()
		if peer := t.socketType(); peer != "" { // it need not be found out by trial
			fit := taker(peer)
			if fit == "" || len(types) == 1 {
				break
			}
			types, i = []zmtp.SocketType{fit}, -1
		}
	}
	defer t.conn.Close()
	if shown != nil {
		all = append(all, certificate(text, shown.PeerCertificates, time.Now()))
	}
	return append(all, c.judge(text, t, err)...)
}

func (c *Caller) shake(ctx context.Context, t *talk, typ zmtp.SocketType) error {
	stop := context.AfterFunc(ctx, func() { _ = t.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var m zmtp.Mechanism
	if c.New != nil {
		var err error
		if m, err = c.New(); err != nil {
			return err
		}
	}
	return t.shake(typ, m)
}

// ofType reports whether a handshake may have failed for nothing but our type of socket.
func ofType(t *talk, err error) bool {
	h, ok := errors.AsType[*zmtp.HandshakeError](err)
	switch {
	case !ok:
		return t.greeting != nil && !isTimeout(err)
	case h.Reason == zmtp.PeerError:
		return !strings.HasPrefix(h.Detail, `"300"`) && !strings.HasPrefix(h.Detail, `"400"`) && !strings.HasPrefix(h.Detail, `"500"`)
	}
	return h.Reason == zmtp.IncompatibleType
}

// judge says what a conversation that ended with err has shown.
func (c *Caller) judge(text string, t *talk, err error) (all []Finding) {
	if t.greeting != nil {
		all = append(all, pass(text, "speaks ZMTP %s with mechanism %s", t.version(), t.mechanism()))
	}
	peer := t.socketType()
	if err != nil {
		switch {
		case ofType(t, err) && peer != "" && taker(peer) == "":
			return append(all, pass(text, "a %s, which would hand messages to whoever connects: not connected further, nor pinged", peer))
		case ofType(t, err) && peer == "" && t.mechanism() != "NULL":
			return append(all, warn(text, "see with the type of socket that is to talk to it", "lets none of %v in, as a PUSH, REQ, DEALER or PAIR would: %v", takers, err))
		}
		found, advice := c.trouble(t, err)
		return append(all, fail(text, advice, "handshake: %s", found))
	}
	all = append(all, pass(text, "handshake accepted by a %s", peer))
	if t.peer.Major < 3 || t.peer.Minor < 1 {
		return append(all, pass(text, "no PING in ZMTP %d.%d", t.peer.Major, t.peer.Minor))
	}
	took, err := t.ping()
	if err != nil {
		return append(all, warn(text, "peers that are asked for heartbeats will take it for dead: is it stuck?", "PING was not answered: %s", cause(err)))
	}
	return append(all, pass(text, "PING answered in %s", round(took)))
}

// trouble says what went wrong in a handshake, and what to do.
func (c *Caller) trouble(t *talk, err error) (found, advice string) {
	if errors.Is(err, transport.ErrTLS) {
		advice = "give --tls-ca FILE of the authority that signed its certificate, and the name in it as the host"
		if strings.Contains(err.Error(), "not TLS") {
			advice = "use tcp:// or ws://, or have the peer bind tls+tcp:// or wss://"
		}
		return err.Error(), advice
	}
	h, ok := errors.AsType[*zmtp.HandshakeError](err)
	if !ok {
		switch {
		case isTimeout(err) && len(t.heard) == 0:
			return "it accepts the connection and says nothing", "is the process stuck, or is this the port of something else, such as TLS (use tls+tcp://)?"
		case isTimeout(err):
			return "it stops in the middle of it", "is the process stuck? Try a longer --timeout"
		}
		return cause(err), "look at the log of the peer: it may have refused this address, or speak something else than ZMTP"
	}
	switch h.Reason {
	case zmtp.NotZMTP:
		advice = "this port belongs to something else: check it"
		if strings.Contains(h.Detail, "TLS") {
			advice = "use tls+tcp:// or wss:// in the endpoint"
		} else if strings.Contains(h.Detail, "HTTP") {
			advice = "use ws://HOST:PORT/PATH if the peer is bound so, or check the port"
		}
	case zmtp.MechanismMismatch:
		advice = wanted(t.mechanism())
	case zmtp.RoleMismatch:
		advice = "one side has to be the server of the mechanism, the other its client"
	case zmtp.BadKey:
		advice = "check --curve-server-key: it is not the public key of this peer"
	case zmtp.PeerError, zmtp.Unanswered:
		advice = "the peer does not let these credentials in: check the key or the password, and its list"
	case zmtp.OldVersion:
		advice = "update the peer: it has no security"
	default:
		advice = "the peer breaks the protocol: update it"
	}
	return h.Error(), advice
}

func wanted(mechanism string) string {
	switch mechanism {
	case "CURVE":
		return "wants CURVE: give --curve-server-key KEY, and --curve-secret-key if it asks who you are"
	case "PLAIN":
		return "wants PLAIN: give --plain-user and --plain-password"
	case "NULL":
		return "wants NULL: leave the security flags out, or secure the peer"
	case "":
		return "give --curve-server-key or --plain-user, whichever the peer wants"
	}
	return "meshmq speaks NULL, PLAIN and CURVE only: set the peer to one of them"
}

// dialTrouble says why nobody was reached.
func dialTrouble(err error, patience time.Duration) (found, advice string) {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens there", "start the peer, or check the address and the port"
	case isTimeout(err):
		return fmt.Sprintf("no answer within %s", patience), "a firewall seems to drop it, or the host is off"
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file", "start the peer, or check the path"
	case errors.Is(err, fs.ErrPermission):
		return cause(err), "this user may not: check the mode of the socket and of its folder, or the firewall"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no way there: " + cause(err), "check the address, the routes, and whether the host is on"
	}
	return cause(err), "check the endpoint"
}

// resolve says what the host's name stands for, where there is one.
func resolve(ctx context.Context, text string) (all []Finding, ok bool) {
	_, host, _, has := discovery.SplitEndpoint(text)
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); !has || err == nil || host == "*" || host == "" || strings.Contains(host, ";") {
		return nil, true
	}
	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return []Finding{fail(text, "check the name, /etc/hosts and the DNS server, or give an address", "%s does not resolve: %s", host, cause(err))}, false
	}
	return []Finding{pass(text, "%s resolves to %s", host, strings.Join(addrs[:min(len(addrs), 8)], " "))}, true
}

// soon is when a certificate wants attention.
const soon = 14 * 24 * time.Hour

func certificate(text string, chain []*x509.Certificate, now time.Time) Finding {
	if len(chain) == 0 {
		return fail(text, "give the peer a certificate", "it shows no certificate")
	}
	c := chain[0]
	names := c.DNSNames
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	what := fmt.Sprintf("certificate for %.200s, until %s", strings.Join(names, " "), c.NotAfter.UTC().Format(time.DateOnly))
	switch {
	case now.After(c.NotAfter):
		return fail(text, "renew it", "%s: it has expired", what)
	case now.Before(c.NotBefore):
		return fail(text, "check the clocks", "%s: it begins at %s only", what, c.NotBefore.UTC().Format(time.RFC3339))
	case c.NotAfter.Sub(now) < soon:
		return warn(text, "renew it", "%s: soon over", what)
	}
	return pass(text, "%s", what)
}

// verifying returns a configuration that notes what the peer has shown before it is judged, which happens as crypto/tls would.
func verifying(base *tls.Config, shown **tls.ConnectionState) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if base != nil {
		c = base.Clone()
	}
	c.InsecureSkipVerify = true // it is VerifyConnection that verifies
	roots := c.RootCAs
	c.VerifyConnection = func(s tls.ConnectionState) error {
		*shown = &s
		o := x509.VerifyOptions{DNSName: s.ServerName, Roots: roots, Intermediates: x509.NewCertPool()}
		for _, cert := range s.PeerCertificates[1:] {
			o.Intermediates.AddCert(cert)
		}
		_, err := s.PeerCertificates[0].Verify(o)
		if err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
		}
		return nil
	}
	return c
}

// dial connects, to talk until the end of ctx.
func dial(ctx context.Context, c *transport.Config, ep transport.Endpoint) (*talk, time.Duration, error) {
	begun := time.Now()
	conn, err := c.Dial(ctx, ep)
	took := time.Since(begun)
	if err != nil {
		return nil, took, err
	}
	if at, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(at)
	}
	return &talk{conn: conn}, took, nil
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// cause is the innermost of what package net has to say.
func cause(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	return err.Error()
}

func round(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
