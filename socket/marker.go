package socket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meshmq/meshmq/socket/spool"
)

// markRetry is the pause after marks could not be written: as often as the log itself looks for room.
const markRetry = time.Second

// markedTogether is how many acknowledgements have the marker begin: what a SIGKILL has come again is about that, and what one sync gathers. With fewer, where the disk takes no
// time at all, as with spool.OS, marking costs more than twice as much; where it takes half a millisecond they come together anyway.
const markedTogether = 256

// run is the marker: it ends with core.ctx, and core.wg waits for it.
func (q *once) run() {
	defer q.r.c.wg.Done()
	ctx := q.r.c.ctx
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
		for q.flush(ctx) != nil { // nil once the window has failed
			select {
			case <-ctx.Done():
				return
			case <-time.After(markRetry):
			}
		}
	}
}

// ackLocked takes the application's acknowledgement of a flight.
func (q *once) ackLocked(f *flight) {
	if f.state != handling || q.stopped {
		return
	}
	f.state = handled
	q.handled = append(q.handled, f)
	q.size += int(f.owner.size)
	if a := &q.r.acks; q.r.c.cfg.ackDelay == 0 || len(q.handled) >= min(markedTogether, a.messages/2) || q.size >= a.bytes/2 { // as ack.Receiver.Due
		signal(q.wake)
	} else {
		q.r.armLocked()
	}
}

// lateLocked returns the error of op on a message that is being handled, where an acknowledgement cannot be marked any more.
func (q *once) lateLocked(f *flight, op string) error {
	switch {
	case q.failed != nil:
		return &Error{Op: op, Peer: f.owner.peer.address, Err: q.failed}
	case q.stopped:
		return &Error{Op: op, Peer: f.owner.peer.address, Err: ErrClosed}
	}
	return nil
}

// flush marks what is handled, and then acknowledges it. It returns why that is to be tried again.
func (q *once) flush(ctx context.Context) error {
	q.marking.Lock()
	defer q.marking.Unlock()
	r := q.r
	r.mu.Lock()
	batch := q.handled
	q.handled, q.size = nil, 0
	failed := q.failed
	r.mu.Unlock()
	if failed != nil || len(batch) == 0 {
		return nil
	}
	q.marks = q.marks[:0]
	for _, f := range batch {
		q.marks = append(q.marks, f.mark)
	}
	err := q.window.Mark(ctx, q.marks...)
	clear(q.marks)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		return q.troubleLocked(batch, err)
	}
	q.troubled = false
	for _, f := range batch {
		o := f.owner
		q.endLocked(f)
		r.settleLocked(o)
	}
	r.tellLocked(nil)
	return nil
}

// troubleLocked puts back what could not be marked, and returns why.
func (q *once) troubleLocked(batch []*flight, err error) error {
	q.handled = append(batch, q.handled...)
	first := !q.troubled
	q.troubled = true
	if q.r.c.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, spool.ErrFailed) || errors.Is(err, spool.ErrClosed) {
		err = fmt.Errorf("%w: %w", ErrWindow, err)
		q.failed, first = err, true
		q.r.rouseLocked()
	}
	if first {
		q.r.c.hub.emit(Event{Kind: WindowTrouble, Err: fmt.Errorf("%d messages: %w", len(batch), err)})
	}
	return err
}

// settle marks and acknowledges what is handled, in the time that a peer is given when we hang up.
func (q *once) settle() {
	ctx, cancel := context.WithTimeout(context.Background(), hangUpLimit)
	defer cancel()
	_ = q.flush(ctx) // what it could not mark is not acknowledged, and there was an event
}

// stop marks what is left, and closes the window. Nothing is acknowledged any more.
func (q *once) stop() {
	q.settle()
	q.r.mu.Lock()
	q.stopped, q.ready = true, nil
	q.r.mu.Unlock()
	if q.close != nil {
		_ = q.close() // what was marked is on disk
	}
}
