package reqrep

import (
	"context"
	"strconv"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// open handles what a service sent.
func (c *Client) open(m socket.Msg) {
	e := &c.turn.read
	if err := wire.OpenInto(e, m.Bytes()); err != nil {
		c.mu.Lock()
		c.counts.Malformed++
		c.mu.Unlock()
		c.conf.OnError(context.Background(), patterns.NewError("decode", nil, m.Peer().Address(), err))
		return
	}
	c.settle(e, m.Peer(), &m)
	m.Release()
}

// settle gives a reply to the call that waits for it, and takes the message that it is if that needs it still. The memory of e is the caller's.
func (c *Client) settle(e *codec.Envelope, from *socket.Peer, m *socket.Msg) {
	var r result
	if failure := errorOf(e); failure != nil {
		r.err = failure
	}
	verdict := c.calls.breaker.verdict(r.err)
	c.mu.Lock()
	p := c.book.find(e.CausationID, from.RoutingID())
	if p != nil && r.err != nil && p.flow == nil && !p.means(e) {
		p = nil
	}
	if p != nil && p.flow != nil && !p.over {
		own := *e
		e.Headers, *m = nil, socket.Msg{}
		c.flow(p, &own, r.err, verdict)
		return
	}
	if p != nil && r.err == nil && !p.over {
		p.keep(e, m)
	}
	switch {
	case p == nil || !c.book.finish(e.CausationID, p, r, verdict):
		c.counts.Unhandled++
	case r.err != nil:
		c.counts.Failed++
	default:
		c.counts.Handled++
	}
	c.turn.noteLocked(c.book.open)
	c.forgotten()
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
		c.book.finish(e.CausationID, p, result{err: err}, errNeutral)
		c.counts.Malformed++
	case ended && failure != nil:
		c.book.finish(e.CausationID, p, result{err: failure}, verdict)
		c.counts.Failed++
	case ended:
		c.book.finish(e.CausationID, p, result{}, verdict)
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
