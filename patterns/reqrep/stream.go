package reqrep

import (
	"context"
	"iter"
	"strconv"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
)

// Stream asks a service for the method called name, which HandleStream gave it, and returns what it answers one by one as it
// comes. The request is sent when the loop begins, to one instance, and not repeated: WithRetries and WithHedge have no effect.
// Each loop asks anew.
//
// The loop ends after the last item; or with an error, which is the last element then: that of the service, an *Error, or as Call
// returns them. socket.ErrPeerGone comes after all that the instance had sent, ErrGap if some of it is missing. When the loop is left, or
// ctx ends, so does the context of the service's handler. The service is ahead of the loop only as far as WithStreamWindow says. A method that does
// not stream has one item.
func Stream[In, Out any](ctx context.Context, c *Client, name string, in In, opts ...CallOption) iter.Seq2[Out, error] {
	return func(yield func(Out, error) bool) {
		err := c.stream(ctx, name, &in, opts, func(e *codec.Envelope) (bool, error) {
			var out Out
			if err := c.decode(e, &out); err != nil {
				return false, err
			}
			return yield(out, nil), nil
		})
		if err != nil {
			yield(*new(Out), &asked{"stream", name, err})
		}
	}
}

// stream calls each with what comes, until it returns false or an error.
func (c *Client) stream(ctx context.Context, name string, in any, opts []CallOption, each func(*codec.Envelope) (bool, error)) error {
	q, err := c.ask(ctx, name, in, opts)
	if err != nil {
		return err
	}
	q.plain = true
	q.done = make(chan result) // what comes goes to flow; this tells the call from others
	q.flow, q.window = newInflow(q.policy.window), q.policy.window.String()
	return c.attempt(ctx, q, func(ctx context.Context, o *patterns.Outgoing, frame []byte) error {
		if err := c.try(ctx, q, o.Envelope, frame, false); err != nil {
			return err
		}
		verdict := errNeutral
		defer func() { c.forget(q, verdict) }()
		c.rely()
		for {
			e, err := c.next(ctx, q)
			if e == nil {
				if ctx.Err() != nil {
					verdict = c.calls.breaker.verdict(err)
				}
				return err
			}
			if more, err := each(e); !more {
				return err
			}
		}
	})
}

// next returns the next item of a stream, or nil at its end and why it ended, nil for its proper end.
func (c *Client) next(ctx context.Context, q *question) (*codec.Envelope, error) {
	for {
		if ctx.Err() != nil {
			return nil, expired(ctx)
		}
		c.mu.Lock()
		e, tell := q.flow.take()
		taken, closed, failure := q.flow.taken, q.flow.closed, q.flow.failure
		c.mu.Unlock()
		switch {
		case e != nil && tell:
			c.tellTaken(ctx, q, taken)
			return e, nil
		case e != nil:
			return e, nil
		case closed:
			return nil, failure
		}
		select {
		case <-q.flow.ready:
		case <-ctx.Done():
		}
	}
}

// tellTaken has the service send more. It fails only if the service is gone or ctx ended, which next will see.
func (c *Client) tellTaken(ctx context.Context, q *question, taken uint64) {
	p := q.open[0]
	frame := controlFrame(controlTaken, q.id, strconv.FormatUint(p.tag, 10), []codec.Header{{Key: headerTaken, Value: strconv.FormatUint(taken, 10)}})
	_ = c.Router.Send(ctx, p.at.id, frame)
}
