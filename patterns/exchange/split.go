package exchange

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
)

// Part is a share in a Split.
type Part struct {
	To     *Destination
	Weight int // its share of messages, in proportion to those of others; 1 or more
}

// Split returns a destination that hands each message to one of the parts, in proportion to their weights. Messages of one key go to the same, whichever process sends them, as long
// as it stays; which one depends on the names alone, and when a part comes or goes only as many keys move as it has. Messages without a key go anywhere. A weight below 1, and two
// parts of one name, are ErrRule.
func Split(name string, parts ...Part) (*Destination, error) {
	refuse := func(format string, args ...any) (*Destination, error) {
		return nil, fmt.Errorf("%w: split %q: %s", ErrRule, name, fmt.Sprintf(format, args...))
	}
	if len(parts) == 0 {
		return refuse("%v", errNone)
	}
	shares := make([]share, len(parts))
	names := map[string]bool{}
	for i, p := range parts {
		if err := p.To.check(); err != nil {
			return refuse("%v", err)
		}
		if p.Weight < 1 {
			return refuse("weight %d of %q: want 1 or more", p.Weight, p.To.name)
		}
		if names[p.To.name] {
			return refuse("two parts %q", p.To.name)
		}
		names[p.To.name] = true
		shares[i] = share{p.To, float64(p.Weight), hash(offset, p.To.name)}
	}
	return To(name, func(ctx context.Context, m *Message) error { return choose(shares, m.Key).deliver(ctx, m) }), nil
}

type share struct {
	to     *Destination
	weight float64
	seed   uint64 // the hash of its name
}

// choose picks a share by rendezvous hashing: each draws a number by name and key, whose distribution depends on the weight, and the highest wins.
func choose(shares []share, key string) *Destination {
	var best *Destination
	top := math.Inf(-1)
	for i := range shares {
		s := &shares[i]
		u := rand.Float64()
		if key != "" {
			u = uniform(hash(s.seed, key))
		}
		if score := -s.weight / math.Log(u); best == nil || score > top {
			best, top = s.to, score
		}
	}
	return best
}

// FNV-1a, which is the same everywhere.
const (
	offset = 14695981039346656037
	prime  = 1099511628211
)

func hash(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * prime
	}
	return h
}

// uniform spreads a hash over the numbers between 0 and 1, neither of them included: the finalizer of SplitMix64, since the upper bits of FNV-1a say little about short keys.
func uniform(h uint64) float64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	return (float64(h>>11) + 0.5) / (1 << 53)
}
