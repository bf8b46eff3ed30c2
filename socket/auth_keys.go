package socket

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// AllowedKeys lets peers in by their CURVE key. AllowKeys makes one.
type AllowedKeys struct {
	dir   string
	keys  reloaded[keyring]
	bad   error // the directory could not be read at first
	files atomic.Pointer[[]error]
}

// keyring is who owns which key.
type keyring map[PublicKey]Verdict

// AllowKeys lets peers in whose CURVE key is in a directory, in WithCurveServer. It holds public certificates, such as meshmq keygen, czmq and pyzmq write; to let
// somebody in is to put a file there, to keep somebody out is to take it away. That counts for those who come a second later; peers that are
// connected stay, see Push.Kick. The user id is what the certificate's metadata has for user-id, or else the name of the file without .key; the rest of
// the metadata is for Peer.Property.
//
// Hidden files, those with secret keys (_secret at the end) and backups (~) are not looked at. A file that is no certificate lets nobody in and is left
// out; so is a second file with the same key, and one that everybody on this host may write to. Problems tells. Once the directory cannot be read, or everybody may write to it,
// nobody is let in. At construction that is an error of the socket.
func AllowKeys(dir string) *AllowedKeys {
	a := &AllowedKeys{dir: dir}
	a.keys.state, a.keys.load = a.state, a.load
	a.bad = a.keys.open()
	return a
}

// list returns the files that are looked at, in order.
func (a *AllowedKeys) list() (paths []string, err error) {
	entries, err := os.ReadDir(a.dir)
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, "~") && !strings.HasSuffix(name, SecretSuffix) {
			paths = append(paths, filepath.Join(a.dir, name))
		}
	}
	return paths, err
}

func (a *AllowedKeys) state() (string, error) {
	paths, err := a.list()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if info, err := os.Stat(a.dir); err == nil {
		fmt.Fprint(&b, info.Mode())
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil { // else it is gone again, or a link to nothing
			fmt.Fprintf(&b, "%q ", filepath.Base(path))
			appendState(&b, info)
		}
	}
	return b.String(), nil
}

func (a *AllowedKeys) load() (keyring, error) {
	info, err := os.Stat(a.dir)
	if err == nil {
		err = checkGuarded(a.dir, info.Mode())
	}
	if err != nil {
		return nil, err
	}
	paths, err := a.list()
	if err != nil {
		return nil, err
	}
	ring := keyring{}
	var problems []error
	for _, path := range paths {
		if err := ring.add(path); err != nil {
			problems = append(problems, err)
		}
	}
	a.files.Store(&problems)
	return ring, nil
}

func (k keyring) add(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		return err
	}
	if err := checkGuarded(path, info.Mode()); err != nil {
		return err
	}
	c, err := LoadCurveCertificate(path)
	if err != nil {
		return err
	}
	if owner, twice := k[c.Public]; twice {
		return fmt.Errorf("certificate %s: its key is that of %q already", path, owner.UserID)
	}
	v := Verdict{Decision: Allow, UserID: strings.TrimSuffix(filepath.Base(path), ".key")}
	for _, name := range slices.Sorted(maps.Keys(c.Metadata)) {
		if strings.EqualFold(name, "user-id") {
			v.UserID = c.Metadata[name]
		} else {
			v.Metadata = append(v.Metadata, zmtp.Property{Name: name, Value: []byte(c.Metadata[name])})
		}
	}
	k[c.Public] = v
	return nil
}

func (a *AllowedKeys) check(c *config) error {
	if a.bad != nil {
		return fmt.Errorf("AllowKeys: %w", a.bad)
	}
	if c.mechanismOf != "WithCurveServer" {
		return errors.New("AllowKeys: peers show keys only to WithCurveServer")
	}
	return nil
}

// Authenticate looks the key up.
func (a *AllowedKeys) Authenticate(_ context.Context, r Request) Verdict {
	ring, err := a.keys.get(time.Now())
	if a.bad != nil {
		err = a.bad
	}
	switch {
	case err != nil:
		return Verdict{Decision: Fail, Reason: err.Error()}
	case r.Mechanism != "CURVE":
		return Verdict{Reason: "it shows no key with mechanism " + r.Mechanism}
	}
	if v, known := ring[r.PublicKey]; known {
		return v
	}
	return Verdict{Reason: fmt.Sprintf("its key %s is not in %s", r.PublicKey, a.dir)}
}

// Problems returns what is wrong with files in the directory, as of when they were looked at last, which is when a peer comes.
func (a *AllowedKeys) Problems() []error {
	if p := a.files.Load(); p != nil {
		return slices.Clone(*p)
	}
	return nil
}
