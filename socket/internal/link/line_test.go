package link

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
)

// gate is a sink that writes through TryWrite when it is let, and says when it is asked.
type gate struct {
	*sink
	asked, let chan struct{}
	writes     [][]byte
}

func newGate() *gate {
	return &gate{sink: &sink{room: -1}, asked: make(chan struct{}, 1), let: make(chan struct{})}
}

func (g *gate) TryWrite(p []byte) (int, error) {
	g.asked <- struct{}{}
	<-g.let
	g.writes = append(g.writes, append([]byte(nil), p...))
	return g.Write(p)
}

func inLine(line *Line, conn interface {
	TryWrite([]byte) (int, error)
	TryRead([]byte) (int, error)
}) *queue {
	q := newQueue()
	q.Line = line
	q.Attach(&Conn{Conn: &sink{room: -1}, try: conn})
	q.pumped = make(chan struct{})
	go func() {
		defer close(q.pumped)
		q.Pump()
	}()
	return q
}

// send queues a message, and writes it if it is to.
func (q *queue) send(text string) {
	if _, flush := q.Append(nil, [][]byte{[]byte(text)}, len(text)); flush {
		q.Flush()
	}
}

// While one queue is written, messages gather in those in line, and each of them takes one write. Short lines are written by their own pumps.
func TestLine_GathersMessages(t *testing.T) {
	t.Parallel()
	line := &Line{Places: 1, From: 3}
	gates, queues := make([]*gate, 3), make([]*queue, 3)
	for i := range gates {
		gates[i] = newGate()
		queues[i] = inLine(line, gates[i])
	}
	queues[0].send("first")
	<-gates[0].asked
	for i := range 3 {
		for _, q := range queues[1:] {
			q.send(fmt.Sprint(i))
		}
	}
	gates[0].let <- struct{}{}
	for range gates[1:] { // in the order in which their pumps have come to be
		select {
		case <-gates[1].asked:
			gates[1].let <- struct{}{}
		case <-gates[2].asked:
			gates[2].let <- struct{}{}
		}
	}
	for i, q := range queues {
		q.empty()
		q.detach(false)
		require.Len(t, gates[i].writes, 1)
	}
	assert.Equal(t, "\x00\x010\x00\x011\x00\x012", string(gates[1].writes[0]))
	assert.Equal(t, gates[1].writes, gates[2].writes)
}

// full is a connection whose peer does not read.
type full struct{}

func (full) TryRead([]byte) (int, error)  { return 0, transport.ErrWouldBlock }
func (full) TryWrite([]byte) (int, error) { return 0, transport.ErrWouldBlock }

// A peer that does not read has its own pump wait for it, and nobody else.
func TestLine_PassesWhoDoesNotRead(t *testing.T) {
	t.Parallel()
	line := &Line{Places: 1}
	stuck := &sink{room: -1, block: make(chan struct{})}
	held := newQueue()
	held.Line = line
	held.Attach(&Conn{Conn: stuck, try: full{}})
	held.pumped = make(chan struct{})
	go func() {
		defer close(held.pumped)
		held.Pump()
	}()
	free := &sink{room: -1}
	other := inLine(line, free)
	for i := range 100 {
		held.send("stuck")
		other.send(fmt.Sprint(i))
		other.empty()
	}
	close(stuck.block)
	held.empty()
	assert.NotEmpty(t, stuck.got)
	held.detach(false)
	other.detach(false)
}

// Who is detached while somebody else writes for it takes no place any more, for a pump that would not start.
func TestLine_DetachLeavesThePlace(t *testing.T) {
	t.Parallel()
	line := &Line{Places: 1, From: 1}
	g := newGate()
	q := inLine(line, g)
	<-q.pumped // where the line is long, a pump with nothing to do ends
	q.Spoke()
	_, flush := q.Append(nil, [][]byte{[]byte("a")}, 1)
	require.True(t, flush)
	var all sync.WaitGroup
	all.Go(q.Flush)
	<-g.asked
	q.send("b")
	all.Go(func() { q.Detach(false) })
	for stopping := false; !stopping; runtime.Gosched() {
		q.mu.Lock()
		stopping = q.stopping
		q.mu.Unlock()
	}
	g.let <- struct{}{}
	all.Wait()
	line.mu.Lock()
	assert.Zero(t, line.held)
	line.mu.Unlock()
}

// Whatever becomes of connections, each queue keeps its messages, all of them in order and once, and the line goes on.
func TestLine_LosesNothing(t *testing.T) {
	t.Parallel()
	for places := range 3 {
		line := &Line{Places: places + 1, From: 2}
		var all sync.WaitGroup
		for i := range uint64(8) {
			all.Go(func() {
				want, got := throughLine(line, rand.New(rand.NewPCG(i, uint64(places))))
				assert.Equal(t, want, got)
			})
		}
		all.Wait()
		assert.Zero(t, line.held)
		assert.Nil(t, line.head)
	}
}

// throughLine sends messages on several connections and returns what was sent and what had arrived.
func throughLine(line *Line, r *rand.Rand) (want, got []string) {
	q := newQueue()
	q.Line = line
	collect := func(s *sink) {
		whole, _ := naive(s.got, 1<<30)
		for _, m := range whole {
			got = append(got, string(m[0]))
		}
	}
	send := func() {
		for range r.IntN(100) {
			want = append(want, fmt.Sprintf("%d%*s", len(want), r.IntN(300), ""))
			if _, flush := q.Append(nil, [][]byte{[]byte(want[len(want)-1])}, len(want[len(want)-1])); flush || r.IntN(20) == 0 {
				q.Flush()
			}
		}
	}
	for range 20 {
		s := &sink{room: r.IntN(20 << 10), shy: r.IntN(3) == 0}
		q.attach(s)
		send()
		q.detach(true)
		collect(s)
	}
	last := &sink{room: -1}
	q.attach(last)
	send()
	q.empty()
	q.detach(true)
	collect(last)
	return want, got
}
