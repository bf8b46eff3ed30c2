package link

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// sink is a connection that takes a number of bytes and then fails, or would block where a write may not.
type sink struct {
	net.Conn
	mu     sync.Mutex
	room   int // bytes until it fails; negative for no end
	got    []byte
	shy    bool // TryWrite takes half of what it is given
	wanted func()
	block  chan struct{}
}

var errSink = errors.New("connection lost")

func (s *sink) Write(p []byte) (int, error) {
	if s.block != nil {
		<-s.block
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(p)
	if s.room >= 0 {
		n = min(n, s.room)
		s.room -= n
	}
	s.got = append(s.got, p[:n]...)
	if n < len(p) {
		return n, errSink
	}
	return n, nil
}

func (s *sink) TryRead([]byte) (int, error) { return 0, transport.ErrWouldBlock }

func (s *sink) TryWrite(p []byte) (int, error) {
	if s.block != nil || s.shy && len(p) < 2 {
		return 0, transport.ErrWouldBlock
	}
	if s.shy {
		p = p[:len(p)/2]
	}
	return s.Write(p)
}

func (s *sink) Close() error { return nil }

// queue is an Out with its pump running on a connection.
type queue struct {
	Out
	pumped  chan struct{}
	drained chan struct{} // a signal
}

func newQueue() *queue {
	q := &queue{drained: make(chan struct{}, 1)}
	q.Room = func() {}
	q.Drained = func() {
		select {
		case q.drained <- struct{}{}:
		default:
		}
	}
	return q
}

func (q *queue) attach(s net.Conn) { q.attachTo(NewConn(s)) }

func (q *queue) attachTo(c *Conn) {
	q.Attach(c)
	q.pumped = make(chan struct{})
	go func() {
		defer close(q.pumped)
		q.Pump()
	}()
}

func (q *queue) detach(keep bool) int {
	lost := q.Detach(keep)
	<-q.pumped
	return lost
}

// giver is a sink that takes bodies as a whole.
type giver struct{ *sink }

func (g giver) OnWanted(_ *atomic.Bool, f func()) { g.wanted = f }

func (g giver) WriteParts(parts []transport.Part, block bool) (n int, err error) {
	for _, p := range parts {
		write := g.TryWrite
		switch {
		case p.Given:
			write = g.writeBody
		case block:
			write = g.Write
		}
		m, err := write(p.Bytes)
		n += m
		if err != nil || m < len(p.Bytes) {
			return n, err
		}
	}
	return n, nil
}

// writeBody writes all or nothing.
func (g giver) writeBody(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.room >= 0 && g.room < len(b) {
		g.room = 0
		return 0, errSink
	}
	g.room -= min(len(b), max(g.room, 0))
	g.got = append(g.got, b...)
	return len(b), nil
}

func (giver) ReadBody(int, bool) ([]byte, error) { return nil, transport.ErrWouldBlock }

// empty waits until everything is written.
func (q *queue) empty() {
	for !q.Watch() {
		<-q.drained
	}
}

func message(r *rand.Rand, n int) [][]byte {
	frames := make([][]byte, 1+r.IntN(3))
	for i := range frames {
		size := []int{0, 1, 20, 255, 256, 3000, largeBody, largeBody + 1, 100 << 10}[r.IntN(9)]
		frames[i] = bytes.Repeat([]byte{byte(n + i)}, size)
	}
	frames[0] = append(fmt.Appendf(nil, "%d:", n), frames[0]...)
	return frames
}

func size(frames [][]byte) (n int) {
	for _, f := range frames {
		n += len(f)
	}
	return n
}

// However a connection ends, the messages that follow on the next one are those of which not every byte went out, in order
// and each once (RFC 37: not delivered more than once).
func TestOut_KeepsWhatWasNotWrittenWhole(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		q := newQueue()
		var want [][][]byte
		var got [][][]byte
		send := func() {
			m := message(r, len(want))
			var flush bool
			head := r.IntN(len(m))
			switch r.IntN(4) {
			case 0:
				_, flush = q.appendEncoded(m)
			case 1:
				var e Encoded
				e.EncodeGiven(m)
				_, flush = q.AppendEncoded(&e, size(m))
				e.Done()
			case 2:
				_, flush = q.AppendGiven(m[:head], m[head:], size(m))
			default:
				_, flush = q.Append(m[:head], m[head:], size(m))
			}
			if flush || r.IntN(5) == 0 {
				q.Flush()
			}
			want = append(want, m)
		}
		for range 4 {
			s := &sink{room: r.IntN(200 << 10), shy: r.IntN(2) == 0}
			for range r.IntN(5) {
				send()
			}
			if r.IntN(2) == 0 {
				q.attach(giver{s})
			} else {
				q.attach(s)
			}
			for range r.IntN(10) {
				if r.IntN(4) == 0 {
					q.Control(zmtp.AppendPing(nil, 0, nil), false)
				}
				send()
			}
			require.Zero(t, q.detach(true))
			whole, _ := naive(s.got, 1<<30)
			got = append(got, whole...)
		}
		last := &sink{room: -1}
		q.attach(last)
		q.empty()
		q.detach(true)
		whole, _ := naive(last.got, 1<<30)
		got = append(got, whole...)
		require.Len(t, got, len(want), "seed %d", seed)
		for i := range want {
			require.True(t, equal(want[i], got[i]), "seed %d: message %d", seed, i)
		}
		msgs, bytes := q.Depth()
		require.Zero(t, msgs)
		require.Zero(t, bytes)
	}
}

