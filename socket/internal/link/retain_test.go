package link

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// arrived is a message as the receiver of an acknowledged link sees it.
type arrived struct {
	number, incarnation uint64
	attempt             int
	frames              [][]byte
}

// receive reads what was written to an acknowledged link as ACK.md has it. The message at the index of a tag, less one, is the tag's. Only whole ones count;
// within says that part of another is there.
func receive(t *testing.T, b []byte) (all []arrived, within bool) {
	t.Helper()
	var place zmtp.Stream
	var frames [][]byte
	for len(b) > 0 {
		flags, n, h, err := zmtp.ParseHeader(b)
		require.NoError(t, err)
		if h == 0 || n > uint64(len(b)-h) {
			return all, len(frames) > 0 || b[0]&zmtp.FlagCommand == 0
		}
		body := b[h : h+int(n)]
		b = b[h+int(n):]
		if flags&zmtp.FlagCommand != 0 {
			require.Empty(t, frames, "a command within a message")
			place = announced(t, place, body)
			continue
		}
		frames = append(frames, body)
		if flags&zmtp.FlagMore == 0 {
			all = append(all, arrived{place.Number, uint64(place.Incarnation), int(place.Attempt), frames})
			place.Number, frames = place.Number+1, nil
		}
	}
	return all, len(frames) > 0
}

func announced(t *testing.T, place zmtp.Stream, command []byte) zmtp.Stream {
	name, data, err := zmtp.ParseCommand(command)
	require.NoError(t, err)
	switch string(name) {
	case zmtp.CommandStream:
		s, err := zmtp.ParseStream(data)
		require.NoError(t, err)
		if s.Named {
			require.Equal(t, [16]byte{7}, s.ID)
		} else {
			s.Incarnation = place.Incarnation
		}
		return s
	case zmtp.CommandSkip:
		n, err := zmtp.ParseSkip(data)
		require.NoError(t, err)
		place.Number += n
	}
	return place
}

// ack makes an ACK of tags in order.
func ackOf(t *testing.T, tags ...uint64) zmtp.Ack {
	var floor uint64
	var ranges []zmtp.TagRange
	for _, tag := range tags {
		switch {
		case tag == floor+1 && len(ranges) == 0:
			floor = tag
		case len(ranges) > 0 && ranges[len(ranges)-1].Last == tag-1:
			ranges[len(ranges)-1].Last = tag
		default:
			ranges = append(ranges, zmtp.TagRange{First: tag, Last: tag})
		}
	}
	_, data, err := zmtp.ParseCommand(zmtp.AppendAck(nil, floor, ranges)[2:])
	if len(zmtp.AppendAck(nil, floor, ranges)) > 257 {
		_, data, err = zmtp.ParseCommand(zmtp.AppendAck(nil, floor, ranges)[9:])
	}
	require.NoError(t, err)
	a, err := zmtp.ParseAck(data)
	require.NoError(t, err)
	return a
}

// world is a model of one acknowledged sender: what is on the link, and what came back and is to be sent again.
type world struct {
	t      *testing.T
	r      *rand.Rand
	q      *queue
	s      *sink
	bodies map[uint64][][]byte
	open   map[uint64]Delivery // by number: on the link and not settled
	back   []Delivery
	told   map[uint64]bool // settled, as the link said
	acked  atomic.Uint64
	want   map[uint64]bool // settled, as we said
	tags   map[uint64]bool // settled on this connection
	next   uint64
	skips  int // one of how many messages has not the number behind the one before
	credit uint64
	rows   bool // new messages are followed by some of DeliverOpen
	inRow  int  // messages that AppendRow took
}

// Whatever is acknowledged, refused and cut, a link never loses or garbles a message, and knows of each what became of it.
func TestRetain_Model(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		w := &world{t: t, r: rand.New(rand.NewPCG(seed, 9)), q: newQueue(), bodies: map[uint64][][]byte{}, open: map[uint64]Delivery{},
			told: map[uint64]bool{}, want: map[uint64]bool{}, next: 1, skips: 3 + 30*int(seed%2), credit: 30 + 200*(seed/4%2), rows: seed >= 4}
		for conn := range 4 {
			w.connect(conn == 3)
			for range 60 {
				w.step()
			}
			w.disconnect()
		}
		for len(w.back) > 0 {
			w.connect(true)
			for range 20 {
				w.step()
			}
			w.settleAll()
			w.disconnect()
		}
		require.Equal(t, w.want, w.told, "seed %d", seed)
		require.Equal(t, w.rows, w.inRow > 0, "seed %d", seed)
	}
}

