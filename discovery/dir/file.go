package dir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/meshmq/meshmq/discovery"
)

const (
	suffix   = ".json"
	maxFile  = 16 << 10 // four times the largest valid instance
	maxFiles = 1024     // entries looked at: the cap on peers of a watch
)

// record is the content of a file.
type record struct {
	ID        string            `json:"id"`
	Service   string            `json:"service"`
	Name      string            `json:"name,omitempty"`
	Endpoints []string          `json:"endpoints"`
	Meta      map[string]string `json:"meta,omitempty"`
	TTL       int64             `json:"ttl_ms"`
}

// parse returns the instance in a file named after id.
func parse(id string, b []byte) (discovery.Instance, time.Duration, error) {
	var rec record
	if err := json.Unmarshal(b, &rec); err != nil {
		return discovery.Instance{}, 0, err
	}
	in := discovery.Instance{ID: rec.ID, Service: rec.Service, Name: rec.Name, Endpoints: rec.Endpoints, Meta: rec.Meta}
	if rec.ID != id {
		return in, 0, fmt.Errorf("file of %s holds instance %q", id, rec.ID)
	}
	if rec.TTL < minTTL.Milliseconds() || rec.TTL > maxTTL.Milliseconds() {
		return in, 0, fmt.Errorf("ttl_ms %d: want %d to %d", rec.TTL, minTTL.Milliseconds(), maxTTL.Milliseconds())
	}
	return in, time.Duration(rec.TTL) * time.Millisecond, in.Validate()
}

// write makes the file of in appear whole.
func write(dir string, in discovery.Instance, ttl time.Duration) error {
	b, err := json.Marshal(record{in.ID, in.Service, in.Name, in.Endpoints, in.Meta, ttl.Milliseconds()})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file(dir, in.ID))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// load reads one file: what it holds and how long since it was refreshed. Only regular files
// count, for opening a named pipe would block.
func load(path string) (in discovery.Instance, ttl time.Duration, at time.Time, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return in, 0, at, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return in, 0, at, fmt.Errorf("%s: want a file of at most %d bytes", path, maxFile)
	}
	f, err := os.Open(path)
	if err != nil {
		return in, 0, at, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return in, 0, at, err
	}
	in, ttl, err = parse(strings.TrimSuffix(filepath.Base(path), suffix), b)
	return in, ttl, info.ModTime(), err
}

// read returns the live instances of service, all if it is empty, and the IDs of those whose
// files are there but too old. Files that are no valid instance are skipped.
func read(dir, service string) (live map[string]discovery.Instance, expired map[string]bool, err error) {
	names, err := list(dir)
	if err != nil {
		return nil, nil, err
	}
	live, expired = make(map[string]discovery.Instance), make(map[string]bool)
	for _, name := range names {
		in, ttl, at, err := load(filepath.Join(dir, name))
		switch {
		case err != nil || service != "" && in.Service != service:
		case stale(time.Since(at), ttl):
			expired[in.ID] = true
		default:
			live[in.ID] = in
		}
	}
	return live, expired, nil
}

// sweep removes the files of processes that were killed. It leaves files it cannot read: they
// are not known to be ours.
func sweep(dir string) {
	names, err := list(dir)
	if err != nil {
		return
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		// Thrice the time to live, so that who watches has seen it expire.
		if _, ttl, at, err := load(path); err == nil && stale(time.Since(at), 3*ttl) {
			os.Remove(path)
		}
	}
}

// list returns the names of at most maxFiles files that look like ours.
func list(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var names []string
	for len(names) < maxFiles {
		batch, err := d.Readdirnames(256)
		for _, name := range batch {
			if strings.HasSuffix(name, suffix) && !strings.HasPrefix(name, ".") && len(names) < maxFiles {
				names = append(names, name)
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return names, nil
			}
			return names, &fs.PathError{Op: "list", Path: dir, Err: err}
		}
	}
	return names, nil
}

// stale says whether a file of this age is expired. One from the future is, too: it would never
// end.
func stale(age, ttl time.Duration) bool { return age > ttl || age < -ttl }