func equal(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// Without a connection to come, what was not written whole is counted as lost.
func TestOut_CountsWhatIsLost(t *testing.T) {
	t.Parallel()
	for room := range 40 {
		q := newQueue()
		for range 10 {
			q.Append(nil, [][]byte{{1, 2}}, 2) // 4 bytes each on the wire
		}
		s := &sink{room: room}
		q.attach(s)
		for len(s.written()) < min(room, 40) {
			q.Flush()
		}
		assert.Equal(t, 10-room/4, q.detach(false), "%d bytes were taken", room)
		msgs, _ := q.Depth()
		assert.Zero(t, msgs)
	}
}

func (s *sink) written() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

func TestOut_HighWaterMarks(t *testing.T) {
	t.Parallel()
	append1 := func(q *queue, size int) bool {
		ok, _ := q.Append(nil, [][]byte{make([]byte, size)}, size)
		return ok
	}
	t.Run("messages", func(t *testing.T) {
		q := newQueue()
		q.HWM = 3
		for range 3 {
			assert.True(t, append1(q, 0))
		}
		assert.False(t, append1(q, 0))
	})
	t.Run("bytes, and one message always fits", func(t *testing.T) {
		q := newQueue()
		q.HWMBytes = 100
		assert.True(t, append1(q, 500))
		assert.False(t, append1(q, 1))
		assert.Equal(t, 1, q.Drop())
		assert.True(t, append1(q, 60))
		assert.False(t, append1(q, 60))
		assert.True(t, append1(q, 40))
	})
	t.Run("room is told once the queue is half empty", func(t *testing.T) {
		room := make(chan struct{}, 10)
		q := newQueue()
		q.HWM = 4
		q.Room = func() { room <- struct{}{} }
		for range 4 {
			append1(q, 1)
		}
		assert.False(t, append1(q, 1))
		s := &sink{room: -1}
		q.attach(s)
		<-room
		q.detach(true)
		assert.Empty(t, room)
	})
}

func (q *queue) appendEncoded(frames [][]byte) (ok, flush bool) {
	var e Encoded
	defer e.Done()
	e.Encode(frames)
	return q.AppendEncoded(&e, size(frames))
}

// TestEncoded_BodiesServeAgainAfterTheLastQueue: whichever way a queue is done with its message.
func TestEncoded_BodiesServeAgainAfterTheLastQueue(t *testing.T) {
	t.Parallel()
	var e Encoded
	m := [][]byte{make([]byte, 100), make([]byte, largeBody+1)}
	e.Encode(m)
	written, dropped := newQueue(), newQueue()
	written.AppendEncoded(&e, size(m))
	dropped.AppendEncoded(&e, size(m))
	body := e.bodies[0]
	e.Done()
	require.Equal(t, int32(2), body.refs.Load())
	written.attach(&sink{room: -1})
	written.empty()
	require.Equal(t, int32(1), body.refs.Load())
	dropped.Drop()
	require.Equal(t, int32(0), body.refs.Load())
	written.detach(false)
}

// Encode for many queues and Append for one put the same on the wire.
func TestEncode_AsAppend(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var e Encoded
	one, many := newQueue(), newQueue()
	for n := range 200 {
		m := message(r, n)
		e.Encode(m)
		one.Append(nil, m, size(m))
		many.AppendEncoded(&e, size(m))
		e.Done()
	}
	a, b := &sink{room: -1}, &sink{room: -1}
	one.attach(a)
	many.attach(b)
	one.empty()
	many.empty()
	one.detach(false)
	many.detach(false)
	assert.True(t, bytes.Equal(a.got, b.got))
}

// Many senders, inline writes and the pump: each message once, those of a sender in order.
func TestOut_ManySenders(t *testing.T) {
	t.Parallel()
	q := newQueue()
	s := &sink{room: -1, shy: true}
	q.attach(s)
	var senders sync.WaitGroup
	const each = 2000
	for sender := range 4 {
		senders.Go(func() {
			for n := range each {
				m := [][]byte{fmt.Appendf(nil, "%d", sender), fmt.Appendf(nil, "%d", n)}
				if _, flush := q.Append(nil, m, size(m)); flush {
					q.Flush()
				}
			}
		})
	}
	senders.Wait()
	q.empty()
	q.detach(false)
	msgs, _ := naive(s.got, 1<<20)
	next := map[string]int{}
	for _, m := range msgs {
		require.Equal(t, fmt.Sprint(next[string(m[0])]), string(m[1]))
		next[string(m[0])]++
	}
	require.Len(t, msgs, 4*each)
}

// PONGs to a peer that asks and does not read are bounded; subscriptions are not.
func TestOut_PongsAreBounded(t *testing.T) {
	t.Parallel()
	q := newQueue()
	s := &sink{room: -1, block: make(chan struct{})}
	q.attach(s)
	pong := zmtp.AppendPong(nil, make([]byte, 16))
	for range 100000 {
		q.Control(pong, true)
	}
	q.mu.Lock()
	queued := len(q.ctrl)
	q.mu.Unlock()
	assert.LessOrEqual(t, queued, maxPongs+len(pong))
	close(s.block)
	q.detach(false)
}

func TestOut_AppendAllocatesNothing(t *testing.T) {
	for _, n := range []int{16, 1024, 16 << 10} {
		q := newQueue()
		s := &counting{}
		q.Attach(NewConn(s))
		body := [][]byte{make([]byte, n)}
		allocs := testing.AllocsPerRun(5000, func() {
			if _, flush := q.Append(nil, body, n); flush {
				q.Flush()
			}
		})
		assert.Less(t, allocs, 0.01, "%d bytes", n)
		q.pumping = false // none was started
		q.Detach(false)
	}
}

// counting is a connection that takes everything.
type counting struct {
	net.Conn
	n int
}

func (c *counting) TryRead([]byte) (int, error)    { return 0, transport.ErrWouldBlock }
func (c *counting) TryWrite(p []byte) (int, error) { c.n += len(p); return len(p), nil }
func (c *counting) Close() error                   { return nil }