func (w *world) connect(whole bool) {
	w.s = &sink{room: -1, shy: w.r.IntN(2) == 0}
	if !whole {
		w.s.room = w.r.IntN(1 << w.r.IntN(22))
	}
	w.tags = map[uint64]bool{}
	w.q.Retain(Retention{Stream: [16]byte{7}, Acked: &w.acked, Settled: func(lo, hi uint64) {
		for ; lo <= hi; lo++ {
			assert.False(w.t, w.told[lo], "settled twice: %d", lo)
			w.told[lo] = true
		}
		assert.LessOrEqual(w.t, uint64(len(w.told)), w.acked.Load(), "counted before it is told")
	}})
	w.q.attach(w.s)
	w.q.Grant(w.credit, 3<<20)
}

func (w *world) step() {
	switch w.r.IntN(6) {
	default:
		w.send()
	case 3:
		w.acknowledge(w.r.IntN(3) == 0)
	case 4:
		w.refuse()
	case 5:
		w.q.Flush()
	}
}

func (w *world) send() {
	d := Delivery{Number: w.next, Incarnation: uint32(w.next / 100), Attempt: 1}
	if w.rows {
		d.Incarnation = 0
	}
	if len(w.back) > 0 {
		d = w.back[0]
	} else if w.r.IntN(w.skips) == 0 {
		d.Number += uint64(w.r.IntN(3)) // went to another peer
	}
	m := w.bodies[d.Number]
	if m == nil {
		m = message(w.r, int(d.Number))
	}
	deliver := w.q.Deliver
	if w.r.IntN(2) == 0 {
		deliver = w.q.DeliverGiven
	}
	ok, flush := deliver(m, size(m), d)
	if !ok {
		return
	}
	if flush {
		w.q.Flush()
	}
	w.bodies[d.Number], w.open[d.Number] = m, d
	if len(w.back) > 0 {
		w.back = w.back[1:]
		return
	}
	w.next = d.Number + 1
	if w.rows {
		w.sendOpen()
	}
}

// sendOpen queues messages behind one that has just been queued, in rows where that is possible.
func (w *world) sendOpen() {
	w.q.Open(true)
	before, _ := w.q.Totals()
	first := w.next
	for range w.r.IntN(100) {
		m := bodiesOf(fmt.Sprint("message ", w.next))
		if w.r.IntN(20) == 0 {
			m = message(w.r, int(w.next))
		}
		row, flush := w.q.AppendRow(m, size(m)), false
		if row {
			w.inRow++
		} else if row, flush = w.q.DeliverOpen(m, size(m), 0); !row {
			break
		}
		if flush {
			w.q.Flush()
		}
		w.bodies[w.next], w.open[w.next] = m, Delivery{Number: w.next, Attempt: 1}
		w.next++
	}
	require.Equal(w.t, w.next-1, w.q.Recall())
	msgs, _ := w.q.Outstanding()
	require.Equal(w.t, len(w.open), msgs)
	after, _ := w.q.Totals()
	require.Equal(w.t, w.next-first, after-before)
}

// landed is what arrived so far, checked.
func (w *world) landed() []arrived {
	w.s.mu.Lock()
	got := slices.Clone(w.s.got)
	w.s.mu.Unlock()
	all, _ := receive(w.t, got)
	for i, a := range all {
		require.Equal(w.t, w.bodies[a.number], a.frames)
		if !w.tags[uint64(i+1)] {
			d := w.open[a.number]
			require.Equal(w.t, d, Delivery{Number: a.number, Incarnation: uint32(a.incarnation), Attempt: a.attempt, Failed: d.Failed, Again: d.Again})
		}
	}
	return all
}

func (w *world) acknowledge(everything bool) {
	all := w.landed()
	var tags []uint64
	fresh, old := 0, 0
	for i := range all {
		tag := uint64(i + 1)
		if w.tags[tag] && len(tags) < i { // above the floor
			old++
		}
		if !w.tags[tag] && (everything || w.r.IntN(3) == 0) {
			w.tags[tag], fresh = true, fresh+1
			w.want[all[i].number] = true
			delete(w.open, all[i].number)
		}
		if w.tags[tag] {
			tags = append(tags, tag)
		}
	}
	acked, stale, err := w.q.Ack(ackOf(w.t, tags...))
	require.NoError(w.t, err)
	require.Equal(w.t, []int{fresh, old}, []int{acked, stale})
	msgs, _ := w.q.Outstanding()
	require.Equal(w.t, len(w.open), msgs)
}

