package reqrep

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

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

	running sync.WaitGroup // receive and watch

	mu      sync.Mutex // guards the fields below
	book    book
	trying  map[string]struct{} // endpoints whose first attempt to connect is under way
	changed chan struct{}       // closed and replaced when a call that finds no instance should look again
	wake    context.CancelFunc  // has receive look at book.gone
	closing bool
	counts  patterns.Counts
}

// NewClient returns a Client. Close it in the end.
func NewClient(opts ...patterns.Option) *Client {
	config, err := conf.Make("NewClient", conf.OnError|conf.Source|conf.SendMiddleware,
		conf.Config{Codec: codec.Msgpack, OnError: patterns.LogError}, opts)
	c := &Client{
		Router:  socket.NewRouter(config.Socket...),
		conf:    config,
		sealer:  wire.NewSealer(patterns.Call, config),
		err:     err,
		book:    newBook(),
		trying:  make(map[string]struct{}),
		changed: make(chan struct{}),
		wake:    func() {},
	}
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
	if c.book.update(connected(c.Router)) {
		c.wake()
	}
}

func connected(r *socket.Router) (peers []*socket.Peer) {
	for _, p := range r.Stats().Peers {
		if p.Connected {
			peers = append(peers, p.Peer)
		}
	}
	return peers
}

// assign puts a call in the book of the instance that it is to be sent to.
func (c *Client) assign(ctx context.Context, id codec.ID, p *pending) (*instance, error) {
	for {
		c.mu.Lock()
		if c.closing {
			c.mu.Unlock()
			return nil, socket.ErrClosed
		}
		at, err := c.book.assign(id, p)
		waiting, changed := len(c.trying) > 0, c.changed
		c.mu.Unlock()
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

// forget takes a call out of the book.
func (c *Client) forget(id codec.ID, p *pending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.book.forget(id, p)
	if c.closing {
		c.changedLocked() // Shutdown waits for the last
	}
}

// avoid sends no more calls to an instance that the socket no longer knows.
func (c *Client) avoid(at *instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at.leaving = true
}

// receive hands replies to those who wait for them, and fails the calls at instances that are gone, after all that these
// had sent.
func (c *Client) receive() {
	for {
		gone, ctx := c.departed()
		for {
			m, err := c.Router.Recv(ctx)
			if errors.Is(err, context.Canceled) {
				break
			}
			if err != nil {
				return // closed, or never usable
			}
			c.open(m)
		}
		c.mu.Lock()
		c.book.bury(gone)
		c.mu.Unlock()
	}
}

// departed returns the instances that are gone, and a context for Recv that has ended if there are any, else ends when there are.
func (c *Client) departed() (gone []*instance, ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.book.gone) > 0 {
		gone, c.book.gone = c.book.gone, nil
		return gone, ended
	}
	c.wake() // releases the context before
	ctx, c.wake = context.WithCancel(context.Background())
	return nil, ctx
}

// open handles what a service sent.
func (c *Client) open(m socket.Msg) {
	e, err := wire.Open(m.Bytes())
	if err != nil {
		c.mu.Lock()
		c.counts.Malformed++
		c.mu.Unlock()
		c.conf.OnError(context.Background(), patterns.NewError("decode", nil, m.Peer().Address(), err))
		return
	}
	c.settle(e, m.Peer().RoutingID())
}

// settle gives a reply to the call that waits for it.
func (c *Client) settle(e *codec.Envelope, routingID string) {
	r := result{reply: e}
	if failure := errorOf(e); failure != nil {
		r = result{err: failure}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.book.settle(e.CausationID, routingID, r):
		c.counts.Unhandled++
	case r.err != nil:
		c.counts.Failed++
	default:
		c.counts.Handled++
	}
}

// Counts returns how the replies fared: Handled were given to a call, Failed were errors given to a call, Malformed did not decode,
// Unhandled came when nobody waited for them any more. InHand is the number of calls in flight.
func (c *Client) Counts() patterns.Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts := c.counts
	counts.InHand = int64(len(c.book.calls))
	return counts
}

// Shutdown ends the Client in order: it takes no further calls, waits for the replies to those in flight, and closes. When ctx ends
// before, they fail with socket.ErrClosed, and the error says how many there were.
func (c *Client) Shutdown(ctx context.Context) error {
	for {
		c.mu.Lock()
		c.closing = true
		left, changed := len(c.book.calls), c.changed
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
	c.closing = true
	c.book.failAll(socket.ErrClosed)
	c.changedLocked()
	c.mu.Unlock()
	err := c.Router.Shutdown(ctx)
	c.running.Wait()
	return err
}
