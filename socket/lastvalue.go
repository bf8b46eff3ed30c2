package socket

import (
	"cmp"
	"slices"
	"strings"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// lastValues is what PUB and XPUB with WithLastValue keep: the last message of each topic, for who subscribes later. What a new subscriber finds no room for in its
// queue it is owed, and gets when there is room: the last message by then, which it may have got like everybody before.
type lastValues struct {
	f *fanout

	// fanout.mu guards the fields below.
	topics  byTopic
	oldest  *lastValue // by time, a ring: oldest.prev is the newest
	bytes   int
	clock   uint64
	evicted uint64
	owed    map[*pipe][]*lastValue // by time
}

// lastValue is the last message of a topic.
type lastValue struct {
	topic      string
	frames     [][]byte
	memory     []byte // of the frames
	clock      uint64 // which message it is
	prev, next *lastValue
}

// LastValueStats says what WithLastValue holds.
type LastValueStats struct {
	Topics  int
	Bytes   int    // in the frames of their messages
	Evicted uint64 // topics that were let go to keep within the bounds, and whose last message new subscribers did not get
}

// WithLastValue makes PUB and XPUB keep the last message of each topic, which is all of the first frame, and send it to each peer that subscribes to
// the topic later: as soon as that is in force, before anything newer of the topic, and not again for a further subscription to it. What finds no room in the
// peer's queue waits for some, and may come twice if the topic has a new message meanwhile. topics, and bytes in all frames together, bound what is kept; those without a
// message for the longest time go first, see LastValues. What SendTo sends is not kept, and durable subscribers get what is in the log instead. It is
// not for use with WithConflate, WithDropPolicy(Conflate) and WithInvertMatching. Default: off.
func WithLastValue(topics, bytes int) Option {
	return func(c *config) error {
		if topics < 1 || bytes < 1 {
			return bad("WithLastValue", [2]int{topics, bytes}, "want 1 or more of both")
		}
		return only("WithLastValue", func(c *config) { c.lastTopics, c.lastBytes = topics, bytes }, zmtp.Pub, zmtp.XPub)(c)
	}
}

func (l *lastValues) init(f *fanout) {
	l.f = f
	if f.c.cfg.lastTopics > 0 {
		l.owed, f.last = map[*pipe][]*lastValue{}, l
	}
}

// LastValues returns what WithLastValue holds.
func (l *lastValues) LastValues() LastValueStats {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	return LastValueStats{Topics: l.topics.n, Bytes: l.bytes, Evicted: l.evicted}
}

// ForgetLastValue has nobody get the last message of topic any more. It reports whether there was one.
func (l *lastValues) ForgetLastValue(topic string) bool {
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	at, known := l.topics.find([]byte(topic))
	if known {
		l.removeLocked(at)
	}
	return known
}

// keepLocked takes in a message that was sent, of size bytes.
func (l *lastValues) keepLocked(frames [][]byte, size int) {
	at, known := l.topics.find(frames[0])
	cfg := &l.f.c.cfg
	if size > cfg.lastBytes { // nobody is to get what is older than this
		if known {
			l.evicted++
			l.removeLocked(at)
		}
		return
	}
	var v *lastValue
	if known {
		v = l.topics.at(at)
		l.unlink(v)
	} else {
		v = &lastValue{topic: string(frames[0])}
		l.topics.insert(at, v)
	}
	l.clock++
	v.clock = l.clock
	v.copy(frames, size)
	l.bytes += len(v.memory)
	l.link(v)
	for l.topics.n > cfg.lastTopics || l.bytes > cfg.lastBytes {
		at, _ := l.topics.find(l.oldest.frames[0])
		l.removeLocked(at)
		l.evicted++
	}
}

// copy takes the bytes of a message, into the memory of the one before where that is about as large.
func (v *lastValue) copy(frames [][]byte, size int) {
	if cap(v.memory) < size || cap(v.memory) > 2*size+64 {
		v.memory = make([]byte, 0, size)
	}
	v.memory, v.frames = v.memory[:0], v.frames[:0]
	for _, f := range frames {
		start := len(v.memory)
		v.memory = append(v.memory, f...)
		v.frames = append(v.frames, v.memory[start:])
	}
}

// link adds v as the newest.
func (l *lastValues) link(v *lastValue) {
	if l.oldest == nil {
		v.prev, v.next, l.oldest = v, v, v
		return
	}
	v.prev, v.next = l.oldest.prev, l.oldest
	v.prev.next, v.next.prev = v, v
}

// unlink takes v out of the order of time, and its bytes out of the count.
func (l *lastValues) unlink(v *lastValue) {
	l.bytes -= len(v.memory)
	if v.next == v {
		l.oldest = nil
		return
	}
	v.prev.next, v.next.prev = v.next, v.prev
	if l.oldest == v {
		l.oldest = v.next
	}
}

func (l *lastValues) removeLocked(at topicPlace) {
	v := l.topics.at(at)
	l.topics.remove(at)
	l.unlink(v)
	v.frames, v.memory, v.clock = nil, nil, 0 // who is owed it is owed nothing
}

// newsLocked returns what a peer is to get that is about to be subscribed to prefix, oldest first: not what it is subscribed to already.
func (l *lastValues) newsLocked(p *pipe, prefix []byte) (news []*lastValue) {
	if p.durable.Load() != nil {
		return nil
	}
	at, _ := l.topics.find(prefix)
	another := l.f.topics.Held(p) > 0
	for v := range l.topics.from(at) {
		if !strings.HasPrefix(v.topic, string(prefix)) {
			break
		}
		if another {
			l.f.matchLocked(v.frames[0])
			if slices.Contains(l.f.matched, p) {
				continue
			}
		}
		news = append(news, v)
	}
	slices.SortFunc(news, byClock)
	return news
}

func byClock(a, b *lastValue) int { return cmp.Compare(a.clock, b.clock) }

// sendLocked sends news to a peer, behind what it is owed.
func (l *lastValues) sendLocked(p *pipe, news []*lastValue) {
	if len(news) == 0 {
		return
	}
	if owed := l.owed[p]; len(owed) > 0 {
		news = slices.DeleteFunc(append(owed, news...), func(v *lastValue) bool { return v.clock == 0 })
		slices.SortFunc(news, byClock)
		news = slices.Compact(news)
	}
	l.owed[p] = news
	l.payLocked(p)
}

// payLocked sends a peer what it is owed and has room for.
func (l *lastValues) payLocked(p *pipe) {
	owed := l.owed[p]
	if len(owed) == 0 {
		return
	}
	for len(owed) > 0 && l.paidLocked(p, owed[0]) {
		owed = owed[1:]
	}
	if l.owed[p] = owed; len(owed) == 0 {
		delete(l.owed, p)
	}
	p.out.Wake()
}

// paidLocked reports whether p is not owed v any more; if it is, room is called once there is some.
func (l *lastValues) paidLocked(p *pipe, v *lastValue) bool {
	switch {
	case v.clock == 0:
		return true
	case l.f.refusesLocked(p, extentOf(v.frames, len(v.memory))):
		l.f.c.drop(p, DropRefused, 1)
		return true
	}
	took, _ := p.queueBeside(v.frames, len(v.memory))
	return took
}
