package reqrep

import (
	"context"
	"errors"
	"strconv"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

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
		verdict := c.calls.breaker.verdict(socket.ErrPeerGone)
		c.mu.Lock()
		c.book.bury(gone, verdict)
		c.unlock()
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
	c.settle(e, m.Peer())
}

// settle gives a reply to the call that waits for it.
func (c *Client) settle(e *codec.Envelope, from *socket.Peer) {
	r := result{reply: e}
	if failure := errorOf(e); failure != nil {
		r = result{err: failure}
	}
	verdict := c.calls.breaker.verdict(r.err)
	c.mu.Lock()
	p := c.book.find(e.CausationID, from.RoutingID())
	if p != nil && r.err != nil && p.flow == nil && !p.means(e) {
		p = nil
	}
	if p != nil && p.flow != nil && !p.over {
		c.flow(p, e, r.err, verdict)
		return
	}
	switch {
	case p == nil || !p.finish(r, verdict):
		c.counts.Unhandled++
	case r.err != nil:
		c.counts.Failed++
	default:
		c.counts.Handled++
	}
	c.unlock()
	if p == nil && e.Header(headerItem) != "" && understands(from) {
		c.control(from, controlCancel, e.CausationID, e.Header(headerCall), nil) // so that it stops
	}
}

// flow unlocks mu after it gave what came to the stream that it is of.
func (c *Client) flow(p *pending, e *codec.Envelope, failure, verdict error) {
	defer c.unlock()
	ended, err := p.flow.come(e, p.tag, failure)
	switch {
	case err != nil:
		p.astray = true
		p.finish(result{err: err}, errNeutral)
		c.counts.Malformed++
	case ended && failure != nil:
		p.finish(result{err: failure}, verdict)
		c.counts.Failed++
	case ended:
		p.finish(result{}, verdict)
		c.counts.Handled++
	}
}

// cancel tells the instance of an attempt that nobody waits for its reply.
func (c *Client) cancel(id codec.ID, p *pending) {
	c.control(p.at.peer, controlCancel, id, strconv.FormatUint(p.tag, 10), nil)
}

// control sends a control, or drops it if the peer does not take it now: controls that are tried are those that something else, if only
// the end of a timeout, does the work of.
func (c *Client) control(to *socket.Peer, kind string, id codec.ID, tag string, headers []codec.Header) {
	_ = c.Router.Send(ended, []byte(to.RoutingID()), controlFrame(kind, id, tag, headers))
}

func controlFrame(kind string, id codec.ID, tag string, headers []codec.Header) []byte {
	e := codec.Envelope{Type: kind, CausationID: id, Headers: append([]codec.Header{{Key: headerCall, Value: tag}}, headers...)}
	frame, err := e.Append(nil)
	if err != nil { // a tag that a service made up
		return nil
	}
	return frame
}
