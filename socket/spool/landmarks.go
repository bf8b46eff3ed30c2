package spool

import (
	"slices"
	"sort"
)

// landmarkEvery is how far apart landmarks are: what a cursor reads at a time anyway. 13 GB of messages have a megabyte of them at most.
const landmarkEvery = blockSize

// landmark is where a record begins.
type landmark struct {
	number uint64
	off    int64
}

// landmarks are some of a segment, in order, one in each landmarkEvery bytes that a reader has passed. So what is read again, in any order, costs a block and not what lies
// before it in its segment.
type landmarks []landmark

// before returns the last landmark that message n is not before; the zero landmark if none is known.
func (p landmarks) before(n uint64) landmark {
	i := sort.Search(len(p), func(i int) bool { return p[i].number > n })
	if i == 0 {
		return landmark{}
	}
	return p[i-1]
}

// add notes a landmark, unless there is one in the same bytes.
func (p landmarks) add(n landmark) landmarks {
	i := sort.Search(len(p), func(i int) bool { return p[i].off/landmarkEvery >= n.off/landmarkEvery })
	if i < len(p) && p[i].off/landmarkEvery == n.off/landmarkEvery {
		return p
	}
	return slices.Insert(p, i, n)
}

// note keeps the landmark of a record that was read.
func (r *Reader) note(number uint64, at int64) {
	r.mark = at + landmarkEvery
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if r.seg.header.salt == r.header.salt { // not rewritten meanwhile
		r.seg.landmarks = r.seg.landmarks.add(landmark{number, at})
	}
}
