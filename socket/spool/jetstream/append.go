package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meshmq/meshmq/socket/spool"
)

// Append publishes a message behind all others and returns its number when the servers have confirmed it: with replicas, when most of them
// have it. The frames are copied. While the servers cannot be reached it waits for them. When ctx ends first the error is that of ctx; a
// number above 0 with it means that the message has its place and will be published unless the spool fails, its process
// ends or the servers come to take less than it has, which Wait and Flush tell. Other errors: spool.ErrFull, ErrTooLarge (also for more frames than a header has room for: their lengths, as text, may take 60 KiB), ErrClosed, ErrFailed; the message is then not in the spool, or, after
// ErrFailed and an ErrTooLarge that says so, possibly.
func (s *Spool) Append(ctx context.Context, frames ...[]byte) (uint64, error) {
	return s.append(ctx, pack(frames))
}

func (s *Spool) append(ctx context.Context, m *nats.Msg) (uint64, error) {
	e, err := s.enqueue(ctx, m, false)
	if err != nil {
		return 0, err
	}
	if err := receive(ctx, e.done); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		select {
		case <-e.done:
		default:
			e.kept = true
			return e.number, err
		}
	}
	if e.err != nil && !errors.Is(e.err, spool.ErrFailed) {
		return 0, e.err
	}
	return e.number, e.err
}

// Enqueue is Append without the wait: it returns the number as soon as the message has its place. It blocks while Options.Window messages, or
// 8 MiB, wait for the servers.
func (s *Spool) Enqueue(ctx context.Context, frames ...[]byte) (uint64, error) {
	e, err := s.enqueue(ctx, pack(frames), true)
	if err != nil {
		return 0, err
	}
	return e.number, nil
}

// Wait returns nil when message n is confirmed, or why it is not: spool.ErrTooLarge for one that the servers took when it was given to the spool, and no more when it was their turn,
// because max_payload had become less meanwhile. Waiting for a number that was never returned is spool.ErrNumber.
func (s *Spool) Wait(ctx context.Context, n uint64) error {
	if n == 0 { // which comes with an error
		return fmt.Errorf("wait for 0: %w", spool.ErrNumber)
	}
	s.mu.Lock()
	safe, void := s.safe.Load(), s.voids[n]
	switch {
	case n <= safe || void != nil:
		s.mu.Unlock()
		return void
	case s.failed != nil:
		s.mu.Unlock()
		return s.failed
	case n > safe+uint64(len(s.queue)):
		s.mu.Unlock()
		return fmt.Errorf("wait for %d: %w", n, spool.ErrNumber)
	}
	e := s.queue[n-safe-1]
	s.mu.Unlock()
	if err := receive(ctx, e.done); err != nil {
		return err
	}
	return e.err
}

// Flush returns nil when all messages and acknowledgements given to the spool before the call are confirmed. It tells once of those that have become spool.ErrTooLarge, see Wait, when it has
// waited for all others.
func (s *Spool) Flush(ctx context.Context) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.flush(ctx)
}

// Sync is Flush that tells nothing of messages that have become too large, which is left for Flush to tell: it is for who waits for something else, such as a socket whose user calls Flush.
func (s *Spool) Sync(ctx context.Context) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.sync(ctx)
}

func (s *Spool) flush(ctx context.Context) error {
	if err := s.sync(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	untold := s.untold
	s.untold = nil
	return errors.Join(untold...)
}

func (s *Spool) sync(ctx context.Context) error {
	last := s.State().Next - 1
	for e, err := s.lastOf(last); e != nil || err != nil; e, err = s.lastOf(last) {
		if err == nil {
			err = receive(ctx, e.done)
		}
		if err == nil {
			err = e.err
		}
		if err != nil && !errors.Is(err, spool.ErrTooLarge) { // of that those before it know nothing
			return err
		}
	}
	return s.flushPositions(ctx)
}

// lastOf returns the last of the messages up to n for which there is something to wait, nil if all are confirmed.
func (s *Spool) lastOf(n uint64) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left > 0 && n > s.safe.Load() {
		return nil, s.failed
	}
	for _, e := range slices.Backward(s.queue) {
		if e.number <= n && !e.void {
			e.kept = true
			return e, nil
		}
	}
	return nil, nil
}

// enqueue gives a message its place and has it published.
func (s *Spool) enqueue(ctx context.Context, m *nats.Msg, kept bool) (*entry, error) {
	m.Subject = s.subject
	lengths := len(m.Header.Get(headerFrames))
	size := len(m.Data) + lengths
	if most := int(s.takes.Load()); size > most {
		return nil, tooLarge(size, most)
	}
	if lengths > maxHeader-headerRoom {
		return nil, fmt.Errorf("message of so many frames that their lengths take %d bytes, more than %d: %w", lengths, maxHeader-headerRoom, spool.ErrTooLarge)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admit(ctx, size); err != nil {
		return nil, err
	}
	s.serial++
	e := &entry{msg: m, number: s.nextLocked(), size: size, kept: kept, done: make(chan struct{})}
	e.id = fmt.Sprintf("%s.%d.%d", s.id, s.incarnation, s.serial)
	m.Header.Set(jetstream.MsgIDHeader, e.id)
	m.Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(e.number-1, 10))
	s.queue = append(s.queue, e)
	s.bytes += size
	poke(s.kick)
	return e, nil
}

// admit waits until a message of size bytes has room in the queue. s.mu is held but for the wait.
func (s *Spool) admit(ctx context.Context, size int) error {
	for {
		if err := s.errLocked(); err != nil {
			return err
		}
		if len(s.queue) == 0 {
			return nil // so that a full stream is asked again
		}
		if s.full != nil && s.options.Full == spool.Reject {
			return fmt.Errorf("%w (%w)", spool.ErrFull, s.full)
		}
		if len(s.queue) < s.options.Window && s.bytes+size <= maxWindowBytes {
			return nil
		}
		roomy := awaited(&s.roomy)
		s.mu.Unlock()
		err := receive(ctx, roomy)
		s.mu.Lock()
		if err != nil {
			return err
		}
	}
}

// confirm takes messages up to n out of the queue: the servers have them.
func (s *Spool) confirm(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if empty := s.emptyLocked(n); len(empty) > 0 {
		s.mu.Unlock()
		s.skip(empty)
		s.mu.Lock()
	}
	safe := s.safe.Load()
	if n <= safe || n > safe+uint64(len(s.queue)) {
		return
	}
	s.safe.Store(n) // first: who has appended may look for it at once
	k := int(n - safe)
	for i, e := range s.queue[:k] {
		s.bytes -= e.size
		e.end(nil)
		s.queue[i] = nil
	}
	s.queue = s.queue[k:]
	s.sent = max(s.sent-k, 0)
	s.full = nil
	notify(&s.roomy)
	notify(&s.grown)
}

// withdrawLocked refuses the last messages of the queue for which nobody has been told a number, if it is certain that no server has them.
func (s *Spool) withdrawLocked() {
	if s.full == nil || s.options.Full != spool.Reject {
		return
	}
	for _, e := range s.queue[:s.sent] {
		if e.tries > 1 || e.refused != s.round+1 {
			return
		}
	}
	for len(s.queue) > 0 {
		last := len(s.queue) - 1
		e := s.queue[last]
		if e.kept || e.tries > 1 {
			break
		}
		e.end(fmt.Errorf("%w (%w)", spool.ErrFull, s.full))
		s.bytes -= e.size
		s.queue[last], s.queue = nil, s.queue[:last]
	}
	notify(&s.roomy)
}
