package socket

import (
	"iter"
	"slices"
	"sort"
)

// topicBlock is how many a block of byTopic has at most: moving half of them takes less than finding their place among a million.
const topicBlock = 512

// byTopic has last values in the order of their topics. It keeps them in blocks, so that to put one in or take one out moves few others, however many there are.
type byTopic struct {
	blocks [][]*lastValue // none is empty
	n      int
}

// topicPlace is where a topic is, or belongs.
type topicPlace struct{ block, at int }

// find returns the place of a topic, and whether it is there.
func (b *byTopic) find(topic []byte) (p topicPlace, known bool) {
	p.block = max(0, sort.Search(len(b.blocks), func(i int) bool { return b.blocks[i][0].topic > string(topic) })-1)
	if len(b.blocks) == 0 {
		return p, false
	}
	block := b.blocks[p.block]
	p.at = sort.Search(len(block), func(i int) bool { return block[i].topic >= string(topic) })
	return p, p.at < len(block) && block[p.at].topic == string(topic)
}

func (b *byTopic) at(p topicPlace) *lastValue { return b.blocks[p.block][p.at] }

// insert puts v at its place, which find has returned.
func (b *byTopic) insert(p topicPlace, v *lastValue) {
	b.n++
	if len(b.blocks) == 0 {
		b.blocks = [][]*lastValue{{v}}
		return
	}
	block := slices.Insert(b.blocks[p.block], p.at, v)
	b.blocks[p.block] = block
	if len(block) > topicBlock {
		half := len(block) / 2
		b.blocks = slices.Insert(b.blocks, p.block+1, slices.Clone(block[half:]))
		clear(block[half:])
		b.blocks[p.block] = block[:half]
	}
}

// remove takes out what is at p. Blocks that have become small are joined.
func (b *byTopic) remove(p topicPlace) {
	b.n--
	b.blocks[p.block] = slices.Delete(b.blocks[p.block], p.at, p.at+1)
	if p.block == len(b.blocks)-1 {
		p.block--
	}
	switch {
	case p.block < 0 && len(b.blocks[0]) == 0:
		b.blocks = nil
	case p.block < 0:
	case len(b.blocks[p.block])+len(b.blocks[p.block+1]) <= topicBlock/2:
		b.blocks[p.block] = append(b.blocks[p.block], b.blocks[p.block+1]...)
		b.blocks = slices.Delete(b.blocks, p.block+1, p.block+2)
	case len(b.blocks[p.block]) == 0:
		b.blocks = slices.Delete(b.blocks, p.block, p.block+1)
	case len(b.blocks[p.block+1]) == 0:
		b.blocks = slices.Delete(b.blocks, p.block+1, p.block+2)
	}
}

// from yields what is at p and behind, in order.
func (b *byTopic) from(p topicPlace) iter.Seq[*lastValue] {
	return func(yield func(*lastValue) bool) {
		for ; p.block < len(b.blocks); p = (topicPlace{p.block + 1, 0}) {
			for _, v := range b.blocks[p.block][p.at:] {
				if !yield(v) {
					return
				}
			}
		}
	}
}
