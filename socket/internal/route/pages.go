package route

// pages is memory for entries, which have numbers. There are no pointers in it, so that a collection of garbage passes it over.
//
// Entry 0 is that of the empty topic, and always there unless pages is zero.
type pages struct {
	pages [][]entry // all of perPage entries, except for a sole one, which may have fewer
	free  uint32    // an entry that is not used, and has the number of the next such in place of a subscriber's; 0 for none
	fresh uint32    // from here on none was ever used
}

const (
	// perPage makes a page of 64 KiB: no more is there in vain, and the list of the pages of 100,000 topics has a few KiB.
	perPage = 1 << 10
	// smallPage is how many entries a sole page has at least: many sets have one topic.
	smallPage = 4
)

// at returns an entry by its number. It is there until another is taken or pages shrinks.
func (x *pages) at(id uint32) *entry { return &x.pages[id/perPage][id%perPage] }

// prepare makes entry 0.
func (x *pages) prepare() {
	if x.fresh == 0 {
		x.pages, x.fresh = [][]entry{make([]entry, smallPage)}, 1
	}
}

// take returns the number of an entry that is not used. prepare was called.
func (x *pages) take() uint32 {
	if id := x.free; id != 0 {
		x.free = x.at(id).first[0].slot
		return id
	}
	if x.fresh == x.size() {
		if n := len(x.pages[0]); n < perPage {
			x.pages[0] = append(make([]entry, 0, 2*n), x.pages[0]...)[:2*n]
		} else {
			x.pages = append(x.pages, make([]entry, perPage))
		}
	}
	x.fresh++
	return x.fresh - 1
}

// give is the opposite of take.
func (x *pages) give(id uint32) {
	*x.at(id) = entry{}
	x.at(id).first[0].slot = x.free
	x.free = id
}

// size is how many entries there is memory for.
func (x *pages) size() uint32 { return uint32(len(x.pages) * len(x.pages[0])) }

// sizeFor returns a size that is enough for n entries.
func sizeFor(n int) uint32 {
	if n > perPage {
		return uint32((n + perPage - 1) / perPage * perPage)
	}
	size := smallPage
	for size < n {
		size *= 2
	}
	return uint32(size)
}

// shrink gives back what is behind the first size entries, where none is used.
func (x *pages) shrink(size uint32) {
	if size < perPage {
		x.pages = [][]entry{append(make([]entry, 0, size), x.pages[0][:size]...)}
	} else {
		x.pages = append(make([][]entry, 0, size/perPage), x.pages[:size/perPage]...)
	}
	x.fresh, x.free = min(x.fresh, size), 0
	for id := x.fresh - 1; id > 0; id-- {
		if x.at(id).bytes == 0 {
			x.give(id)
		}
	}
}
