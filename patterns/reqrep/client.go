package reqrep

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// Client calls services, with [Call]. It embeds its socket: Bind and Connect lead to services. It is safe for use by any number of
// goroutines, each with any number of calls. What the socket's Send and Recv do passes it by.
type Client struct {
	*socket.Router
	conf   conf.Config
	sealer wire.Sealer
	err    error // what the options did wrong

	calls *clientConfig
	tags  atomic.Uint64            // the last tag of an attempt
	spare atomic.Pointer[question] // of the last call, for the next

	running sync.WaitGroup // receive and watch
	ending  chan struct{}  // closed when closing

	mu       sync.Mutex // guards the fields below
	book     book
	budget   budget
	trying   map[string]struct{} // endpoints whose first attempt to connect is under way
	changed  chan struct{}       // closed and replaced when a call that finds no instance should look again
	waiting  context.Context     // of whoever receives
	wake     context.CancelFunc  // ends it: there is something to look at, in book.gone mostly
	turn     turn
	closing  bool
	telling  bool // somebody calls the hook
	counts   patterns.Counts
	retries  uint64
	hedges   uint64
	withheld uint64
}

// NewClient returns a Client. Close it in the end.
func NewClient(opts ...patterns.Option) *Client {
	calls := &clientConfig{policy: newPolicy(), ratio: defaultRatio, burst: defaultBurst, onChange: func(BreakerChange) {}}
	config, err := conf.Make("NewClient", conf.OnError|conf.Source|conf.SendMiddleware|conf.Client, conf.Config{
		Codec: codec.Msgpack, OnError: patterns.LogError, Calls: calls,
		Socket: []socket.Option{controlsOption(), socket.WithPeerLimits()},
	}, opts)
	c := &Client{
		Router:  socket.NewRouter(config.Socket...),
		conf:    config,
		sealer:  wire.NewSealer(patterns.Call, config),
		err:     err,
		calls:   calls,
		ending:  make(chan struct{}),
		book:    newBook(calls.breaker),
		budget:  budget{ratio: calls.ratio, burst: float64(calls.burst), tokens: float64(calls.burst)},
		trying:  make(map[string]struct{}),
		changed: make(chan struct{}),
		waiting: ended,
		wake:    func() {},
	}
	c.openTurn()
	events := c.Events(context.Background()) // from here on, so that none is missed
	c.running.Go(func() { c.watch(events) }) // both end when the socket is closed, and Close waits for them
	c.running.Go(c.receive)
	return c
}

// Connect keeps a connection to the service at endpoint, as Connect of the socket does.
func (c *Client) Connect(endpoint string) error {
	c.mu.Lock()
	c.trying[endpoint] = struct{}{}
	c.mu.Unlock()
	err := c.Router.Connect(endpoint)
	if err != nil {
		c.tried(endpoint)
	}
	return err
}

// Disconnect ends what Connect began. Calls that are in flight there fail with socket.ErrPeerGone.
func (c *Client) Disconnect(endpoint string) error {
	c.tried(endpoint)
	return c.Router.Disconnect(endpoint)
}

// WaitPeers blocks until at least n services are connected, and calls can go to them.
func (c *Client) WaitPeers(ctx context.Context, n int) error {
	err := c.Router.WaitPeers(ctx, n)
	c.refresh() // the events about them may be on their way still
	return err
}

// tried notes that an attempt to connect has come to an end.
func (c *Client) tried(endpoint string) {
	c.mu.Lock()
	delete(c.trying, endpoint)
	c.changedLocked()
	c.mu.Unlock()
}

func (c *Client) changedLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// watch follows who comes and goes.
func (c *Client) watch(events iter.Seq[socket.Event]) {
	for e := range events {
		switch e.Kind {
		case socket.Connected:
			c.refresh()
			c.tried(e.Endpoint)
		case socket.Disconnected:
			c.refresh()
		case socket.Retrying:
			c.tried(e.Endpoint)
		}
	}
}

// refresh brings the book up to date with the socket. It goes by what is connected now rather than by the events, so that it
// does not matter if some were missed. The lock is held so that the older of two views is not the later one noted.
func (c *Client) refresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.book.update(c.Router.Stats()) {
		c.wake()
	}
}

