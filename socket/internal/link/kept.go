package link

import (
	"slices"

	"github.com/meshmq/meshmq/transport/zmtp"
)

const (
	// firstRing is how many groups the ring of a new connection has place for.
	firstRing = 8
	// maxWindow bounds the ring, 60 MB where each message is a group of its own, when a message is not settled and those behind it are.
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
	if hwm > 0 && k.msgs >= hwm || k.next-k.floor > k.window {
		return true
	}
	return hwmBytes > 0 && k.msgs > 0 && k.bytes+size > hwmBytes
}

// forgetBodies forgets the large bodies up to the floor.
func (k *kept) forgetBodies() {
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
func (k *kept) returned(m placed) Returned {
	r := Returned{Delivery: Delivery{Number: m.number(), Incarnation: m.incarnation, Attempt: int(m.attempt), Failed: int(m.failed)}}
	large := k.bodiesOf(m.tag)
	for rest, more := m.rest, true; more; {
		flags, n, h, _ := zmtp.ParseHeader(rest)
		more = flags&zmtp.FlagMore != 0
		r.Size += int(n)
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
