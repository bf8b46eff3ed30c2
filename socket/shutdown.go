package socket

import (
	"context"
	"errors"
	"fmt"
)

// Close closes the socket. Messages that were sent are still written, and what is written is left to the peers to take, for the linger period at most;
// those left then are dropped and counted, and the error says how many; what peers had not taken is in Stats.Untaken. Blocked calls return ErrClosed; Recv first returns
// what had arrived. When Close returns, every goroutine of the socket has ended and the
// addresses it was bound to are free. Closing again does nothing.
func (c *core) Close() error {
	if c.pat == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.linger)
	defer cancel()
	return c.shutdown(ctx, "close")
}

// Shutdown is Close with the caller's limit in place of the linger period. It returns nil when all
// messages went out and the systems of the peers have taken them, also of peers that are behind with reading; else an error
// that says how much was left, and wraps the context's. A peer that is there gets 1.5 seconds beyond the limit. With WithAck or WithSpool receivers whose connection ends
// meanwhile may come back, so addresses stay bound until all is settled. While
// another Shutdown or Close is under way it waits for that one, which the limit that strikes first ends, and says as well what was left.
func (c *core) Shutdown(ctx context.Context) error {
	if c.pat == nil {
		return nil
	}
	return c.shutdown(ctx, "shutdown")
}

func (c *core) shutdown(ctx context.Context, op string) error {
	c.mu.Lock()
	first := !c.ending
	c.ending = true
	listeners := c.listeners
	if first {
		c.listeners = map[string]*listener{}
	}
	c.mu.Unlock()
	if !first {
		return c.awaitClosed(ctx, op)
	}
	if keeps := c.sure != nil || c.spooler != nil; !keeps { // else receivers that have lost their connection are to come back for what is kept
		c.stopListening(listeners)
		listeners = nil
	}
	c.pat.stopSending(ErrClosed)
	c.cause = c.drain(ctx, op != "close")
	c.stopListening(listeners)
	c.end(ctx)
	return c.unsent(op, c.cause)
}

// stopListening has no more connections come in.
func (c *core) stopListening(listeners map[string]*listener) {
	c.mu.Lock()
	c.complete = true
	c.mu.Unlock()
	for _, l := range listeners {
		l.stop()
	}
}

// awaitClosed waits for the end of a shutdown that another call began.
func (c *core) awaitClosed(ctx context.Context, op string) error {
	select {
	case <-c.closed:
		return nil
	default:
	}
	select {
	case <-c.closed:
		return c.unsent(op, c.cause)
	case <-ctx.Done():
		c.hurry()
		<-c.closed
		return c.unsent(op, ctx.Err())
	}
}

// drain waits until every queue is empty. It returns what ended the wait before that. Who is patient waits for peers to come for what is in the
// spool, too, though that is safe there.
func (c *core) drain(ctx context.Context, patient bool) error {
	if c.spooler != nil {
		return c.spooler.drain(ctx, patient)
	}
	for {
		left, stuck := c.undone()
		switch {
		case left == 0 && stuck > 0:
			return errGaveUp
		case left == 0:
			return nil
		}
		select {
		case <-c.drained:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.hurried.Done():
			return c.hurried.Err()
		}
	}
}

// undone returns how many messages are not sent, or not settled, and how many of them wait for connections that were given up.
func (c *core) undone() (left, stuck int) {
	if c.sure != nil {
		return c.sure.unsettled(), 0
	}
	for _, p := range c.allPipes() {
		p.out.Watch()
		msgs, _ := p.out.Outstanding()
		if p.durable.Load() != nil {
			msgs = 0 // the log has them
		}
		if p.dialer != nil && p.dialer.idle.Load() {
			stuck += msgs
		} else {
			left += msgs
		}
	}
	return left, stuck
}

// unsent returns the error of a shutdown that was cut short, if messages were lost by that.
func (c *core) unsent(op string, cause error) error {
	if c.spooler != nil {
		return c.spooler.kept(op, cause)
	}
	if c.archive != nil && c.archive.closeErr != nil {
		return &Error{Op: op, Err: errors.Join(c.archive.closeErr, cause)}
	}
	left := c.drops[DropClosed].Load()
	if left == 0 || cause == nil {
		return c.notTaken(op)
	}
	what := "sent"
	if c.sure != nil {
		what = "acknowledged"
	}
	return &Error{Op: op, Err: &blocked{fmt.Errorf("%d messages were not %s", left, what), cause}}
}

// notTaken returns the error of a shutdown that sent everything, to peers that were too far behind with reading.
func (c *core) notTaken(op string) error {
	if n := c.cutOff.Load(); n > 0 {
		return &Error{Op: op, Err: &blocked{fmt.Errorf("%d bytes were sent that peers have not taken", n), context.DeadlineExceeded}}
	}
	return nil
}

// end hangs up on all peers, then ends all goroutines. Each pipe drops and counts what it has left.
func (c *core) end(ctx context.Context) {
	if c.spooler != nil {
		c.spooler.courier.halt()
	}
	if c.archive != nil {
		c.archive.halt()
	}
	c.cancel()
	pipes := c.allPipes()
	for _, p := range pipes {
		p.hangUp(ctx.Err() == nil && c.hurried.Err() == nil)
	}
	c.part(ctx, pipes)
	for _, p := range c.allPipes() {
		p.kill(ErrClosed)
	}
	c.wg.Wait()
	if c.spooler != nil {
		c.spooler.close()
	}
	if c.archive != nil {
		c.archive.close()
	}
	if c.sure != nil {
		c.sure.close()
	}
	c.hurry()
	c.pat.stopReceiving(ErrClosed)
	c.hub.close()
	close(c.closed)
}