// assign puts an attempt in the book of the instance that it is to be sent to.
func (c *Client) assign(ctx context.Context, q *question, p *pending, others bool) (*instance, error) {
	for {
		c.mu.Lock()
		if c.closing {
			c.mu.Unlock()
			return nil, socket.ErrClosed
		}
		at, err := c.book.assign(q.id, p, q.asked, others)
		if at != nil && q.attempt == 1 {
			c.budget.earn()
		}
		waiting, changed := len(c.trying) > 0 && !others, c.changed
		c.unlock()
		if at != nil || err != nil {
			return at, err
		}
		if !waiting {
			return nil, socket.ErrNoPeer
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", socket.ErrNoPeer, expired(ctx))
		}
	}
}

// unlock unlocks mu, and tells the hook of what changed meanwhile, unless another does already: it then tells this too.
func (c *Client) unlock() {
	for !c.telling && len(c.book.changes) > 0 {
		changes := c.book.changes
		c.book.changes, c.telling = nil, true
		c.mu.Unlock()
		c.tell(changes)
		c.mu.Lock()
	}
	c.mu.Unlock()
}

// tell calls the hook, which has others told of what comes even if it panics.
func (c *Client) tell(changes []BreakerChange) {
	defer func() {
		c.mu.Lock()
		c.telling = false
		c.mu.Unlock()
	}()
	for _, change := range changes {
		c.calls.onChange(change)
	}
}

// forget takes the attempts of a call out of the book, and their results out of q.done, and tells those who still work at it that
// nobody waits. verdict is what it says of them.
func (c *Client) forget(q *question, verdict error) {
	if len(q.open) == 0 {
		return
	}
	var left []*pending
	c.mu.Lock()
	for _, p := range q.open {
		if (!p.over || p.astray) && p.at.controls {
			left = append(left, p)
		}
		c.book.forget(q.id, p, verdict)
	}
	q.open = q.open[:0]
	for len(q.done) > 0 {
		<-q.done // it came too late, and is nothing to the next attempt
	}
	c.forgotten()
	for _, p := range left {
		c.cancel(q.id, p)
	}
}

// drop takes an attempt out of the book that was not sent, and its result back if there is one: its instance was buried already.
func (c *Client) drop(q *question, p *pending) {
	c.mu.Lock()
	c.book.forget(q.id, p, errNeutral)
	for range len(q.done) {
		if r := <-q.done; r.of != p {
			q.done <- r // another's: only with the lock are results put there
		}
	}
	c.forgotten()
}

// forgotten unlocks mu after a call was taken out of the book.
func (c *Client) forgotten() {
	if c.closing {
		c.changedLocked() // Shutdown waits for the last
	}
	c.unlock()
}

// avoid sends no more calls to an instance that the socket no longer knows.
func (c *Client) avoid(at *instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at.leaving = true
}

// Counts returns how the replies fared: Handled were given to a call, Failed were errors given to a call, Malformed did not decode,
// Unhandled came when nobody waited for them any more. InHand is the number of calls in flight.
func (c *Client) Counts() patterns.Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := c.counts
	counts.InHand = int64(c.book.tries)
	return counts
}

// Shutdown ends the Client in order: it takes no further calls, waits for the replies to those in flight, and closes. When ctx ends
// before, they fail with socket.ErrClosed, and the error says how many there were.
func (c *Client) Shutdown(ctx context.Context) error {
	for {
		c.mu.Lock()
		c.closeLocked()
		left, changed := c.book.tries, c.changed
		c.mu.Unlock()
		if left == 0 {
			return c.close(ctx)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			_ = c.close(ctx)
			return fmt.Errorf("shutdown: %d calls in flight: %w", left, expired(ctx))
		}
	}
}

// Close ends the Client now. Calls in flight fail with socket.ErrClosed. When it returns, the Client's goroutines have ended. Closing
// again does nothing.
func (c *Client) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = c.close(ctx) // what it did not write belongs to calls that have failed
	return nil
}

func (c *Client) close(ctx context.Context) error {
	c.mu.Lock()
	c.closeLocked()
	c.book.failAll(socket.ErrClosed)
	c.changedLocked()
	c.relyLocked() // so that receive sees the end
	c.unlock()
	err := c.Router.Shutdown(ctx)
	c.running.Wait()
	c.turn.timer.Stop()
	return err
}

// closeLocked has no more calls begin, and those end that wait to be repeated.
func (c *Client) closeLocked() {
	if !c.closing {
		c.closing = true
		close(c.ending)
	}
}
