package socket

import "context"

// Enqueue is Send without the wait for the disk, for one goroutine at full speed: it returns as soon as the message has its place in the log, with its
// number there, from 1, and has been given to the subscribers that are connected, who may so have what the loss of power takes from the log. WaitSpooled or
// Flush say when it is safe. It blocks for room only, and is for sockets with WithSpool (ErrState).
func (a *archive) Enqueue(ctx context.Context, frames ...[]byte) (number uint64, err error) {
	number, err = a.in.Enqueue(ctx, frames...)
	if err == nil {
		err = a.out.spread(ctx, frames, nil, Msg{Frames: frames}.Size())
	}
	return number, err
}

// WaitSpooled returns nil when the message that Enqueue gave this number to is as safe as the log's policy says.
func (a *archive) WaitSpooled(ctx context.Context, number uint64) error {
	return a.in.WaitSpooled(ctx, number)
}

// Flush returns nil when all messages that Send was given before the call are on disk, whatever the spool's policy. It does not wait for peers. It is for
// sockets with WithSpool (ErrState).
func (a *archive) Flush(ctx context.Context) error { return a.in.Flush(ctx) }

// WaitAcked blocks until the members of durable subscriptions that are connected have acknowledged all that was published before the call, or it was given up, or
// they have gone: names without members get it when they have some. Subscribers that have no durable subscription count for nothing. It is for sockets with WithSpool
// (ErrState), and ends with ctx, ErrTimeout when that is its deadline, with Close (ErrClosed), and when the log fails (spool.ErrFailed).
func (a *archive) WaitAcked(ctx context.Context) error {
	const op = "wait for acknowledgements"
	if err := a.in.ready(op); err != nil {
		return err
	}
	for last := a.in.spool.State().Next - 1; ; {
		more := a.settlements.await()
		if !a.behind(last) {
			return nil
		}
		if err := a.in.broken(); err != nil {
			return &Error{Op: op, Err: err}
		}
		select {
		case <-more:
		case <-a.ctx.Done():
			return &Error{Op: op, Err: ErrClosed}
		case <-ctx.Done():
			return &Error{Op: op, Err: &blocked{nil, ctx.Err()}}
		}
	}
}

// behind reports whether members have yet to settle a message up to last. That messages are lost they need not confirm: that may take until there are others.
func (a *archive) behind(last uint64) bool {
	for _, p := range a.c.allPipes() {
		if d := p.durable.Load(); d != nil && p.live.Load() && d.coming() {
			return true
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.groups {
		if members, _ := g.courier.members(); members == 0 {
			continue
		}
		if floor, pending := g.from.Position(); floor < last && pending > g.courier.lacking() {
			return true
		}
	}
	return false
}

// lacking returns how many messages members were told are lost, and did not confirm.
func (c *courier) lacking() (n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.losses {
		n += l.gap.To - l.gap.From + 1
	}
	return n
}

// coming reports whether a peer has topics and does not take part yet: it is about to say for which subscription it is, or has just said.
func (d *subscribed) coming() bool {
	d.lookMu.Lock()
	defer d.lookMu.Unlock()
	return d.many > 0 && !d.joined && !d.gone
}
