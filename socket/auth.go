package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Authenticator decides which peers may come in, see WithAuthenticator. Ready-made are AllowKeys, StaticPasswords, PasswordFile, TLSNames and
// IPRanges, which All combines, and ZAP, which asks a handler of RFC 27.
type Authenticator interface {
	// Authenticate returns a verdict on a peer. It is called by many goroutines at once, one for each peer in its handshake, and may block: only
	// that peer waits. It must return when ctx ends, which is after WithAuthTimeout, or when the socket is closed. Whatever does not say
	// Allow in time lets nobody in, a panic among it.
	Authenticate(ctx context.Context, r Request) Verdict
}

// AuthenticatorFunc is a function that is an Authenticator.
type AuthenticatorFunc func(ctx context.Context, r Request) Verdict

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(ctx context.Context, r Request) Verdict { return f(ctx, r) }

// checked is an Authenticator that knows at construction what it cannot work with.
type checked interface{ check(c *config) error }

// maxUserID is the longest user id (RFC 27, "Message Format").
const maxUserID = 255

// ask returns the authenticator's verdict, or that there is none.
func (c *core) ask(ctx context.Context, nc net.Conn, r Request) (v Verdict) {
	limit := c.cfg.authTimeout
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// The peer need not wait for one that does not return, though we must.
	hangUp := time.AfterFunc(limit+lastWord, func() { nc.Close() })
	defer hangUp.Stop()
	defer func() {
		if trouble := recover(); trouble != nil {
			v = Verdict{Decision: Fail, Reason: fmt.Sprintf("the authenticator panicked: %v", trouble)}
		}
	}()
	v = c.cfg.authenticator.Authenticate(ctx, r)
	switch {
	case ctx.Err() != nil && v.Decision != Deny:
		return Verdict{Decision: Fail, Reason: unanswered(limit, v)}
	case v.Decision == Allow && len(v.UserID) > maxUserID:
		return Verdict{Decision: Fail, Reason: fmt.Sprintf("the authenticator gave a user id of %d bytes, at most %d are possible", len(v.UserID), maxUserID)}
	}
	return v
}

func unanswered(limit time.Duration, v Verdict) string {
	text := fmt.Sprintf("no verdict within %s (WithAuthTimeout)", limit)
	if v.Reason != "" {
		text += ": " + v.Reason
	}
	return text
}

// denials counts by address the peers that were denied, and says which addresses had too many.
type denials struct {
	limit int
	per   time.Duration

	mu sync.Mutex // guards the next field
	of map[netip.Prefix]tally
}

// tally is how many came from an address since a time.
type tally struct {
	n     int
	since time.Time
}

// maxTallies bounds the addresses that are counted: more than make sense for peers that are known, and a few hundred KiB.
const maxTallies = 4096

func newDenials(limit int, per time.Duration) *denials {
	return &denials{limit: limit, per: per, of: map[netip.Prefix]tally{}}
}

// add counts a peer that was denied.
func (d *denials) add(from net.Addr, now time.Time) {
	key, ok := neighbourhood(from)
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t, counted := d.of[key]
	if !counted && len(d.of) >= maxTallies {
		d.shedLocked(now)
	}
	if now.Sub(t.since) >= d.per {
		t = tally{since: now}
	}
	t.n++
	d.of[key] = t
}

// shedLocked makes room: what is over goes, or else any.
func (d *denials) shedLocked(now time.Time) {
	for key, t := range d.of {
		if now.Sub(t.since) >= d.per {
			delete(d.of, key)
		}
	}
	for key := range d.of {
		if len(d.of) < maxTallies {
			break
		}
		delete(d.of, key)
	}
}

// check returns why nobody from an address is to be asked about for now, if so.
func (d *denials) check(from net.Addr, now time.Time) error {
	if d == nil {
		return nil
	}
	key, ok := neighbourhood(from)
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.of[key]
	if !ok || t.n < d.limit || now.Sub(t.since) >= d.per {
		return nil
	}
	return fmt.Errorf("%d peers from %s were denied within %s (WithDenialLimit)", t.n, key.Addr(), d.per)
}

// neighbourhood is what one host has for itself: an address of IPv4, the 64 bits of a network of IPv6. Peers of ipc and inproc have none.
func neighbourhood(from net.Addr) (netip.Prefix, bool) {
	tcp, ok := from.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, false
	}
	addr := tcp.AddrPort().Addr().Unmap()
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	p, err := addr.WithZone("").Prefix(bits)
	return p, err == nil
}

// authConfig is what options set about authenticators.
type authConfig struct {
	authenticator  Authenticator // nil: nobody is asked
	authTimeout    time.Duration
	authTimeoutSet bool
	denialLimit    int
	denialPer      time.Duration
}

