package spool

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// Append puts a message into the log and returns its number when it is as safe as Options.Policy says; with
// Always that is: on disk. The frames are copied. It blocks for that, and for room with Block. When ctx ends
// first the error is that of ctx, and ErrFull with the reason if that is what it waited for; a number above 0 with it means that the message has its place in the log and
// will become safe unless the log fails. Other errors: ErrFull, ErrTooLarge, ErrFailed, ErrClosed; the message is
// then not in the log, or, after ErrFailed, possibly.
func (l *Log) Append(ctx context.Context, frames ...[]byte) (uint64, error) {
	l.mu.Lock()
	n, err := l.enqueueLocked(ctx, frames)
	if err != nil {
		l.mu.Unlock()
		return 0, err
	}
	l.callers++
	return n, l.await(ctx, n)
}

// Enqueue is Append without the wait: it returns the number as soon as the message has its place in the log. Wait or
// Flush say when it is safe. It blocks while more than 8 MiB wait for the disk, and for room with Block.
func (l *Log) Enqueue(ctx context.Context, frames ...[]byte) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.enqueueLocked(ctx, frames)
	if err == nil && !l.busy {
		poke(l.kick)
	}
	return n, err
}

// Wait returns nil when message n is as safe as the policy says, or why it is not. Waiting for a number that
// was never returned is ErrNumber, and so is 0, which comes with an error.
func (l *Log) Wait(ctx context.Context, n uint64) error {
	if n > 0 && l.safe.Load() >= n {
		return nil
	}
	l.mu.Lock()
	if n == 0 || n >= l.next {
		l.mu.Unlock()
		return fmt.Errorf("wait for %d: %w", n, ErrNumber)
	}
	return l.await(ctx, n)
}

// Flush returns nil when all messages and acknowledgements given to the log before the call are on disk,
// whatever the policy. It is ErrFull where the disk has no room for the acknowledgements and nothing can be let go.
func (l *Log) Flush(ctx context.Context) error {
	err := l.flush(ctx)
	if errors.Is(err, ErrFull) { // until the keeper has made what room can be made
		if late := l.tend(ctx); late != nil {
			return errors.Join(late, err)
		}
		err = l.flush(ctx)
	}
	return err
}

// flush is Flush with the room that there is.
func (l *Log) flush(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := l.next - 1; ; {
		if err := l.errLocked(); err != nil {
			return err
		}
		if !l.busy {
			if l.durable < n || l.dirtyLocked() {
				l.commitLocked(commitSync)
			}
			if l.failed == nil && l.stuck {
				return fmt.Errorf("acknowledgements: %w", ErrFull)
			}
			return l.failed
		}
		if err := l.sleep(ctx, awaited(&l.current)); err != nil {
			return err
		}
	}
}

// dirtyLocked reports whether acknowledgements are not on disk.
func (l *Log) dirtyLocked() bool { return l.state.dirty() || l.synced < l.off }

// await gives up l.mu and returns when message n is safe. Whoever finds nobody writing writes what is queued, for
// all. Those who are woken because they are done take no lock: there may be hundreds.
func (l *Log) await(ctx context.Context, n uint64) error {
	for l.safe.Load() < n {
		if err := l.failed; err != nil {
			l.mu.Unlock()
			return err
		}
		if !l.busy {
			l.commitLocked(commitPolicy)
			continue
		}
		ch := &l.forming
		if n <= l.taken {
			ch = &l.current
		}
		done := awaited(ch)
		l.mu.Unlock()
		if err := receive(ctx, done); err != nil || l.safe.Load() >= n {
			return err
		}
		l.mu.Lock()
	}
	l.mu.Unlock()
	return nil
}

// receive waits until ch is closed or ctx ends.
func receive(ctx context.Context, ch chan struct{}) error {
	done := ctx.Done()
	if done == nil { // half the price
		<-ch
		return nil
	}
	select {
	case <-ch:
		return nil
	case <-done:
		return ctx.Err()
	}
}

// enqueueLocked encodes a message behind those that wait to be written.
func (l *Log) enqueueLocked(ctx context.Context, frames [][]byte) (uint64, error) {
	kind := recordFrames
	if len(frames) == 1 {
		kind = recordMessage
	}
	return l.enqueueAsLocked(ctx, kind, frames)
}

