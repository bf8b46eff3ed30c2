package reqrep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// Call asks a service that c is connected to for the method called name, and returns its answer. It blocks until that has come, the
// service is gone (socket.ErrPeerGone), or ctx ends (the context's error, and socket.ErrTimeout for a deadline). An
// error that the service answers with is an *Error.
//
// If no service is connected, Call fails at once with socket.ErrNoPeer, and nothing was sent; only while the first attempt to
// connect to some endpoint is under way does it wait for the outcome. WaitPeers waits for longer.
func Call[In, Out any](ctx context.Context, c *Client, name string, in In, opts ...patterns.SendOption) (Out, error) {
	var out Out
	e, err := c.call(ctx, name, &in, opts)
	if err == nil {
		err = wire.Decode(e, c.conf.Codec, c.conf.Schemas, &out)
	}
	if err != nil {
		return *new(Out), fmt.Errorf("call %s: %w", name, err)
	}
	return out, nil
}

func (c *Client) call(ctx context.Context, name string, in any, opts []patterns.SendOption) (*codec.Envelope, error) {
	switch {
	case c.err != nil:
		return nil, c.err
	case name == "" || len(name) > codec.MaxName:
		return nil, fmt.Errorf("want a name of 1 to %d bytes", codec.MaxName)
	case ctx.Err() != nil:
		return nil, expired(ctx)
	}
	request := func(e *codec.Envelope) {
		e.Type = name
		if deadline, ok := ctx.Deadline(); ok {
			e.SetHeader(headerTimeout, formatTimeout(time.Until(deadline)))
		}
	}
	var reply *codec.Envelope
	err := c.sealer.Seal(ctx, "", codec.Envelope{}, in, append(opts[:len(opts):len(opts)], request),
		func(ctx context.Context, o *patterns.Outgoing, frame []byte) (err error) {
			reply, err = c.ask(ctx, o.Envelope.ID, frame)
			o.Reply = reply
			return err
		})
	return reply, err
}

// ask sends a request and waits for its reply.
func (c *Client) ask(ctx context.Context, id codec.ID, frame []byte) (*codec.Envelope, error) {
	p := &pending{}
	if err := c.send(ctx, id, p, frame); err != nil {
		return nil, err
	}
	defer c.forget(id, p)
	select {
	case r := <-p.done:
		return r.reply, r.err
	case <-ctx.Done():
		return nil, expired(ctx)
	}
}

// send sends a request to some instance, and to another if that one has just left. While it returns nil, p is in flight.
func (c *Client) send(ctx context.Context, id codec.ID, p *pending, frame []byte) error {
	for {
		at, err := c.assign(ctx, id, p)
		if err != nil {
			return err
		}
		err = c.Router.Send(ctx, []byte(at.peer.RoutingID()), frame)
		if err == nil {
			return nil
		}
		c.forget(id, p)
		if !errors.Is(err, socket.ErrNoPeer) {
			return err
		}
		c.avoid(at)
	}
}

// expired returns why ctx ended.
func expired(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return socket.ErrTimeout
	}
	return ctx.Err()
}
