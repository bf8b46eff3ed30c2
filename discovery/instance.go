package discovery

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of an instance. They keep what a stranger announces small, and fit the labels and TXT
// strings of DNS, the tightest medium there is.
const (
	maxLabel     = 63  // a DNS label, RFC 1035, 2.3.4
	maxName      = 63  // one line of a terminal
	maxEndpoints = 16  // two families on a few interfaces
	maxEndpoint  = 128 // a DNS TXT string has 255 bytes, an ipc path 108
	maxMeta      = 16  // entries
	maxMetaKey   = 8   // RFC 6763, 6.4: at most nine characters, one is a prefix
	maxMetaValue = 128 // bytes
)

// Instance is one announced offer of a service.
type Instance struct {
	// ID tells it from all other instances of all services: see NewID.
	ID string
	// Service is what it offers: see CheckName for the form.
	Service string
	// Name is for people: up to 63 bytes of printable text. It may be empty and need not be unique.
	Name string
	// Endpoints are where it listens, best first. The host of a tcp endpoint may be a wildcard
	// when announced (*, 0.0.0.0, [::]); those who watch see addresses in its place.
	Endpoints []string
	// Meta is whatever else peers should know: up to 16 values of up to 128 bytes of printable
	// text, under keys of up to 8 lower-case letters, digits, '-' and '_'.
	Meta map[string]string
}

// NewID returns a random ID that no other instance has: 16 hexadecimal digits.
func NewID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails, says its documentation
	return hex.EncodeToString(b[:])
}

// Validate returns what is wrong with the instance, nil if nothing is.
func (in Instance) Validate() error {
	if err := checkLabel(in.ID); err != nil {
		return fmt.Errorf("instance id %w", err)
	}
	if err := CheckName(in.Service); err != nil {
		return err
	}
	if err := checkText(in.Name, maxName); err != nil {
		return fmt.Errorf("instance name %w", err)
	}
	if n := len(in.Endpoints); n == 0 || n > maxEndpoints {
		return fmt.Errorf("instance %s has %d endpoints: want 1 to %d", in.ID, n, maxEndpoints)
	}
	for _, ep := range in.Endpoints {
		if err := checkEndpoint(ep); err != nil {
			return err
		}
	}
	return checkMeta(in.Meta)
}

// Equal says whether both have the same content.
func (in Instance) Equal(other Instance) bool {
	return in.ID == other.ID && in.Service == other.Service && in.Name == other.Name &&
		slices.Equal(in.Endpoints, other.Endpoints) && maps.Equal(in.Meta, other.Meta)
}

// Clone returns a copy that shares no memory with in.
func (in Instance) Clone() Instance {
	in.Endpoints = slices.Clone(in.Endpoints)
	in.Meta = maps.Clone(in.Meta)
	return in
}

// On returns a copy of in as it is reached through an interface with these addresses: each
// endpoint with a wildcard host becomes one endpoint per address, IPv4 only for 0.0.0.0. No
// endpoint is listed twice, and none beyond the 16 that Validate allows.
func (in Instance) On(addrs []netip.Addr) Instance {
	in = in.Clone()
	var eps []string
	for _, ep := range in.Endpoints {
		scheme, host, port, ok := SplitEndpoint(ep)
		if !ok || !isWildcard(host) {
			eps = append(eps, ep)
			continue
		}
		for _, a := range addrs {
			if host != "0.0.0.0" || a.Is4() {
				eps = append(eps, scheme+"://"+net.JoinHostPort(a.String(), strconv.Itoa(port))+pathOf(ep))
			}
		}
	}
	in.Endpoints = nil
	for _, ep := range eps {
		if !slices.Contains(in.Endpoints, ep) && len(in.Endpoints) < maxEndpoints {
			in.Endpoints = append(in.Endpoints, ep)
		}
	}
	return in
}

