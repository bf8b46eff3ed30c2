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
// service is gone (socket.ErrPeerGone), or ctx ends (the context's error, and socket.ErrTimeout for a deadline): then the
// context of the service's handler ends too. An error that the service answers with is an *Error.
//
// If no service is connected, Call fails at once with socket.ErrNoPeer, and nothing was sent; only while the first attempt to
// connect to some endpoint is under way does it wait for the outcome. WaitPeers waits for longer. If the breakers of all
// instances are open it fails at once with ErrOpen. A request that is larger than the service takes is not sent: socket.ErrTooLarge. Nor is one for a name that no method
// can have: patterns.ErrMalformed. Options say whether it may ask again, and ask several: WithRetries, WithHedge.
//
// While nobody else does, the caller receives for all calls of c: functions given to WithOnError and WithOnBreaker may be called by it. Call waits for these,
// whatever ctx says; they must not wait for the caller, as for a lock that it holds, nor make calls with c.
func Call[In, Out any](ctx context.Context, c *Client, name string, in In, opts ...CallOption) (Out, error) {
	v := &struct { // one object
		in  In
		out Out
	}{in: in}
	if err := c.call(ctx, name, &v.in, &v.out, opts); err != nil {
		return *new(Out), &asked{"call", name, err}
	}
	return v.out, nil
}

func (c *Client) call(ctx context.Context, name string, in, out any, opts []CallOption) error {
	q, err := c.ask(ctx, name, in, opts)
	if err != nil {
		return err
	}
	c.prepare(q)
	var fate error // of the last attempt that was sent
	for {
		sent := len(q.asked)
		err := c.attempt(ctx, q, q.line)
		if err == nil && c.waitsLater(q) {
			q.answer, err = c.await(ctx, q, nil)
		}
		if err == nil {
			return c.answered(q, out)
		}
		if len(q.asked) > sent || fate == nil {
			fate = err
		}
		if !c.again(ctx, q, err) {
			return fate
		}
	}
}

// attempt makes a request, and has line send it and wait, within the middleware.
func (c *Client) attempt(ctx context.Context, q *question, line wire.Line) error {
	q.attempt++
	q.tag, q.sent, q.answer = c.tags.Add(1), false, nil
	complete := func(e *codec.Envelope) {
		for _, change := range q.policy.changes {
			change.Change(e)
		}
		q.address(ctx, e)
	}
	room := q.room[:0]
	if c.sealer.Around != nil { // it may keep what it sees
		room = make([]codec.Header, 0, len(q.room))
	}
	e := codec.Envelope{ID: q.id, Headers: valueHeader(room, c.conf.Schemas, q.in)}
	return c.sealer.Seal(ctx, "", &e, q.in, []patterns.SendOption{complete}, c.afresh(q, line))
}

// afresh has what a middleware sends say how much time is left when it is sent, and which attempt it is if it was sent before: a tag names one.
func (c *Client) afresh(q *question, line wire.Line) wire.Line {
	if c.sealer.Around == nil {
		return line
	}
	return func(ctx context.Context, o *patterns.Outgoing, _ []byte) error {
		if q.sent {
			q.attempt++
			q.tag = c.tags.Add(1)
		}
		q.sent = true
		q.address(ctx, o.Envelope)
		frame, err := o.Envelope.Append(nil)
		if err != nil {
			return err
		}
		return line(ctx, o, frame)
	}
}

// waitsLater reports whether nobody needs the request any more once it is sent: the memory in which it was made is then another's while q waits.
func (c *Client) waitsLater(q *question) bool { return c.sealer.Around == nil && q.hedges() == 0 }

