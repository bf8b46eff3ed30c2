package socket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// IPRanges lets peers in by their IP address: one that is in a range of deny is refused, and one that is in none of allow, unless that is
// empty. Ranges are prefixes such as 10.0.0.0/8, or single addresses. Peers of ipc and inproc are of this host and pass. WithAcceptFrom refuses
// earlier, and cannot be combined with other rules.
func IPRanges(allow, deny []string) Authenticator {
	r := ipRanges{}
	r.allow, r.err = parseNetworks(allow)
	if r.err == nil {
		r.deny, r.err = parseNetworks(deny)
	}
	if r.err == nil && len(allow)+len(deny) == 0 {
		r.err = errors.New("want at least one range")
	}
	return r
}

type ipRanges struct {
	allow, deny []netip.Prefix
	err         error
}

func parseNetworks(texts []string) (prefixes []netip.Prefix, err error) {
	for _, text := range texts {
		p, err := parseNetwork(text)
		if err != nil {
			return nil, fmt.Errorf("%.60q: want a network such as 10.0.0.0/8 or fd00::/8, or an IP address", text)
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}

func (r ipRanges) check(*config) error {
	if r.err != nil {
		return fmt.Errorf("IPRanges: %w", r.err)
	}
	return nil
}

// Authenticate is a rule about addresses only.
func (r ipRanges) Authenticate(_ context.Context, who Request) Verdict {
	tcp, remote := who.Address.(*net.TCPAddr)
	switch {
	case r.err != nil:
		return Verdict{Decision: Fail, Reason: r.err.Error()}
	case !remote && !isLocal(who.Address):
		return Verdict{Reason: "its address is not known"}
	case !remote:
		return Verdict{Decision: Allow}
	}
	from := tcp.AddrPort().Addr().Unmap().WithZone("")
	in := func(p netip.Prefix) bool { return p.Contains(from) }
	switch {
	case slices.ContainsFunc(r.deny, in):
		return Verdict{Reason: fmt.Sprintf("%s is in a range that is denied", from)}
	case len(r.allow) > 0 && !slices.ContainsFunc(r.allow, in):
		return Verdict{Reason: fmt.Sprintf("%s is in no range that is allowed", from)}
	}
	return Verdict{Decision: Allow}
}

// isLocal reports whether an address is one of this host for what it is.
func isLocal(a net.Addr) bool {
	return a != nil && (a.Network() == "unix" || a.Network() == "inproc")
}

// TLSNames lets peers in whose TLS certificate proves one of the names, see Peer.TLSName; *.example.com stands for all names with one more label. The
// name is the user id. It takes tls+tcp or wss endpoints, and a configuration that has peers show certificates, such as that of WithTLSFiles with a ca.
func TLSNames(names ...string) Authenticator { return tlsNames(names) }

type tlsNames []string

func (n tlsNames) check(*config) error {
	if len(n) == 0 || slices.Contains(n, "") {
		return errors.New("TLSNames: want names, none of them empty")
	}
	return nil
}

// Authenticate looks at the certificate only.
func (n tlsNames) Authenticate(_ context.Context, who Request) Verdict {
	name := strings.ToLower(who.TLSName)
	_, parent, _ := strings.Cut(name, ".")
	for _, want := range n {
		want = strings.ToLower(want)
		if rest, wild := strings.CutPrefix(want, "*."); name != "" && (want == name || wild && rest == parent) {
			return Verdict{Decision: Allow, UserID: who.TLSName}
		}
	}
	if name == "" {
		return Verdict{Reason: "it has no TLS certificate that we trust"}
	}
	return Verdict{Reason: fmt.Sprintf("its certificate is for %q, which is not among the names that may come in", who.TLSName)}
}

// passwords are the hashes of passwords by user: it takes the same time to compare any two.
type passwords map[string][sha256.Size]byte

// decoy is compared with the passwords of users that do not exist.
var decoy [sha256.Size]byte

func (p passwords) verdict(who Request) Verdict {
	want, known := p[who.User]
	if !known {
		want = decoy
	}
	got := sha256.Sum256([]byte(who.Password))
	same := subtle.ConstantTimeCompare(got[:], want[:]) == 1
	switch {
	case who.Mechanism != "PLAIN":
		return Verdict{Reason: "it shows no password with mechanism " + who.Mechanism}
	case !same || !known:
		return Verdict{Reason: "wrong user or password"}
	}
	return Verdict{Decision: Allow, UserID: who.User}
}

func (p passwords) add(user, password string) error {
	switch {
	case user == "" || len(user) > 255:
		return fmt.Errorf("a user of %d bytes, want 1 to 255", len(user))
	case password == "" || len(password) > 255:
		return fmt.Errorf("user %.60q has a password of %d bytes, want 1 to 255", user, len(password))
	}
	if _, twice := p[user]; twice {
		return fmt.Errorf("user %.60q is there twice", user)
	}
	p[user] = sha256.Sum256([]byte(password))
	return nil
}

// wantPlain says that passwords are of no use without PLAIN.
func wantPlain(c *config, name string) error {
	if c.mechanismOf != "WithPlainServer" {
		return fmt.Errorf("%s: peers show passwords only to WithPlainServer", name)
	}
	return nil
}

// StaticPasswords lets users in with their password, in WithPlainServer. The user is the user id. How long it takes does not tell how much of
// a password was right.
func StaticPasswords(users map[string]string) Authenticator {
	s := staticPasswords{known: passwords{}}
	for _, user := range slices.Sorted(maps.Keys(users)) {
		if s.err = s.known.add(user, users[user]); s.err != nil {
			break
		}
	}
	if len(users) == 0 {
		s.err = errors.New("want at least one user")
	}
	return s
}

type staticPasswords struct {
	known passwords
	err   error
}

func (s staticPasswords) check(c *config) error {
	if s.err != nil {
		return fmt.Errorf("StaticPasswords: %w", s.err)
	}
	return wantPlain(c, "StaticPasswords")
}

// Authenticate compares the password.
func (s staticPasswords) Authenticate(_ context.Context, who Request) Verdict {
	if s.err != nil {
		return Verdict{Decision: Fail, Reason: s.err.Error()}
	}
	return s.known.verdict(who)
}

// PasswordFile is StaticPasswords from a file that may change while it is in use, as it should when somebody leaves: a line is user:password; blank
// ones and those that begin with # say nothing. Once it cannot be read, or has a line that is none of this, nobody is let in until it can;
// peers that are connected stay. It is refused at construction then, and when everybody on this host may read it: it wants mode 0600.
func PasswordFile(path string) Authenticator {
	f := &passwordFile{path: path}
	f.users.state = func() (string, error) { return stateOf(path) }
	f.users.load = f.load
	f.err = f.users.open()
	return f
}

type passwordFile struct {
	path  string
	users reloaded[passwords]
	err   error // of the first time
}

// maxPasswordFile bounds a password file: a hundred thousand users, who want another authenticator.
const maxPasswordFile = 16 << 20

func (f *passwordFile) load() (users passwords, err error) {
	file, info, err := openRegular(f.path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	defer file.Close()
	if err := checkSecretMode(f.path, info.Mode()); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxPasswordFile+1))
	if err == nil && len(text) > maxPasswordFile {
		err = fmt.Errorf("it is larger than %d bytes", maxPasswordFile)
	}
	if err == nil {
		users, err = parsePasswords(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return users, nil
}

func parsePasswords(text []byte) (passwords, error) {
	users := passwords{}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		user, password, found := strings.Cut(line, ":")
		err := users.add(user, password)
		if !found {
			err = errors.New("want user:password")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return users, nil
}

func (f *passwordFile) check(c *config) error {
	if f.err != nil {
		return fmt.Errorf("PasswordFile: %w", f.err)
	}
	return wantPlain(c, "PasswordFile")
}

// Authenticate compares the password with that in the file, as it was a second ago at most.
func (f *passwordFile) Authenticate(_ context.Context, who Request) Verdict {
	users, err := f.users.get(time.Now())
	if f.err != nil {
		err = f.err
	}
	if err != nil {
		return Verdict{Decision: Fail, Reason: err.Error()}
	}
	return users.verdict(who)
}
