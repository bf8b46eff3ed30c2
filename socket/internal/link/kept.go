package link

import (
	"slices"

	"github.com/meshmq/meshmq/transport/zmtp"
)

const (
	// firstRing is how many messages the ring of a new connection has place for.
	firstRing = 16
	// maxWindow bounds the ring, 40 MB, when a message is not settled and those behind it are.
	maxWindow = 1 << 20
	// maxCount is where attempts and failures are no longer counted on a link.
	maxCount = 1<<16 - 1
)

// full reports whether a message of size bytes has no place.
func (k *kept) full(hwm, hwmBytes, size int) bool {
	if k.ended || k.alone && k.msgs > 0 {
		return true
	}
	if !k.Plain && (uint64(k.msgs+k.greeted) >= k.credit || uint64(k.bytes) >= k.creditB) {
		return true
	}
	if hwm > 0 && k.msgs >= hwm || k.next-k.floor > maxWindow {
		return true
	}
	return hwmBytes > 0 && k.msgs > 0 && k.bytes+size > hwmBytes
}

// at returns the entry of a tag above floor and below next.
func (k *kept) at(tag uint64) *entry { return &k.ring[tag&uint64(len(k.ring)-1)] }

// add enters a message that begins at the end of b.
func (k *kept) add(d Delivery, size int, b *block) {
	if k.next-k.floor > uint64(len(k.ring)) {
		k.grow()
	}
	*k.at(k.next) = entry{d.Number, size, b.id, uint32(len(b.b)), d.Incarnation, uint16(min(d.Attempt, maxCount)), uint16(min(d.Failed, maxCount))}
	if k.msgs == 0 {
		k.mixed = false
	}
	k.mixed = k.mixed || d.Number < k.last
	k.last, k.alone = d.Number, d.Alone
	b.refs++
	k.next++
	k.msgs++
	k.bytes += size
}

func (k *kept) grow() {
	old := k.ring
	k.ring = make([]entry, max(firstRing, 2*len(old)))
	for tag := k.floor + 1; tag < k.next; tag++ {
		*k.at(tag) = old[tag&uint64(len(old)-1)]
	}
}

// settleTo settles all tags up to floor.
func (k *kept) settleTo(floor uint64) {
	for tag := k.floor + 1; tag <= floor; tag++ {
		if e := k.at(tag); e.blk != 0 {
			k.settle(tag, e)
		}
	}
	k.floor = max(k.floor, floor)
}

// settle settles one message.
func (k *kept) settle(tag uint64, e *entry) {
	if k.Settled != nil {
		if n := len(k.runs); n > 0 && k.runs[n-1].Last+1 == e.number {
			k.runs[n-1].Last++
		} else {
			k.runs = append(k.runs, zmtp.TagRange{First: e.number, Last: e.number})
		}
	}
	k.release(tag, e)
}

// release forgets one message.
func (k *kept) release(tag uint64, e *entry) {
	k.msgs--
	k.bytes -= e.size
	k.settled = true
	if e.size > largeBody && len(k.bodies) > 0 {
		k.releaseBodies(tag)
	}
	b := k.blocks[e.blk-1]
	e.blk, e.number = 0, tag+1
	b.unref()
}

// past returns the first tag behind one that is settled that is not. What it passes over costs one step the next time: a peer that says the same again and again must not have
// us look at each message of a long window.
func (k *kept) past(tag uint64) uint64 {
	end := tag
	for end < k.next && k.at(end).blk == 0 {
		end = k.at(end).number
	}
	for tag < end {
		e := k.at(tag)
		tag, e.number = e.number, end
	}
	return end
}

// advance moves the floor over what is settled, and forgets the large bodies below it.
func (k *kept) advance() {
	for k.floor+1 < k.next && k.at(k.floor+1).blk == 0 {
		k.floor++
	}
	for k.gone < len(k.bodies) && k.bodies[k.gone].tag <= k.floor {
		k.gone++
	}
	if k.gone > len(k.bodies)/2 {
		k.bodies = slices.Delete(k.bodies, 0, k.gone)
		k.gone = 0
	}
}

