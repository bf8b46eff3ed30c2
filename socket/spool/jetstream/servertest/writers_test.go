package servertest

import (
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// partition is what lies between a client and its servers: while it is shut nothing passes either way, and what was on its way passes when it is open again.
type partition struct {
	mu   sync.Mutex
	gate chan struct{} // closed while it is open
}

func newPartition() *partition {
	p := &partition{gate: make(chan struct{})}
	close(p.gate)
	return p
}

func (p *partition) shut() {
	p.mu.Lock()
	p.gate = make(chan struct{})
	p.mu.Unlock()
}

func (p *partition) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
}

func (p *partition) pass() {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	<-gate
}

// Dial implements nats.CustomDialer.
func (p *partition) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	return parted{conn, p}, err
}

type parted struct {
	net.Conn
	p *partition
}

func (c parted) Write(b []byte) (int, error) {
	c.p.pass()
	return c.Conn.Write(b)
}

func (c parted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.p.pass()
	return n, err
}

// claimed is what a writer was told of its messages.
type claimed struct {
	mu    sync.Mutex
	given map[uint64]string // confirmed, by number
	ends  []error           // why each of its goroutines stopped
	some  chan struct{}     // has room for one: there is news
}

// write appends from several goroutines until the spool says no, or there are enough.
func write(t *testing.T, s socket.Spool, who string, goroutines, enough int) (c *claimed, all *sync.WaitGroup) {
	c, all = &claimed{given: map[uint64]string{}, some: make(chan struct{}, 1)}, &sync.WaitGroup{}
	for i := range goroutines {
		all.Go(func() {
			for j := 0; ; j++ {
				body := fmt.Sprintf("%s %d: message %d", who, i, j)
				n, err := s.Append(bounded(t), []byte(body))
				c.mu.Lock()
				if err != nil || len(c.given) >= enough {
					c.ends = append(c.ends, err)
					c.mu.Unlock()
					return
				}
				c.given[n] = body
				c.mu.Unlock()
				select {
				case c.some <- struct{}{}:
				default:
				}
			}
		})
	}
	return c, all
}

func (c *claimed) await(t *testing.T, n int) {
	t.Helper()
	for {
		c.mu.Lock()
		enough := len(c.given) >= n
		c.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-c.some:
		case <-bounded(t).Done():
			require.Fail(t, "nothing is confirmed")
		}
	}
}

// TestTwoWriters: an owner that is cut off goes on writing, and another takes the spool over meanwhile and writes as well. When the first is back it is told, and neither
// has a place that the other was promised: each message that was confirmed to either of them is in the stream, at its number, once.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	wall := newPartition()
	cut, err := nats.Connect(n.ClientURL(), nats.SetCustomDialer(wall), nats.MaxReconnects(-1))
	require.NoError(t, err)
	t.Cleanup(cut.Close)
	t.Cleanup(wall.open)
	former := open(t, cut, "orders", quick)
	_, one := former.Stream()
	position, err := former.Consumer("", spool.Beginning())
	require.NoError(t, err)
	first, firstDone := write(t, former, "former", 8, 1<<20)
	first.await(t, 100)
	wall.shut()

	nc := connect(t, n)
	later := open(t, nc, "orders", quick)
	_, two := later.Stream()
	require.Greater(t, two, one)
	second, secondDone := write(t, later, "later", 8, 300)
	second.await(t, 100)
	wall.open() // both write now
	firstDone.Wait()
	secondDone.Wait()
	require.Len(t, first.ends, 8)
	for _, err := range first.ends {
		require.ErrorIs(t, err, spool.ErrFailed)
		assert.ErrorIs(t, err, spool.ErrInUse, "it says why")
	}
	for _, err := range second.ends {
		require.NoError(t, err)
	}
	require.ErrorIs(t, position.Ack(1, 10), spool.ErrFailed, "nor does it move positions any more")

	js, err := natsjs.New(nc)
	require.NoError(t, err)
	stream, err := js.Stream(bounded(t), "orders")
	require.NoError(t, err)
	last := stream.CachedInfo().State.LastSeq
	require.Equal(t, last+1, later.State().Next)
	stored := map[string]bool{}
	r := reader(t, later, 0)
	for number := uint64(1); number <= last; number++ {
		rec := next(t, r)
		require.Equal(t, number, rec.Number)
		body := string(rec.Frames[0])
		require.False(t, stored[body], "%q twice", body)
		stored[body] = true
		for _, c := range []*claimed{first, second} {
			if promised, ok := c.given[number]; ok {
				require.Equal(t, promised, body)
			}
		}
	}
	for _, c := range []*claimed{first, second} {
		for number, body := range c.given {
			require.True(t, stored[body], "message %d is lost: %q", number, body)
		}
	}
}
