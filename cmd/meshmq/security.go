package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// securityFlags say which security mechanism a socket speaks.
type securityFlags struct {
	curvePublic, curveSecret, curveServer string
	curveAllow                            string
	plainUser, plainPassword              string
	plainPasswords                        string
	opts                                  []socket.Option // what they mean; set by check
}

func (f *securityFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.curveSecret, "curve-secret-key", "", "speak CURVE, as the server, and own `KEY` (Z85, or @FILE of meshmq keygen)")
	flags.StringVar(&f.curvePublic, "curve-public-key", "", "its public `KEY`, to make sure (Z85 or @FILE)")
	flags.StringVar(&f.curveServer, "curve-server-key", "", "speak CURVE as a client of the server with this public `KEY` (Z85 or @FILE); without --curve-secret-key as somebody new")
	flags.StringVar(&f.curveAllow, "curve-allow", "", "as the server of CURVE, let in only whose public key (of meshmq keygen) is in `DIR`; files may come and go")
	flags.StringVar(&f.plainUser, "plain-user", "", "speak PLAIN as a client: show `NAME` and the password to peers, unencrypted")
	flags.StringVar(&f.plainPassword, "plain-password", "", "the `PASSWORD` for --plain-user (or @FILE)")
	flags.StringVar(&f.plainPasswords, "plain-passwords", "", "speak PLAIN as the server, and let in who is in `FILE`: USER:PASSWORD lines (mode 0600)")
}

// check makes options of the flags.
func (f *securityFlags) check(cmd *cobra.Command) (err error) {
	curve := f.curvePublic != "" || f.curveSecret != "" || f.curveServer != ""
	plain := f.plainUser != "" || f.plainPassword != ""
	switch {
	case curve && (plain || f.plainPasswords != ""), plain && f.plainPasswords != "":
		return usage(cmd, "--curve-..., --plain-user and --plain-passwords: a socket has one security mechanism, in one role")
	case plain && f.plainUser == "":
		return usage(cmd, "--plain-password without --plain-user: want a user")
	case f.curveAllow != "" && (f.curveSecret == "" || f.curveServer != ""):
		return usage(cmd, "--curve-allow: only a server of CURVE asks for keys: want --curve-secret-key, and no --curve-server-key")
	case curve && f.curveSecret == "" && f.curveServer == "":
		return usage(cmd, "--curve-public-key alone: want --curve-secret-key too")
	case curve && f.curveSecret == "" && f.curvePublic != "":
		return usage(cmd, "--curve-public-key without --curve-secret-key: a public key is shown by who has the secret one")
	}
	var option socket.Option
	switch {
	case f.plainPasswords != "":
		f.opts = []socket.Option{socket.WithPlainServer(), socket.WithAuthenticator(socket.PasswordFile(f.plainPasswords))}
		return nil
	case plain:
		option, err = f.plain()
	case curve:
		option, err = f.curve()
	default:
		return nil
	}
	if err != nil {
		return usage(cmd, "%w", err)
	}
	f.opts = []socket.Option{option}
	if f.curveAllow != "" {
		f.opts = append(f.opts, socket.WithAuthenticator(socket.AllowKeys(f.curveAllow)))
	}
	return nil
}

// server reports whether this side is the one that lets others in.
func (f *securityFlags) server() bool {
	return f.plainPasswords != "" || f.curveSecret != "" && f.curveServer == ""
}

func (f *securityFlags) plain() (socket.Option, error) {
	password, err := f.password()
	if err != nil {
		return nil, err
	}
	return socket.WithPlainClient(f.plainUser, password), nil
}

func (f *securityFlags) password() (string, error) {
	path, file := strings.CutPrefix(f.plainPassword, "@")
	if !file {
		return f.plainPassword, nil
	}
	text, err := readSecret(path)
	if err != nil {
		return "", fmt.Errorf("--plain-password: %w", err)
	}
	return strings.TrimRight(text, "\r\n"), nil
}

func (f *securityFlags) curve() (socket.Option, error) {
	keys, err := f.keys()
	if err != nil {
		return nil, err
	}
	if f.curveServer == "" {
		return socket.WithCurveServer(keys), nil
	}
	server, err := publicKey("--curve-server-key", f.curveServer)
	return socket.WithCurveClient(keys, server), err
}