// bodiesOf returns the large bodies of a message.
func (k *kept) bodiesOf(tag uint64) []largeBodyOf {
	all := k.bodies[k.gone:]
	i, _ := slices.BinarySearchFunc(all, tag, func(l largeBodyOf, tag uint64) int {
		if l.tag < tag {
			return -1
		}
		return 1
	})
	end := i
	for end < len(all) && all[end].tag == tag {
		end++
	}
	return all[i:end]
}

func (k *kept) releaseBodies(tag uint64) {
	for i, bodies := 0, k.bodiesOf(tag); i < len(bodies); i++ {
		bodies[i].blk.unref()
		bodies[i].blk = nil
	}
}

// returned returns a message. Its frames are those of the link.
func (k *kept) returned(tag uint64, e *entry) Returned {
	r := Returned{Delivery: Delivery{Number: e.number, Incarnation: e.incarnation, Attempt: int(e.attempt), Failed: int(e.failed)}, Size: e.size}
	large := k.bodiesOf(tag)
	for rest, more := k.blocks[e.blk-1].b[e.pos:], true; more; {
		flags, n, h, _ := zmtp.ParseHeader(rest)
		more = flags&zmtp.FlagMore != 0
		if n > largeBody {
			r.Frames = append(r.Frames, large[0].blk.b)
			large, rest = large[1:], rest[h:]
			continue
		}
		end := h + int(n)
		r.Frames = append(r.Frames, rest[h:end:end])
		rest = rest[end:]
	}
	return r
}

// encoded returns how many bytes a message is on the wire.
func (k *kept) encoded(e *entry) (size int) {
	for rest, more := k.blocks[e.blk-1].b[e.pos:], true; more; {
		flags, n, h, _ := zmtp.ParseHeader(rest)
		more = flags&zmtp.FlagMore != 0
		size += h + int(n)
		rest = rest[h:]
		if n <= largeBody {
			rest = rest[n:]
		}
	}
	return size
}

// land notes that more messages are written: all of the connection's but the greeting.
func (k *kept) land(msgs uint64) {
	k.landed = uint64(k.Greeting) + msgs
	if k.Plain {
		before := k.msgs
		k.settleTo(k.landed)
		k.advance()
		k.written += before - k.msgs
	}
}

// block returns the block that the next need bytes go to.
func (k *kept) block(need int) *block {
	b := k.open
	if b != nil {
		if cap(b.b)-len(b.b) >= need {
			return b
		}
		k.open = nil
		b.unref()
	}
	b = k.newBlock()
	switch {
	case need > chunkSize:
		b.b, b.body = newBody(need)
	case k.msgs == 0 && need <= smallChunk:
		if k.small == nil {
			k.small = make([]byte, 0, smallChunk)
		}
		b.b, b.small, k.small = k.small, true, nil
	default:
		b.pooled = chunks.Get().(*[chunkSize]byte)
		b.b = b.pooled[:0]
	}
	k.open = b
	return b
}

func (k *kept) newBlock() *block {
	var b *block
	if n := len(k.free); n > 0 {
		b, k.free = k.free[n-1], k.free[:n-1]
	} else {
		b = &block{k: k, id: uint32(len(k.blocks) + 1)}
		k.blocks = append(k.blocks, b)
	}
	b.refs = 1
	return b
}

// unref lets go of a block. What is open and otherwise unused is used again from its start, if it is small, and else given back.
func (b *block) unref() {
	k := b.k
	b.refs--
	if b.refs == 1 && b == k.open {
		if b.small {
			b.b = b.b[:0]
			return
		}
		b.refs, k.open = 0, nil
	}
	if b.refs > 0 {
		return
	}
	switch {
	case b.pooled != nil:
		chunks.Put(b.pooled)
	case b.body != nil:
		recycleBody(b.body)
	case b.small:
		k.small = b.b[:0]
	}
	*b = block{k: k, id: b.id}
	k.free = append(k.free, b)
}