// SplitEndpoint takes apart an endpoint that has a host and a port (tcp, tls+tcp, ws, wss). It
// says false for others, like ipc, and for malformed ones. The path of ws and wss is left out.
func SplitEndpoint(ep string) (scheme, host string, port int, ok bool) {
	scheme, rest, _ := strings.Cut(ep, "://")
	if !hasPort(scheme) {
		return "", "", 0, false
	}
	host, digits, err := net.SplitHostPort(strings.TrimSuffix(rest, pathOf(ep)))
	if err != nil {
		return "", "", 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || !isHost(host) {
		return "", "", 0, false
	}
	return scheme, host, int(n), true
}

// hasPort says whether endpoints of the scheme have a host and a port.
func hasPort(scheme string) bool {
	return scheme == "tcp" || strings.HasSuffix(scheme, "+tcp") || isWeb(scheme)
}

func isWeb(scheme string) bool { return scheme == "ws" || scheme == "wss" }

// pathOf returns what stands behind the port of ws and wss, slash included.
func pathOf(ep string) string {
	scheme, rest, _ := strings.Cut(ep, "://")
	if i := strings.IndexByte(rest, '/'); i >= 0 && isWeb(scheme) {
		return rest[i:]
	}
	return ""
}

func isWildcard(host string) bool {
	return host == "*" || host == "" || host == "0.0.0.0" || host == "::"
}

func isHost(host string) bool {
	return isWildcard(host) || !strings.ContainsFunc(host, func(r rune) bool {
		return r > unicode.MaxASCII || !(isAlnum(byte(r)) || r >= 'A' && r <= 'Z' || strings.ContainsRune("-._:%", r))
	})
}

func checkEndpoint(ep string) error {
	scheme, rest, ok := strings.Cut(ep, "://")
	switch {
	case checkText(ep, maxEndpoint) != nil:
		return fmt.Errorf("endpoint %w", checkText(ep, maxEndpoint))
	case !ok || scheme == "" || rest == "" || strings.ContainsFunc(scheme, func(r rune) bool {
		return r != '+' && (r > unicode.MaxASCII || !isAlnum(byte(r)))
	}):
		return fmt.Errorf("endpoint %q: want scheme://address, like tcp://10.0.0.7:5555", ep)
	case hasPort(scheme):
		if _, _, _, ok := SplitEndpoint(ep); !ok {
			return fmt.Errorf("endpoint %q: want %s://host:port with a port from 1 to 65535 (the one Bind returned)", ep, scheme)
		}
	}
	return nil
}

func checkMeta(meta map[string]string) error {
	if len(meta) > maxMeta {
		return fmt.Errorf("meta has %d entries: want at most %d", len(meta), maxMeta)
	}
	for k, v := range meta {
		if k == "" || len(k) > maxMetaKey || strings.ContainsFunc(k, func(r rune) bool {
			return r != '-' && r != '_' && (r > unicode.MaxASCII || !isAlnum(byte(r)))
		}) {
			return fmt.Errorf("meta key %q: want 1 to %d lower-case letters, digits, '-' and '_'", k, maxMetaKey)
		}
		if err := checkText(v, maxMetaValue); err != nil {
			return fmt.Errorf("meta %s: value %w", k, err)
		}
	}
	return nil
}

// checkText keeps control characters out: names end up on terminals.
func checkText(s string, limit int) error {
	switch {
	case len(s) > limit:
		return fmt.Errorf("%q... has %d bytes: want at most %d", s[:min(len(s), 32)], len(s), limit)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%q: want printable text", s)
	}
	return nil
}

// checkLabel wants what is safe as a DNS label, a file name and an argument.
func checkLabel(s string) error {
	switch {
	case s == "":
		return errors.New("is empty: want lower-case letters, digits and hyphens")
	case len(s) > maxLabel:
		return fmt.Errorf("%q... has %d bytes: want at most %d", s[:32], len(s), maxLabel)
	}
	for i := range len(s) {
		if edge := i == 0 || i == len(s)-1; !isAlnum(s[i]) && (edge || s[i] != '-') {
			return fmt.Errorf("%q: want lower-case letters, digits and hyphens, with no hyphen at an end", s)
		}
	}
	return nil
}

func isAlnum(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
