package jetstream

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"sort"
)

// Bounds of one position, so that it fits into a message of 1 MiB.
const (
	maxRanges  = 32 << 10
	maxFailing = 32 << 10
)

// numbers are those from lo to hi.
type numbers struct{ lo, hi uint64 }

// position is what a consumer has acknowledged, and how often others have failed.
// Invariant: ranges are sorted, do not touch, and begin above floor+1.
type position struct {
	floor    uint64
	ranges   []numbers
	failures map[uint64]int
}

// ack adds lo to hi and reports whether that changed anything.
func (p *position) ack(lo, hi uint64) bool {
	lo = max(lo, p.floor+1)
	if hi < lo {
		return false
	}
	i := sort.Search(len(p.ranges), func(i int) bool { return p.ranges[i].hi >= lo-1 })
	j := i
	for ; j < len(p.ranges) && p.ranges[j].lo <= hi+1; j++ {
		if p.ranges[j].lo <= lo && hi <= p.ranges[j].hi {
			return false
		}
		lo, hi = min(lo, p.ranges[j].lo), max(hi, p.ranges[j].hi)
	}
	if lo == p.floor+1 {
		p.floor = hi
		p.ranges = slices.Delete(p.ranges, 0, j)
	} else {
		p.ranges = slices.Replace(p.ranges, i, j, numbers{lo, hi})
	}
	p.forget(lo, hi)
	return true
}

// forget drops the failures of lo to hi.
func (p *position) forget(lo, hi uint64) {
	if hi-lo < uint64(len(p.failures)) {
		for n := lo; n <= hi; n++ {
			delete(p.failures, n)
		}
		return
	}
	maps.DeleteFunc(p.failures, func(n uint64, _ int) bool { return lo <= n && n <= hi })
}

// fits reports whether lo to hi may be acknowledged, however much lies apart.
func (p *position) fits(lo, hi uint64) bool {
	return len(p.ranges) < maxRanges || lo <= p.floor+1 || p.has(lo-1) || p.has(lo) || p.has(hi+1)
}

func (p *position) has(n uint64) bool {
	if n <= p.floor {
		return true
	}
	i := sort.Search(len(p.ranges), func(i int) bool { return p.ranges[i].hi >= n })
	return i < len(p.ranges) && p.ranges[i].lo <= n
}

// nextFree returns the lowest number from n on that is not acknowledged.
func (p *position) nextFree(n uint64) uint64 {
	n = max(n, p.floor+1)
	i := sort.Search(len(p.ranges), func(i int) bool { return p.ranges[i].hi >= n })
	if i < len(p.ranges) && p.ranges[i].lo <= n {
		return p.ranges[i].hi + 1
	}
	return n
}

// nextTaken returns the lowest number from n on, which is above the floor, that is acknowledged; one above all if none is.
func (p *position) nextTaken(n uint64) uint64 {
	i := sort.Search(len(p.ranges), func(i int) bool { return p.ranges[i].hi >= n })
	if i == len(p.ranges) {
		return math.MaxUint64
	}
	return max(n, p.ranges[i].lo)
}

// last returns the highest number that is acknowledged.
func (p *position) last() uint64 {
	if n := len(p.ranges); n > 0 {
		return p.ranges[n-1].hi
	}
	return p.floor
}

// lacks returns how many of the messages lo to hi are not acknowledged.
func (p *position) lacks(lo, hi uint64) uint64 {
	lo = max(lo, p.floor+1)
	if hi < lo {
		return 0
	}
	n := hi - lo + 1
	for _, r := range p.ranges {
		if r.lo <= hi && r.hi >= lo {
			n -= min(r.hi, hi) - max(r.lo, lo) + 1
		}
	}
	return n
}

// fail counts a failure and returns how many there were.
func (p *position) fail(n uint64) int {
	if p.has(n) {
		return 0
	}
	if p.failures[n] == 0 && len(p.failures) >= maxFailing {
		return 1
	}
	if p.failures == nil {
		p.failures = make(map[uint64]int)
	}
	p.failures[n]++
	return p.failures[n]
}

// encode returns the position as varints: the floor, how many ranges, of each how far its ends are from
// what is before, how many failures, of each the number and the count.
func (p *position) encode() []byte {
	b := binary.AppendUvarint(nil, p.floor)
	b = binary.AppendUvarint(b, uint64(len(p.ranges)))
	at := p.floor
	for _, r := range p.ranges {
		b = binary.AppendUvarint(b, r.lo-at)
		b = binary.AppendUvarint(b, r.hi-r.lo)
		at = r.hi
	}
	b = binary.AppendUvarint(b, uint64(len(p.failures)))
	for n, count := range p.failures {
		b = binary.AppendUvarint(b, n)
		b = binary.AppendUvarint(b, uint64(count))
	}
	return b
}

// parsePosition is the opposite of encode.
func parsePosition(b []byte) (*position, error) {
	bad := false
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			bad = true
			return 0
		}
		b = b[n:]
		return v
	}
	p := &position{floor: next()}
	at := p.floor
	for range min(next(), maxRanges+1) {
		lo := at + next()
		hi := lo + next()
		if bad || lo <= at+1 || hi < lo {
			return nil, errForm
		}
		p.ranges, at = append(p.ranges, numbers{lo, hi}), hi
	}
	for range min(next(), maxFailing) {
		n, count := next(), next()
		if bad || count > 1<<31 {
			return nil, errForm
		}
		if p.failures == nil {
			p.failures = make(map[uint64]int)
		}
		p.failures[n] = int(count)
	}
	if bad || len(b) > 0 {
		return nil, errForm
	}
	return p, nil
}
