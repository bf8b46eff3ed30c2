package reqrep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/wire"
)

// question is a call from its first attempt to its end. It belongs to the goroutine that calls.
type question struct {
	name    string
	in      any
	policy  *policy
	id      codec.ID // of all attempts; zero before the first
	attempt int      // the last one begun
	retried int
	tag     uint64      // of the attempt
	asked   []*instance // by attempts
	open    []*pending  // attempts that are in the book
	done    chan result
	flow    *inflow // of a stream, else nil

	first  pending // what most calls need, so that it comes with the question
	place  [1]*instance
	single [1]*pending
	room   [4]codec.Header
	window string
	plain  bool // one attempt, however long it takes
	sent   bool // the attempt was, by a middleware

	line   wire.Line // of a call
	answer *pending  // the attempt that got it; nil if none did
}

// errUnanswered is what a call fails with if a middleware ends it with neither an answer nor an error.
var errUnanswered = errors.New("a send middleware returned no error, but there is no answer")

// ask returns a question, unless it can be seen that it cannot be asked.
func (c *Client) ask(ctx context.Context, name string, in any, opts []CallOption) (*question, error) {
	switch {
	case c.err != nil:
		return nil, c.err
	case name == "" || len(name) > codec.MaxName:
		return nil, fmt.Errorf("%w: want a name of 1 to %d bytes", errMalformed, codec.MaxName)
	case name[0] == reserved[0] && name != PingMethod && name != InfoMethod && name != StatsMethod:
		return nil, fmt.Errorf("%w: want a name that does not begin with %s, or that of a method that every service has", errMalformed, reserved)
	case ctx.Err() != nil:
		return nil, expired(ctx)
	}
	q := c.spare.Swap(nil)
	if q == nil {
		q = new(question)
	}
	q.name, q.in, q.policy = name, in, &c.calls.policy
	q.asked, q.open = q.place[:0], q.single[:0]
	if len(opts) > 0 {
		changed, err := c.calls.policy.with(opts)
		if err != nil {
			return nil, err
		}
		q.policy = &changed
	}
	return q, nil
}

// prepare makes what a question needs to be a call, unless it was one before.
func (c *Client) prepare(q *question) {
	if hedges := q.hedges(); cap(q.done) != 1+hedges {
		q.done = make(chan result, 1+hedges)
	}
	if q.line == nil {
		q.line = func(ctx context.Context, o *patterns.Outgoing, frame []byte) (err error) {
			if err = c.try(ctx, q, o.Envelope, frame, false); err != nil || c.waitsLater(q) {
				return err
			}
			p, err := c.await(ctx, q, o.Envelope)
			if err == nil {
				q.answer, o.Reply = p, &p.reply
			}
			return err
		}
	}
}

// answered reads the answer to q, which is out of the book, into out. What nobody else can have serves others: the memory of the answer for what is received next,
// and q for the next call.
func (c *Client) answered(q *question, out any) error {
	p := q.answer
	if p == nil {
		return errUnanswered
	}
	err := c.decode(&p.reply, out)
	if c.sealer.Around != nil {
		return err
	}
	var body []byte
	if c.conf.Schemas == nil { // a Codec keeps nothing of what it reads
		body = q.first.body
		p.m.Release()
	}
	if cap(q.done) == 1 && len(q.done) == 0 {
		*q = question{done: q.done, line: q.line, first: pending{body: body}}
		c.spare.Store(q)
	}
	return err
}

// heard notes that an attempt is over, and out of the book.
func (q *question) heard(p *pending) {
	if i := slices.Index(q.open, p); i >= 0 {
		q.open = slices.Delete(q.open, i, i+1)
	}
}

func (q *question) hedges() int {
	if !q.policy.idempotent {
		return 0
	}
	return q.policy.hedges
}

// due returns when an attempt that begins now is given up, and when others are asked as well, and the first of these: zero for never.
func (q *question) due() (giveUp, askOthers, first time.Time) {
	p := q.policy
	if !p.idempotent || p.patience == 0 && p.hedges == 0 {
		return
	}
	now := time.Now()
	if p.patience > 0 {
		giveUp = now.Add(p.patience)
		first = giveUp
	}
	if p.hedges > 0 {
		askOthers = now.Add(p.hedgeAfter)
		if p.patience == 0 || askOthers.Before(giveUp) {
			first = askOthers
		}
	}
	return giveUp, askOthers, first
}

// address says what the service must know about the call.
func (q *question) address(ctx context.Context, e *codec.Envelope) {
	e.Type = q.name
	switch {
	case !q.id.IsZero():
		e.ID = q.id
	case e.ID.IsZero(): // the caller's, or a middleware's, and a reply needs one to refer to
		e.ID = codec.NewID()
	}
	e.SetHeader(headerCall, strconv.FormatUint(q.tag, 10))
	left, limited := q.policy.patience, q.policy.patience > 0 && q.policy.idempotent && !q.plain
	if deadline, ok := ctx.Deadline(); ok && (!limited || time.Until(deadline) < left) {
		left, limited = time.Until(deadline), true
	}
	if limited {
		e.SetHeader(headerTimeout, formatTimeout(left))
	}
	if q.attempt > 1 {
		e.SetHeader(headerAttempt, strconv.Itoa(q.attempt))
	}
	if q.window != "" {
		e.SetHeader(headerWindow, q.window)
	}
}
