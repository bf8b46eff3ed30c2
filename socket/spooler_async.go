package socket

import "context"

// Enqueue is Send without the wait for the disk, for one goroutine at full speed: it returns as soon as the message has its place in the spool, with its
// number there, from 1. WaitSpooled or Flush say when it is safe. It blocks for room only, and is for sockets with a spool (ErrState).
func (s *spooler) Enqueue(ctx context.Context, frames ...[]byte) (number uint64, err error) {
	const op = "enqueue"
	if err := s.ready(op); err != nil {
		return 0, err
	}
	size, err := s.c.sizeOf(frames)
	if err != nil {
		return 0, err
	}
	n, err := s.spool.Enqueue(ctx, frames...)
	s.accept(n, size)
	return n, failure(op, n, err)
}

// WaitSpooled returns nil when the message that Enqueue gave this number to is as safe as the spool's policy says.
func (s *spooler) WaitSpooled(ctx context.Context, number uint64) error {
	const op = "wait for the spool"
	if err := s.ready(op); err != nil {
		return err
	}
	return failure(op, number, s.spool.Wait(ctx, number))
}

// Flush returns nil when all messages that Send and Enqueue were given before the call are on disk, whatever the spool's policy. It does not wait for
// peers. It is for sockets with a spool (ErrState).
func (s *spooler) Flush(ctx context.Context) error {
	const op = "flush"
	if err := s.ready(op); err != nil {
		return err
	}
	return failure(op, 1, s.spool.Flush(ctx))
}

// stats fills in what there is to say about the spool.
func (s *spooler) stats(into *Stats) {
	state, counts := s.spool.State(), s.courier.counted()
	_, flying := s.courier.members()
	_, pending := s.from.Position()
	into.MessagesOut, into.BytesOut = s.msgs.Load(), s.bytes.Load()
	into.Spool = &SpoolStats{
		Messages: pending, Bytes: state.Bytes, Next: state.Next, InFlight: flying,
		Delivered: counts.delivered, Redelivered: counts.redelivered, Settled: counts.settled, Failed: counts.failed, DeadLettered: counts.buried,
		Full: state.Full, Broken: state.Failed,
	}
	if pending > 0 {
		r := s.from.Reader(0)
		if rec, err := r.TryNext(); err == nil { // else it is lost, or not on disk yet
			into.Spool.Oldest = rec.Time
		}
		_ = r.Close()
	}
}