func (w *world) refuse() {
	all := w.landed()
	if len(all) == 0 {
		return
	}
	tag := uint64(1 + w.r.IntN(len(all)))
	r, ok, err := w.q.Nack(tag)
	require.NoError(w.t, err)
	require.Equal(w.t, !w.tags[tag], ok)
	if ok {
		w.tags[tag] = true
		w.takeBack(r)
	}
}

func (w *world) takeBack(r Returned) {
	require.True(w.t, r.Again)
	r.Again = w.open[r.Number].Again
	require.Equal(w.t, w.open[r.Number], r.Delivery)
	require.Equal(w.t, w.bodies[r.Number], r.Frames)
	require.Equal(w.t, size(r.Frames), r.Size)
	delete(w.open, r.Number)
	if r.Begun {
		r.Attempt++
	}
	w.back = append(w.back, r.Delivery)
}

func (w *world) settleAll() {
	for len(w.open) > 0 {
		w.acknowledge(true)
	}
}

func (w *world) disconnect() {
	w.q.detach(true)
	all := w.landed()
	returned := w.q.Return()
	for i, r := range returned {
		arrivedWhole := slices.ContainsFunc(all, func(a arrived) bool { return a.number == r.Number && a.attempt == r.Attempt })
		require.Equal(w.t, arrivedWhole, r.Begun && !r.Cut, "message %d of %d", i, len(returned))
		w.takeBack(r)
	}
	require.Empty(w.t, w.open)
	slices.SortFunc(w.back, func(a, b Delivery) int { return int(a.Number) - int(b.Number) })
}

// Wherever a connection ends, what comes back is what is not settled, in order; a plain peer is never sent a message again of which it has every byte.
func TestRetain_CutAtEveryByte(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		for cut, all := 0, false; !all; cut++ {
			var settled int
			q, e := newQueue(), ending{&sink{room: cut}, make(chan struct{})}
			q.Retain(Retention{Plain: plain, Stream: [16]byte{7}, Settled: func(lo, hi uint64) { settled += int(hi - lo + 1) }})
			q.Attach(NewConn(e))
			q.Grant(100, 1<<20)
			var want []string
			for n := range uint64(8) {
				m := [][]byte{fmt.Appendf(nil, "%d", n), make([]byte, 90)}
				ok, _ := q.Deliver(m, size(m), Delivery{Number: 1 + n + n/4, Attempt: 1})
				require.True(t, ok)
				want = append(want, fmt.Sprint(n))
			}
			q.Flush()
			q.pumped = make(chan struct{})
			go func() { defer close(q.pumped); q.Pump() }()
			q.detach(true)
			arrived, within := receive(t, e.got)
			all = len(arrived) == len(want)
			var back []string
			begun := 0
			for _, r := range q.Return() {
				back = append(back, string(r.Frames[0]))
				if r.Begun && !r.Cut {
					begun++
				}
				require.Equal(t, within && len(back) == begun+1, r.Cut, "cut at %d", cut)
			}
			if plain {
				require.Equal(t, []int{len(arrived), 0}, []int{settled, begun})
				want = want[len(arrived):]
			} else {
				require.Equal(t, []int{0, len(arrived)}, []int{settled, begun})
			}
			require.ElementsMatch(t, want, back)
			require.IsIncreasing(t, append([]string{""}, back...))
		}
	}
}

