package reqrep

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
)

// Reply is what one instance of several answered.
type Reply[Out any] struct {
	Instance Instance // zero if there was none to ask
	Value    Out      // zero if there is an error
	Err      error
	Took     time.Duration // since the requests were sent
}

// Scatter asks all connected instances at once for the method called name, and returns what each answers, as it comes. The requests are sent when the
// loop begins; they are one message, with one id. Each instance has exactly one Reply, its error being as Call returns them: ErrOpen for one
// that was not asked since its breaker is open. When ctx ends, what has not answered has the error that Call would return then. When the loop is left, the
// others are cancelled. If nobody could be asked, there is a single Reply with no Instance. WithRetries, WithAttemptTimeout and WithHedge have no effect.
func Scatter[In, Out any](ctx context.Context, c *Client, name string, in In, opts ...CallOption) iter.Seq[Reply[Out]] {
	return func(yield func(Reply[Out]) bool) {
		begin := time.Now()
		err := c.scatter(ctx, name, &in, opts, func(at *instance, e *codec.Envelope, err error) bool {
			reply := Reply[Out]{Instance: at.name(), Err: err, Took: time.Since(begin)}
			if err == nil {
				err = c.decode(e, &reply.Value)
			}
			if err != nil {
				reply.Value, reply.Err = *new(Out), &asked{"call", name, err}
			}
			return yield(reply)
		})
		if err != nil {
			yield(Reply[Out]{Err: &asked{"call", name, err}, Took: time.Since(begin)})
		}
	}
}

// Gather is Scatter until n instances have answered without an error, or all of them for n = 0. It returns what came until then, errors among it. If
// fewer than n answered, or there was nobody to ask, it is an error, which wraps the last one that came.
func Gather[In, Out any](ctx context.Context, c *Client, n int, name string, in In, opts ...CallOption) ([]Reply[Out], error) {
	var replies []Reply[Out]
	var last error
	good := 0
	for reply := range Scatter[In, Out](ctx, c, name, in, opts...) {
		if reply.Instance == (Instance{}) {
			return nil, reply.Err
		}
		replies = append(replies, reply)
		if reply.Err != nil {
			last = reply.Err
		} else if good++; good == n {
			return replies, nil
		}
	}
	if good < n {
		if last == nil {
			last = socket.ErrNoPeer
		}
		return replies, fmt.Errorf("%d of %d answers: %w", good, n, last)
	}
	return replies, nil
}

// scatter calls each with the answer of every instance, until it returns false. An error means that nobody was asked.
func (c *Client) scatter(ctx context.Context, name string, in any, opts []CallOption, each func(*instance, *codec.Envelope, error) bool) error {
	q, err := c.ask(ctx, name, in, opts)
	if err != nil {
		return err
	}
	q.plain = true
	return c.attempt(ctx, q, func(ctx context.Context, o *patterns.Outgoing, frame []byte) error {
		all, err := c.all(ctx)
		if err != nil {
			return err
		}
		q.id, q.done = o.Envelope.ID, make(chan result, len(all))
		verdict := errNeutral
		defer func() { c.forget(q, verdict) }()
		for i, at := range all {
			if err := c.askOne(ctx, q, at, o.Envelope, frame, i == 0); err != nil && !each(at, nil, err) {
				return nil
			}
		}
		c.rely()
		asked := slices.Clone(q.asked)
		for len(asked) > 0 {
			select {
			case r := <-q.done:
				asked = slices.DeleteFunc(asked, func(at *instance) bool { return at == r.of.at })
				if !each(r.of.at, &r.of.reply, r.err) {
					return nil
				}
			case <-ctx.Done():
				err := expired(ctx)
				verdict = c.calls.breaker.verdict(err)
				for _, at := range asked {
					if !each(at, nil, err) {
						break
					}
				}
				return nil
			}
		}
		return nil
	})
}

// all returns the instances that are connected, of which there is at least one.
func (c *Client) all(ctx context.Context) ([]*instance, error) {
	for {
		c.mu.Lock()
		all := slices.DeleteFunc(slices.Clone(c.book.instances), func(at *instance) bool { return at.leaving })
		closing, waiting, changed := c.closing, len(c.trying) > 0, c.changed
		c.mu.Unlock()
		switch {
		case closing:
			return nil, socket.ErrClosed
		case len(all) > 0:
			return all, nil
		case !waiting:
			return nil, socket.ErrNoPeer
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", socket.ErrNoPeer, expired(ctx))
		}
	}
}

// askOne sends a request to an instance. The frame is that of the first one.
func (c *Client) askOne(ctx context.Context, q *question, at *instance, e *codec.Envelope, frame []byte, first bool) error {
	if !first {
		q.tag = c.tags.Add(1)
		q.address(ctx, e)
		var err error
		if frame, err = e.Append(nil); err != nil {
			return err
		}
	}
	p := &pending{tag: q.tag, done: q.done}
	c.mu.Lock()
	err := c.book.assignTo(q.id, p, at)
	c.unlock()
	if err != nil {
		return err
	}
	return c.send(ctx, q, p, frame)
}
