package mdns

import (
	"fmt"
	"time"
)

const (
	defaultTTL = 15 * time.Second
	// minTTL makes the rounds that refresh a record, a twentieth of its life apart, no more than
	// four a second whatever a stranger announces.
	minTTL = 5 * time.Second
	maxTTL = 120 * time.Second // RFC 6762, 10: records that name a host

	defaultPeers = 1024
)

// Option changes a Registry.
type Option func(*Registry) error

// WithInterfaces uses these interfaces only. Default: all that are up and have multicast, without
// loopback. Naming the loopback interface ("lo" on Linux) works for the programs of one machine.
func WithInterfaces(names ...string) Option {
	return func(r *Registry) error {
		if len(names) == 0 {
			return fmt.Errorf("no interface named")
		}
		r.names = names
		return nil
	}
}

// WithTTL sets the life of the announced records, which is how long a killed program is still
// seen by others: whole seconds from 5 s to 120 s, default 15 s. Each watcher asks once per 4/5
// of it.
func WithTTL(ttl time.Duration) Option {
	return func(r *Registry) error {
		if ttl < minTTL || ttl > maxTTL || ttl%time.Second != 0 {
			return fmt.Errorf("ttl %v: want whole seconds from %v to %v", ttl, minTTL, maxTTL)
		}
		r.ttl = ttl
		return nil
	}
}

// WithMaxPeers bounds the instances one Watch knows at a time; more are ignored. Default 1024.
func WithMaxPeers(n int) Option {
	return func(r *Registry) error {
		if n < 1 {
			return fmt.Errorf("max peers %d: want at least 1", n)
		}
		r.maxPeers = n
		return nil
	}
}
