package spool

import "context"

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