// enqueueAsLocked is enqueueLocked for a kind of record; the first frame of recordReplayed is the place.
func (l *Log) enqueueAsLocked(ctx context.Context, kind recordKind, frames [][]byte) (uint64, error) {
	n, sum := 0, uint32(0)
	if kind == recordMessage {
		n, sum = len(frames[0]), crc32.Checksum(frames[0], castagnoli)
	} else {
		n, sum = measure(frames)
	}
	own := n
	if kind == recordReplayed {
		own = len(frames[1])
		if len(frames) > 2 {
			own, _ = measure(frames[1:])
		}
	}
	if own > l.options.MaxMessage {
		return 0, fmt.Errorf("message of %d bytes: %w: raise MaxMessage, which is %d", own, ErrTooLarge, l.options.MaxMessage)
	}
	size := recordSize(n)
	if err := l.admit(ctx, size); err != nil {
		return 0, err
	}
	b := slices.Grow(l.buf, int(size))
	b = appendRecordHeader(b, kind, l.next, l.tick(), n, sum)
	for _, f := range frames {
		if kind != recordMessage {
			b = binary.AppendUvarint(b, uint64(len(f)))
		}
		b = append(b, f...)
	}
	l.buf = append(b, padding[:-n&paddingMask]...)
	l.tail += size
	l.queued++
	l.next++
	return l.next - 1, nil
}

// measure returns the length and sum of a payload of several frames.
func measure(frames [][]byte) (n int, sum uint32) {
	var b [binary.MaxVarintLen64]byte
	for _, f := range frames {
		k := binary.PutUvarint(b[:], uint64(len(f)))
		sum = crc32.Update(sum, castagnoli, b[:k])
		sum = crc32.Update(sum, castagnoli, f)
		n += k + len(f)
	}
	return n, sum
}

// parse takes a message's payload apart; frames is room for its frames.
func (r *Record) parse(frames [][]byte, from record) error {
	if from.kind == recordMessage {
		r.Frames = append(frames, from.payload)
		return nil
	}
	d := decoder{b: from.payload}
	if from.kind == recordReplayed {
		at := decoder{b: d.bytes()}
		r.Origin, r.Incarnation = at.uvarint(), uint32(at.uvarint())
		if d.err = cmp.Or(d.err, at.err); d.err == nil && !isPlace(r.Origin) {
			d.err = errState
		}
	}
	for len(d.b) > 0 && d.err == nil {
		frames = append(frames, d.bytes())
	}
	r.Frames = frames
	return d.err
}

// admit waits until a record of size bytes has a place, and gives it to the caller.
func (l *Log) admit(ctx context.Context, size int64) error {
	for {
		if err := l.errLocked(); err != nil {
			return err
		}
		if len(l.buf) > 0 && int64(len(l.buf))+size > maxPending {
			if err := l.waitTurn(ctx); err != nil {
				return err
			}
			continue
		}
		if l.tail+size <= l.limit {
			return nil
		}
		if l.options.tooLarge(size) {
			return fmt.Errorf("message of %d bytes: %w: raise the quota, which is %d", size, ErrTooLarge, l.options.Quota)
		}
		if l.turn != nil { // one turn at a time
			if err := l.waitTurn(ctx); err != nil {
				return err
			}
			continue
		}
		if l.turnLocked(size) {
			continue
		}
		if l.full != nil && l.options.Full == Reject {
			l.want = 0
			return fmt.Errorf("%w (%w)", ErrFull, l.full)
		}
		if l.full == nil { // else the keeper tries again of itself
			poke(l.keep)
		}
		if err := l.sleep(ctx, awaited(&l.roomy)); err != nil {
			if l.full != nil {
				err = fmt.Errorf("%w: %w (%w)", err, ErrFull, l.full)
			}
			return err
		}
	}
}

// waitTurn waits until what is queued has been taken to be written.
func (l *Log) waitTurn(ctx context.Context) error {
	if !l.busy {
		l.commitLocked(commitPolicy)
		return nil
	}
	return l.sleep(ctx, awaited(&l.current))
}

// turnLocked lets the messages from here on go into the next segment, if there is one and a record of
// size bytes has room in it.
func (l *Log) turnLocked(size int64) bool {
	reserve := l.options.reserved()
	need := dataStart + l.opener + size + reserve
	if l.spare == nil || l.spare.size < need {
		l.want = need
		return false
	}
	l.turn, l.spare, l.want = l.spare, nil, 0
	l.cut, l.cutNext = len(l.buf), l.next
	l.tail, l.limit = dataStart+l.opener, l.turn.size-reserve
	return true
}
