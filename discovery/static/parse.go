package static

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/meshmq/meshmq/discovery"
)

// maxFile bounds a list read from a file: more than 10,000 instances.
const maxFile = 1 << 20

// Parse reads one instance written as SERVICE=ENDPOINT, or SERVICE=ENDPOINT,ENDPOINT... for one
// instance with several endpoints. Its ID is derived from the text: the same text is the same
// instance wherever it is read.
func Parse(s string) (discovery.Instance, error) {
	service, list, ok := strings.Cut(strings.TrimSpace(s), "=")
	if !ok {
		return discovery.Instance{}, fmt.Errorf("instance %q: want SERVICE=ENDPOINT, like orders=tcp://10.0.0.7:5555", s)
	}
	sum := sha256.Sum256([]byte(service + "=" + list))
	in := discovery.Instance{ID: hex.EncodeToString(sum[:8]), Service: service, Endpoints: strings.Split(list, ",")}
	if err := in.Validate(); err != nil {
		return discovery.Instance{}, fmt.Errorf("instance %q: %w", s, err)
	}
	return in, nil
}

// Load returns a registry with the instances listed in a file: one line each in the form that
// Parse reads. Empty lines and lines that start with # are skipped. The file is read once.
func Load(path string) (*Registry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load list of instances: %w", err)
	}
	defer f.Close()
	instances, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	return New(instances...)
}

func read(r io.Reader) ([]discovery.Instance, error) {
	limited := &io.LimitedReader{R: r, N: maxFile + 1}
	lines := bufio.NewScanner(limited)
	var instances []discovery.Instance
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		in, err := Parse(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		instances = append(instances, in)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("more than %d bytes", maxFile)
	}
	return instances, nil
}
