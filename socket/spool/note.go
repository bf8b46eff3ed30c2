package spool

import "context"

// noteLocked returns when fewer messages than maxUnnoted of those that p has acknowledged by now are in no file, or nothing can be written: the log is closed or has
// failed, or the disk has no room for it. It waits for who writes, and writes itself where nobody does. l.mu is held, and given up for that.
func (l *Log) noteLocked(p *position) {
	for acked := p.news; p.notedBy(l.noted)+maxUnnoted <= acked && l.errLocked() == nil; {
		switch {
		case l.busy:
			_ = l.sleep(context.Background(), awaited(&l.current))
		case l.stuck && l.full != nil:
			return
		default:
			mode := commitNote
			if l.queued > 0 { // messages that may be read when they are as safe as the policy says
				mode = commitPolicy
			}
			if l.commitLocked(mode); l.stuck { // until the keeper has made what room can be made
				l.mu.Unlock()
				_ = l.tend(context.Background())
				l.mu.Lock()
			}
		}
	}
}

// notedBy returns how many of those in news were in a file when the changes up to an epoch were, the last or the one before.
func (p *position) notedBy(epoch uint64) uint64 {
	if p.settledAt <= epoch {
		return p.settled
	}
	return p.before
}
