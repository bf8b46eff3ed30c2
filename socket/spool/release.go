package spool

import (
	"context"
	"fmt"
)

// Release returns when the segments that nobody needs are gone, rather than some time later: for tools that make
// room and close the log. The dead letters, if they are open, are seen to as well. What the disk refuses stays.
func (l *Log) Release(ctx context.Context) error {
	if err := l.tend(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	dead := l.dead
	l.mu.Unlock()
	if dead != nil {
		return dead.log.Release(ctx)
	}
	return nil
}

// Trim lets all messages go that a Topic keeps, whatever its retention, as Release does with what that does not want. It is ErrFull where the disk has no room
// for the segment to go on in: the messages of the last one are then there still. So they are where others append meanwhile.
func (l *Log) Trim(ctx context.Context) error {
	l.mu.Lock()
	if l.options.Kind.queues() {
		l.mu.Unlock()
		return fmt.Errorf("trim a queue: %w", ErrKind)
	}
	l.trimmed = l.next - 1
	l.mu.Unlock()
	if err := l.leave(ctx); err != nil {
		return err
	}
	return l.Release(ctx)
}

// leave goes on in another segment if the active one has messages that are to go.
func (l *Log) leave(ctx context.Context) error {
	if err := l.tend(ctx); err != nil { // what goes at once makes room for that segment
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.takeBaton(); l.errLocked() == nil && l.active().header.base <= l.trimmed; l.takeBaton() {
		switch {
		case l.turn != nil || l.turnLocked(0):
			l.commitLocked(commitPolicy)
		case l.full != nil:
			l.want = 0
			return fmt.Errorf("%w (%w)", ErrFull, l.full)
		default:
			poke(l.keep)
			if err := l.sleep(ctx, awaited(&l.roomy)); err != nil {
				return err
			}
		}
	}
	return l.errLocked()
}

// tend returns when the keeper has been round.
func (l *Log) tend(ctx context.Context) error {
	for range 2 { // a round may be on its way that does not know yet
		l.mu.Lock()
		if err := l.errLocked(); err != nil {
			l.mu.Unlock()
			return err
		}
		done := awaited(&l.tended)
		l.mu.Unlock()
		poke(l.keep)
		select {
		case <-done:
		case <-l.stop:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
