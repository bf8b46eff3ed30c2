package link

import (
	"math"
	"math/bits"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// group is a row of messages, at most 64, that stand one behind the other in a block, have numbers that count up by one, and the rest in common. There is no pointer in it, so that the
// garbage collector has nothing to do with the ring of groups.
type group struct {
	tag         uint64 // of its first message
	number      uint64 // of that; when all are settled, a place in the ring up to which all behind it are settled too: see past
	open        uint64 // a bit for each message that is not settled, the lowest for the first
	size        int    // of the bodies of those
	blk         uint32 // they begin in the block of that id, at octet pos
	pos         uint32
	incarnation uint32
	attempt     uint16
	failed      uint16
	frames      uint8 // of all messages, as far as that fits: what it costs to find one of them
}

// continues reports whether a message of so many frames, in block b, may be part of the group, as its n-th from 0.
func (g *group) continues(n uint64, d *Delivery, frames int, b *block) bool {
	return n < 64 && g.open != 0 && g.blk == b.id && g.number+n == d.Number && int(g.frames)+frames <= math.MaxUint8 &&
		g.incarnation == d.Incarnation && int(g.attempt) == d.Attempt && int(g.failed) == d.Failed
}

// at returns a group by its place, which is below k.behind and not below k.first.
func (k *kept) at(place uint64) *group { return &k.ring[place&uint64(len(k.ring)-1)] }

// end returns the tag behind the last one of a group.
func (k *kept) end(place uint64) uint64 {
	if place+1 < k.behind {
		return k.at(place + 1).tag
	}
	return k.next
}

// find returns the place of the group that a tag above floor and below next is in.
func (k *kept) find(tag uint64) uint64 {
	lo, hi := k.first, k.behind
	for hi-lo > 1 {
		if mid := lo + (hi-lo)/2; k.at(mid).tag <= tag {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// add enters a message of so many frames that begins at the end of b.
func (k *kept) add(d *Delivery, frames, size int, b *block) {
	if k.msgs == 0 {
		k.mixed = false
	}
	k.mixed = k.mixed || d.Number < k.last
	k.last, k.alone = d.Number, d.Alone
	tag := k.next
	k.next++
	k.msgs++
	k.bytes += size
	if k.first < k.behind && len(k.scratch) == 0 { // else there is a command before it
		if g := k.at(k.behind - 1); g.continues(tag-g.tag, d, frames, b) {
			g.open |= 1 << (tag - g.tag)
			g.size += size
			g.frames += uint8(frames)
			return
		}
	}
	if k.behind-k.first == uint64(len(k.ring)) {
		k.grow()
	}
	*k.at(k.behind) = group{tag, d.Number, 1, size, b.id, uint32(len(b.b)), d.Incarnation, uint16(min(d.Attempt, maxCount)), uint16(min(d.Failed, maxCount)), uint8(min(frames, math.MaxUint8))}
	k.behind++
	b.refs++
}

func (k *kept) grow() {
	old := k.ring
	k.ring = make([]group, max(firstRing, 2*len(old)))
	for place := k.first; place < k.behind; place++ {
		*k.at(place) = old[place&uint64(len(old)-1)]
	}
}

// settleTo settles all tags up to floor.
func (k *kept) settleTo(floor uint64) {
	for k.first < k.behind && k.at(k.first).tag <= floor {
		k.settle(k.first, k.within(k.first, 0, floor))
		if k.end(k.first) > floor+1 {
			break
		}
		k.first++
	}
	k.floor = max(k.floor, floor)
}

// within returns those messages of a group that are not settled and whose tags are between two, both included.
func (k *kept) within(place, from, to uint64) uint64 {
	g := k.at(place)
	some := g.open
	if from > g.tag {
		some &= ^uint64(0) << (from - g.tag)
	}
	if to-g.tag < 63 {
		some &= 1<<(to-g.tag+1) - 1
	}
	return some
}

// settle settles some messages of a group.
func (k *kept) settle(place, some uint64) {
	if k.Settled != nil {
		for number, rest := k.at(place).number, some; rest != 0; {
			skip := bits.TrailingZeros64(rest)
			n := bits.TrailingZeros64(^(rest >> skip))
			k.note(number+uint64(skip), uint64(n))
			number, rest = number+uint64(skip+n), rest>>skip>>n
		}
	}
	k.release(place, some)
}

// note has Settled told of n numbers.
func (k *kept) note(first, n uint64) {
	if l := len(k.runs); l > 0 && k.runs[l-1].Last+1 == first {
		k.runs[l-1].Last += n
	} else {
		k.runs = append(k.runs, zmtp.TagRange{First: first, Last: first + n - 1})
	}
}

// release forgets some messages of a group, none of them settled.
func (k *kept) release(place, some uint64) {
	if some == 0 {
		return
	}
	g := k.at(place)
	size := g.size
	if some != g.open {
		size = k.sizeOf(g, some)
	}
	k.msgs -= bits.OnesCount64(some)
	k.bytes -= size
	k.settled = true
	if size > largeBody && len(k.bodies) > 0 {
		for rest := some; rest != 0; rest &= rest - 1 {
			k.releaseBodies(g.tag + uint64(bits.TrailingZeros64(rest)))
		}
	}
	g.size -= size
	if g.open &^= some; g.open == 0 {
		g.number = place + 1
		k.blocks[g.blk-1].unref()
	}
}

// past returns the first place behind one of a group that is settled where that is not so. What it passes over costs one step the next time: a peer that says the same again and again must not have
// us look at each message of a long window.
func (k *kept) past(place uint64) uint64 {
	end := place
	for end < k.behind && k.at(end).open == 0 {
		end = k.at(end).number
	}
	for place < end {
		g := k.at(place)
		place, g.number = g.number, end
	}
	return end
}

// settleRange settles the tags from one above floor to one below next. It returns how many were settled before.
func (k *kept) settleRange(tag, last uint64) (stale int) {
	for place := k.find(tag); tag <= last; {
		if k.at(place).open == 0 {
			place = k.past(place)
			end := k.next
			if place < k.behind {
				end = k.at(place).tag
			}
			end = min(end, last+1)
			stale += int(end - tag)
			tag = end
			continue
		}
		some := k.within(place, tag, last)
		end := min(k.end(place), last+1)
		stale += int(end-tag) - bits.OnesCount64(some)
		k.settle(place, some)
		tag = end
		place++
	}
	return stale
}

// advance moves the floor over what is settled, and forgets the large bodies below it.
func (k *kept) advance() {
	for k.first < k.behind && k.at(k.first).open == 0 {
		k.floor = k.end(k.first) - 1
		k.first++
	}
	if k.first < k.behind {
		g := k.at(k.first)
		k.floor = max(k.floor, g.tag+uint64(bits.TrailingZeros64(g.open))-1)
	}
	k.forgetBodies()
}

// placed is a message that is not settled.
type placed struct {
	*group
	place uint64 // of the group
	tag   uint64
	rest  []byte // its block, from the message on
}

func (m *placed) bit() uint64    { return 1 << (m.tag - m.group.tag) }
func (m *placed) number() uint64 { return m.group.number + m.tag - m.group.tag }

// unsettled yields what is not settled, in the order of tags. The message that is yielded may be settled meanwhile.
func (k *kept) unsettled(yield func(placed) bool) {
	for place := k.first; place < k.behind; place++ {
		g := k.at(place)
		if g.open == 0 {
			continue
		}
		rest := k.blocks[g.blk-1].b[g.pos:]
		for i := uint64(0); g.open>>i != 0; i++ {
			within, _, _ := extent(rest)
			if g.open>>i&1 != 0 && !yield(placed{g, place, g.tag + i, rest}) {
				return
			}
			rest = rest[within:]
		}
	}
}

// message returns the message of a tag, if that is not settled.
func (k *kept) message(tag uint64) (m placed, ok bool) {
	if tag <= k.floor || tag >= k.next {
		return m, false
	}
	place := k.find(tag)
	g := k.at(place)
	if g.open>>(tag-g.tag)&1 == 0 {
		return m, false
	}
	rest := k.blocks[g.blk-1].b[g.pos:]
	for range tag - g.tag {
		within, _, _ := extent(rest)
		rest = rest[within:]
	}
	return placed{g, place, tag, rest}, true
}

// sizeOf returns the size of some messages of a group.
func (k *kept) sizeOf(g *group, some uint64) (total int) {
	for rest := k.blocks[g.blk-1].b[g.pos:]; some != 0; some >>= 1 {
		within, _, size := extent(rest)
		if some&1 != 0 {
			total += size
		}
		rest = rest[within:]
	}
	return total
}

// extent returns how many bytes the message that b begins with takes in its block, how many on the wire, and how many its bodies have.
func extent(b []byte) (within, wire, size int) {
	for more := true; more; {
		flags, n, h, _ := zmtp.ParseHeader(b[within:])
		more = flags&zmtp.FlagMore != 0
		size += int(n)
		wire += h + int(n)
		within += h
		if n <= largeBody {
			within += int(n)
		}
	}
	return within, wire, size
}
