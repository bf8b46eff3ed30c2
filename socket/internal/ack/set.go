package ack

import (
	"slices"
	"sort"
)

// set is a set of tags: all up to floor, and ranges above it.
// Invariant: ranges are sorted, apart from each other by at least one tag, and above floor+1.
type set struct {
	floor  uint64
	ranges []Range
}

// add puts one tag into the set. It reports whether it was not there.
func (s *set) add(tag uint64) bool {
	if tag == s.floor+1 { // in order, which is how most come
		s.floor = tag
		if len(s.ranges) > 0 && s.ranges[0].First == tag+1 {
			s.floor = s.ranges[0].Last
			s.ranges = slices.Delete(s.ranges, 0, 1)
		}
		return true
	}
	if tag <= s.floor {
		return false
	}
	i := s.from(tag)
	if i < len(s.ranges) && s.ranges[i].First <= tag {
		return false
	}
	before := i > 0 && s.ranges[i-1].Last == tag-1
	behind := i < len(s.ranges) && s.ranges[i].First == tag+1
	switch {
	case before && behind:
		s.ranges[i-1].Last = s.ranges[i].Last
		s.ranges = slices.Delete(s.ranges, i, i+1)
	case before:
		s.ranges[i-1].Last = tag
	case behind:
		s.ranges[i].First = tag
	default:
		s.ranges = slices.Insert(s.ranges, i, Range{First: tag, Last: tag})
	}
	return true
}

// from returns the first range that ends at tag or behind it.
func (s *set) from(tag uint64) int {
	return sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].Last >= tag })
}

// has reports whether a tag is in the set.
func (s *set) has(tag uint64) bool {
	if tag <= s.floor {
		return true
	}
	i := s.from(tag)
	return i < len(s.ranges) && s.ranges[i].First <= tag
}