// await waits for the answer to the request e; if that is late it asks others as well.
func (c *Client) await(ctx context.Context, q *question, e *codec.Envelope) (*pending, error) {
	verdict := errNeutral
	defer func() { c.forget(q, verdict) }()
	giveUp, askOthers, first := q.due()
	c.lead(ctx, q, first)
	var late, hedge <-chan time.Time
	if len(q.done) == 0 {
		late, hedge = reached(giveUp), reached(askOthers)
	}
	hedges := q.hedges()
	for waiting := 1; ; {
		select {
		case r := <-q.done:
			q.heard(r.of)
			if waiting--; r.err == nil || waiting == 0 || !repeatable(r.err, true) {
				return r.of, r.err
			} // else another may still answer
		case <-hedge:
			hedge = nil
			if c.hedge(ctx, q, e) {
				waiting++
				if hedges--; hedges > 0 {
					hedge = time.After(q.policy.hedgeAfter)
				}
			}
		case <-late:
			verdict = c.calls.breaker.verdict(socket.ErrTimeout)
			return nil, fmt.Errorf("%w: no answer within %v", socket.ErrTimeout, q.policy.patience)
		case <-ctx.Done():
			err := expired(ctx)
			verdict = c.calls.breaker.verdict(err)
			return nil, err
		}
	}
}

// reached returns a channel that takes something at that time, nil for zero.
func reached(t time.Time) <-chan time.Time {
	if t.IsZero() {
		return nil
	}
	return time.After(time.Until(t))
}

// hedge asks another instance as well, if there is one and the budget allows it.
func (c *Client) hedge(ctx context.Context, q *question, e *codec.Envelope) bool {
	if !c.afford() {
		return false
	}
	q.attempt++
	err := c.another(ctx, q, e)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		q.attempt--
		c.budget.tokens++
		return false
	}
	c.hedges++
	return true
}

// another sends the request that e is to an instance that was not asked.
func (c *Client) another(ctx context.Context, q *question, e *codec.Envelope) error {
	q.tag = c.tags.Add(1)
	q.address(ctx, e)
	frame, err := e.Append(nil)
	if err != nil {
		return err
	}
	return c.try(ctx, q, e, frame, true)
}

// repeatable reports whether a request may be sent again after err.
func repeatable(err error, idempotent bool) bool {
	if answer, ok := errors.AsType[*Error](err); ok {
		return answer.Retryable || answer.RetryAfter > 0 || answer.Code == CodeUnavailable || idempotent && answer.Code == CodeDeadline
	}
	return idempotent && (errors.Is(err, socket.ErrPeerGone) || errors.Is(err, socket.ErrTimeout))
}

// again reports whether to make another attempt, and waits until it is time for it.
func (c *Client) again(ctx context.Context, q *question, err error) bool {
	p := q.policy
	if p.retries == 0 || q.retried >= p.retries || ctx.Err() != nil {
		return false
	}
	nobody := len(q.asked) > 0 && (errors.Is(err, socket.ErrNoPeer) || errors.Is(err, ErrOpen))
	if !nobody && !repeatable(err, p.idempotent) {
		return false
	}
	q.retried++
	pause := p.backoff(q.retried)
	if answer, ok := errors.AsType[*Error](err); ok && answer.RetryAfter > 0 {
		pause += answer.RetryAfter
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
		return false // it would end while waiting
	}
	if !c.afford() {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	case <-c.ending:
		return false
	}
	c.mu.Lock()
	c.retries++
	c.mu.Unlock()
	return true
}

// afford takes one more attempt out of the budget.
func (c *Client) afford() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.budget.spend(time.Now()) {
		return true
	}
	c.withheld++
	return false
}

// try sends the request to an instance that the book chooses: another than those asked before if there is one, and no other if only
// others will do. While it returns nil, the request is in flight.
func (c *Client) try(ctx context.Context, q *question, e *codec.Envelope, frame []byte, others bool) error {
	q.id = e.ID
	for {
		p := &q.first
		if p.at != nil { // it was needed before
			p = new(pending)
		}
		p.tag, p.done, p.flow = q.tag, q.done, q.flow
		at, err := c.assign(ctx, q, p, others)
		if err != nil {
			return err
		}
		if err = c.send(ctx, q, p, frame); err == nil || !errors.Is(err, socket.ErrNoPeer) {
			return err
		}
		c.avoid(at) // it has just left: to another
	}
}

// send sends a request to the instance that it is assigned to, or takes it out of the book again.
func (c *Client) send(ctx context.Context, q *question, p *pending, frame []byte) error {
	err := c.Router.Send(ctx, p.at.id, frame)
	if err != nil {
		c.drop(q, p)
		return err
	}
	q.asked, q.open = append(q.asked, p.at), append(q.open, p)
	return nil
}

// expired returns why ctx ended.
func expired(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return socket.ErrTimeout
	}
	return ctx.Err()
}