// keys are those of this side.
func (f *securityFlags) keys() (keys socket.KeyPair, err error) {
	if f.curveSecret == "" {
		return socket.NewKeyPair(), nil
	}
	if path, file := strings.CutPrefix(f.curveSecret, "@"); file {
		c, err := socket.LoadCurveCertificate(path)
		if err != nil {
			return keys, fmt.Errorf("--curve-secret-key: %w", err)
		}
		secret := false
		if keys, secret = c.Pair(); !secret {
			return keys, fmt.Errorf("--curve-secret-key: there is none in %s: want %[1]s%s, which meshmq keygen made beside it", path, socket.SecretSuffix)
		}
	} else {
		secret, err := socket.ParseSecretKey(f.curveSecret)
		if err != nil {
			return keys, fmt.Errorf("--curve-secret-key: %w, or @FILE", err)
		}
		keys = secret.Pair()
	}
	if f.curvePublic != "" {
		public, err := publicKey("--curve-public-key", f.curvePublic)
		if err == nil && public != keys.Public {
			err = fmt.Errorf("--curve-public-key %s is not that of the secret key, which is %s", public, keys.Public)
		}
		return keys, err
	}
	return keys, nil
}

// readSecret reads a small file that is nobody else's.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0:
		return "", fmt.Errorf("%s is open to everybody on this host (mode %04o): chmod 600 %[1]s", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(text) > maxSecret {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxSecret)
	}
	return string(text), err
}

// maxSecret is room for a page of passwords.
const maxSecret = 64 << 10

// publicKey reads a key that a flag gives in Z85 or in a file.
func publicKey(flag, text string) (socket.PublicKey, error) {
	path, file := strings.CutPrefix(text, "@")
	if !file {
		key, err := socket.ParsePublicKey(text)
		if err != nil {
			return key, fmt.Errorf("%s: %w, or @FILE", flag, err)
		}
		return key, nil
	}
	c, err := socket.LoadCurveCertificate(path)
	if err != nil {
		return socket.PublicKey{}, fmt.Errorf("%s: %w", flag, err)
	}
	return c.Public, nil
}

// errRefused is the cause of a session's context when peers refused us for good.
type errRefused struct{ err error }

func (r *errRefused) Error() string { return "refused: " + r.err.Error() }
func (r *errRefused) Unwrap() error { return r.err }

// refusals notes which endpoints refused us in a way that trying again will not mend, and ends the session when all have.
type refusals struct {
	connects []string
	refused  map[string]bool
	end      func(error) // nil where the session waits for other peers too
}

// watchRefusals has a session end when all it connects to refuse us. Where others may come in, or be found, it goes on.
func (s *session) watchRefusals(end func(error)) {
	if len(s.binds) == 0 && !slices.ContainsFunc(s.connects, isName) {
		s.events.refusals = refusals{connects: s.connects, refused: map[string]bool{}, end: end}
	}
}

func isName(endpoint string) bool { return strings.HasPrefix(endpoint, discovery.Scheme) }

func (r *refusals) note(e socket.Event) {
	if r.end == nil {
		return
	}
	switch {
	case e.Kind == socket.Connected:
		r.end = nil
	case e.Kind == socket.HandshakeFailed && forGood(e.Err):
		r.refused[e.Endpoint] = true
		if !slices.ContainsFunc(r.connects, func(ep string) bool { return !r.refused[ep] }) {
			r.end(&errRefused{fmt.Errorf("%s: %w", e.Endpoint, e.Err)})
		}
	}
}

// forGood reports whether a person has to do something before the peer lets us in.
func forGood(err error) bool {
	h, ok := errors.AsType[*socket.HandshakeError](err)
	if !ok {
		return errors.Is(err, transport.ErrTLS)
	}
	switch h.Reason {
	case zmtp.MechanismMismatch, zmtp.RoleMismatch, zmtp.BadKey:
		return true
	}
	return h.Reason == zmtp.PeerError && strings.HasPrefix(h.Detail, `"400"`)
}
