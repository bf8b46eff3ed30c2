package spool

import (
	"slices"
	"sort"
)

// span is the numbers from lo to hi, both included.
type span struct{ lo, hi uint64 }

// spans is a set of numbers: all up to floor, and ranges above it.
// Invariant: ranges are sorted, apart from each other by at least one number, and above floor+1.
type spans struct {
	floor  uint64
	ranges []span
}

// add puts lo to hi into the set and reports whether that changed it.
func (s *spans) add(lo, hi uint64) bool {
	lo = max(lo, s.floor+1)
	if hi < lo {
		return false
	}
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].hi >= lo-1 })
	j := i
	for ; j < len(s.ranges) && s.ranges[j].lo <= hi+1; j++ {
		if s.ranges[j].lo <= lo && hi <= s.ranges[j].hi {
			return false
		}
		lo, hi = min(lo, s.ranges[j].lo), max(hi, s.ranges[j].hi)
	}
	if lo == s.floor+1 {
		s.floor = hi
		s.ranges = slices.Delete(s.ranges, 0, j)
		return true
	}
	if i == j {
		s.ranges = slices.Insert(s.ranges, i, span{lo, hi})
		return true
	}
	s.ranges[i] = span{lo, hi}
	s.ranges = slices.Delete(s.ranges, i+1, j)
	return true
}

// has reports whether n is in the set.
func (s *spans) has(n uint64) bool {
	if n <= s.floor {
		return true
	}
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].hi >= n })
	return i < len(s.ranges) && s.ranges[i].lo <= n
}

// apart reports whether lo to hi would be a range of its own above the floor.
func (s *spans) apart(lo, hi uint64) bool {
	if hi <= s.floor || lo <= s.floor+1 {
		return false
	}
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].hi >= lo-1 })
	return i == len(s.ranges) || s.ranges[i].lo > hi && s.ranges[i].lo-1 != hi
}

func (s *spans) clone() spans { return spans{floor: s.floor, ranges: slices.Clone(s.ranges)} }

// intersect takes out of the set what is not in o.
func (s *spans) intersect(o *spans) {
	both := spans{floor: min(s.floor, o.floor)}
	for a, b := s.all(), o.all(); len(a) > 0 && len(b) > 0; {
		if lo, hi := max(a[0].lo, b[0].lo), min(a[0].hi, b[0].hi); lo <= hi {
			both.add(lo, hi)
		}
		if a[0].hi < b[0].hi {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	*s = both
}

// all returns the ranges, the one up to the floor among them.
func (s *spans) all() []span {
	if s.floor == 0 {
		return s.ranges
	}
	return append([]span{{1, s.floor}}, s.ranges...)
}

// count returns how many of lo to hi are in the set.
func (s *spans) count(lo, hi uint64) uint64 {
	if hi < lo {
		return 0
	}
	n := uint64(0)
	if s.floor >= lo {
		n = min(s.floor, hi) - lo + 1
	}
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].hi >= lo })
	for ; i < len(s.ranges) && s.ranges[i].lo <= hi; i++ {
		n += min(hi, s.ranges[i].hi) - max(lo, s.ranges[i].lo) + 1
	}
	return n
}

// nextFree returns the lowest number from n on that is not in the set.
func (s *spans) nextFree(n uint64) uint64 {
	n = max(n, s.floor+1)
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].hi >= n })
	if i < len(s.ranges) && s.ranges[i].lo <= n {
		return s.ranges[i].hi + 1 // ranges do not touch
	}
	return n
}

// nextTaken returns the lowest number from n on, which is above the floor, that is in the set; one above all if there is none.
func (s *spans) nextTaken(n uint64) uint64 {
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].hi >= n })
	if i == len(s.ranges) {
		return 1<<64 - 1
	}
	return max(n, s.ranges[i].lo)
}

// lastFree returns the highest number up to n that is not in the set, 0 if there is none.
func (s *spans) lastFree(n uint64) uint64 {
	if n <= s.floor {
		return 0
	}
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].hi >= n })
	if i < len(s.ranges) && s.ranges[i].lo <= n {
		return s.ranges[i].lo - 1 // ranges do not touch, nor does the floor
	}
	return n
}