// checkAuth finds options that do not go together.
func (c *config) checkAuth() error {
	switch {
	case c.authenticator == nil && c.authTimeoutSet:
		return fmt.Errorf("%w: WithAuthTimeout without WithAuthenticator", ErrOption)
	case c.authenticator == nil && c.denialLimit > 0:
		return fmt.Errorf("%w: WithDenialLimit without WithAuthenticator", ErrOption)
	case c.authenticator == nil && c.mechanismOf == "WithPlainServer":
		return fmt.Errorf("%w: WithPlainServer without WithAuthenticator: nobody could check a password", ErrOption)
	case c.authenticator == nil:
		return nil
	case c.mechanismOf == "WithPlainClient" || c.mechanismOf == "WithCurveClient":
		return fmt.Errorf("%w: WithAuthenticator with %s: the client's side asks nobody; with CURVE the server has proved its key", ErrOption, c.mechanismOf)
	case c.authTimeoutSet && c.handshakeTime(false) > 0 && c.authTimeout >= c.handshakeTime(false):
		return fmt.Errorf("%w: WithAuthTimeout(%s) is not below WithHandshakeTimeout(%s)", ErrOption, c.authTimeout, c.handshakeTime(false))
	}
	if a, ok := c.authenticator.(checked); ok {
		if err := a.check(c); err != nil {
			return fmt.Errorf("%w: WithAuthenticator: %w", ErrOption, err)
		}
	}
	return nil
}

// WithAuthenticator has a decide which peers may come in, when they have shown their credentials and before a message of theirs counts, or one of ours
// reaches them: clients of PLAIN and CURVE, and with the NULL mechanism all peers, by their address, TLS certificate and what they say of
// themselves. Whoever is refused is a HandshakeFailed event with the reason, which the peer is not told. Peers of ZMTP 2.0 and 1.0 are
// refused unasked. Default: CURVE lets any key in, NULL anybody. libzmq: ZMQ_ZAP_DOMAIN, with ZMQ_ZAP_ENFORCE_DOMAIN always on.
func WithAuthenticator(a Authenticator) Option {
	return speaking("WithAuthenticator", func(c *config) error {
		switch {
		case a == nil:
			return bad("WithAuthenticator", "nil", "want an Authenticator")
		case c.authenticator != nil:
			return fmt.Errorf("%w: WithAuthenticator twice: want All of them in one", ErrOption)
		}
		c.authenticator = a
		return nil
	})
}

// WithAuthTimeout bounds how long the authenticator may take for one peer, which is then refused. Default 2 s; it must be more than zero and below
// WithHandshakeTimeout, of which it is a part.
func WithAuthTimeout(d time.Duration) Option {
	return func(c *config) error {
		if d <= 0 {
			return bad("WithAuthTimeout", d, "want more than 0")
		}
		c.authTimeout, c.authTimeoutSet = d, true
		return nil
	}
}

// WithDenialLimit refuses peers from an address of which n were denied within a period, until it is over, without asking the
// authenticator, and before a byte is read: whoever guesses passwords gets no more than n guesses, and those that are being answered when the
// limit is reached. A CURVE client with another server key than ours counts as well, though nobody was asked about it. An address is one of IPv4, or a /64 network of
// IPv6. Peers behind one, as behind a NAT, share the limit: one of them with an old key or password, which a libzmq comes back with ten times a
// second, keeps the others of them out. Choose n well above what such a peer does in the period, or none. Default: no limit, nor with n of zero.
func WithDenialLimit(n int, per time.Duration) Option {
	return func(c *config) error {
		if n < 0 || n > 0 && per <= 0 {
			return bad("WithDenialLimit", fmt.Sprint(n, ", ", per), "want 0 (no limit), or more within a period")
		}
		c.denialLimit, c.denialPer = n, per
		return nil
	}
}

// All lets a peer in that each of the authenticators lets in; they are asked in order, and the first that does not allow it decides. The user id is the first
// that one of them gives, and metadata is all of theirs.
func All(authenticators ...Authenticator) Authenticator { return all(authenticators) }

type all []Authenticator

func (a all) check(c *config) error {
	if len(a) == 0 {
		return errors.New("All of none: want at least one authenticator")
	}
	for _, one := range a {
		if one == nil {
			return errors.New("All: an authenticator is nil")
		}
		if one, ok := one.(checked); ok {
			if err := one.check(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a all) Authenticate(ctx context.Context, r Request) (v Verdict) {
	for _, one := range a {
		next := one.Authenticate(ctx, r)
		if next.Decision != Allow {
			return next
		}
		v.Decision = Allow
		if v.UserID == "" {
			v.UserID = next.UserID
		}
		for _, p := range next.Metadata {
			if _, there := v.Metadata.Get(p.Name); !there {
				v.Metadata = append(v.Metadata, p)
			}
		}
	}
	return v
}