// Nothing that a peer says about messages settles one that it was not sent, or costs more than what it was sent.
func TestRetain_FalseTags(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.Retain(Retention{Stream: [16]byte{7}, Greeting: 1})
	s := &sink{room: -1}
	q.attach(s)
	defer q.detach(false)
	ok, _ := q.Deliver(bodiesOf("early"), 5, Delivery{Number: 1, Attempt: 1})
	require.False(t, ok, "without credit")
	q.Grant(3, 100)
	for n := range uint64(2) {
		ok, _ = q.Deliver(bodiesOf("x"), 1, Delivery{Number: n + 1, Attempt: 1})
		require.True(t, ok)
	}
	ok, _ = q.Deliver(bodiesOf("y"), 1, Delivery{Number: 3, Attempt: 1})
	require.False(t, ok, "the greeting takes credit")
	for len(sentTo(t, s)) < 2 {
		q.Flush()
	}
	for _, tags := range [][]uint64{{1, 2, 3, 4}, {4}, {math.MaxInt64}} {
		acked, _, err := q.Ack(ackOf(t, tags...))
		require.ErrorIs(t, err, ErrTag)
		require.Zero(t, acked)
	}
	for _, tag := range []uint64{0, 4, math.MaxUint64} {
		_, _, err := q.Nack(tag)
		require.ErrorIs(t, err, ErrTag)
	}
	msgs, bytes := q.Outstanding()
	require.Equal(t, []int{2, 2}, []int{msgs, bytes}, "untouched")
	acked, stale, err := q.Ack(ackOf(t, 3))
	require.NoError(t, err)
	require.Equal(t, []int{1, 0}, []int{acked, stale})
	acked, stale, err = q.Ack(ackOf(t, 3))
	require.NoError(t, err)
	require.Equal(t, []int{0, 1}, []int{acked, stale})
	_, ok, err = q.Nack(3)
	require.NoError(t, err)
	require.False(t, ok, "it was acknowledged")
	acked, stale, err = q.Ack(ackOf(t, 1, 2, 3))
	require.NoError(t, err)
	require.Equal(t, []int{1, 0}, []int{acked, stale})
}

// ACK.md, 4.1: nothing goes out while as many messages are open as the credit says, or messages with as many octets, and zero of either is none. A message may go beyond the octets.
func TestRetain_Credit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		messages, bytes uint64
		sizes           []int
		taken           int
	}{
		{3, 100, []int{1, 1, 1, 1}, 3}, {10, 4, []int{3, 1, 1}, 2}, {10, 4, []int{3, 9, 0}, 2}, {10, 4, []int{9, 0}, 1}, {10, 4, []int{4, 0}, 1},
		{0, 100, []int{0}, 0}, {10, 0, []int{0}, 0}, {math.MaxInt64, math.MaxInt64, []int{0, 9, 9}, 3},
	} {
		q := newQueue()
		q.Retain(Retention{})
		s := &sink{room: -1}
		q.attach(s)
		q.Grant(c.messages, c.bytes)
		taken := 0
		for i, size := range c.sizes {
			if ok, _ := q.Deliver([][]byte{make([]byte, size)}, size, Delivery{Number: uint64(i + 1), Attempt: 1}); !ok {
				break
			}
			taken++
		}
		require.Equal(t, c.taken, taken, "%+v", c)
		q.Grant(0, 0)
		msgs, _ := q.Outstanding()
		require.Equal(t, taken, msgs, "a smaller credit takes nothing back")
		q.detach(false)
	}
}

func bodiesOf(s string) [][]byte { return [][]byte{[]byte(s)} }

func sentTo(t *testing.T, s *sink) []arrived {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, _ := receive(t, s.got)
	return all
}

// An ACK that says nothing new costs a step for each of its ranges, not one for each message that it names, however many have been settled behind one that is not.
func TestRetain_RepeatedAcks(t *testing.T) {
	t.Parallel()
	const n = 5000
	q := newQueue()
	q.Retain(Retention{Stream: [16]byte{7}})
	s := &sink{room: -1}
	q.attach(s)
	defer q.detach(false)
	q.Grant(n, 1<<20)
	tags := make([]uint64, 0, n)
	for number := uint64(1); number <= n; number++ {
		ok, _ := q.Deliver(bodiesOf("x"), 1, Delivery{Number: number, Attempt: 1})
		require.True(t, ok)
		tags = append(tags, number)
	}
	for len(sentTo(t, s)) < n {
		q.Flush()
	}
	for i, said := range [][]uint64{tags[1:], tags[1:], tags[999:]} { // the first is not settled
		acked, stale, err := q.Ack(ackOf(t, said...))
		require.NoError(t, err)
		want := []int{0, len(said)}
		if i == 0 {
			want = []int{len(said), 0}
		}
		require.Equal(t, want, []int{acked, stale})
	}
	for _, tag := range []uint64{65, 1000, n} {
		require.Equal(t, q.kept.behind, q.kept.at(q.kept.find(tag)).number, "a step leads behind all of them")
	}
	acked, stale, err := q.Ack(ackOf(t, tags...))
	require.NoError(t, err)
	require.Equal(t, []int{1, 0}, []int{acked, stale})
}
