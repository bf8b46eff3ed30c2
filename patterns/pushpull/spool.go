package pushpull

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// openSpool opens a directory as the queue that a Producer needs.
func openSpool(dir string, o spool.Options) (*spool.Log, error) {
	if o.Kind != 0 && o.Kind != spool.Queue {
		return nil, fmt.Errorf("a %s keeps what is acknowledged: use spool.Queue", o.Kind)
	}
	return spool.Open(dir, o)
}

// errNoSpool is of a Producer without a spool, which keeps no dead letters.
var errNoSpool = fmt.Errorf("%w: dead letters are kept with WithSpool", socket.ErrOption)

// letters returns those of the spool.
func (p *Producer[T]) letters() (*spool.Dead, error) {
	switch {
	case p.err != nil:
		return nil, p.err
	case p.log == nil:
		return nil, errNoSpool
	}
	return p.log.Dead()
}

// DeadLetters iterates over the messages of the spool that were given up, the oldest first, and ends with the last that is there. A *spool.Gap among
// them says that some are lost to damage; any other error is the last. A letter is the caller's.
func (p *Producer[T]) DeadLetters() iter.Seq2[patterns.DeadLetter, error] {
	return func(yield func(patterns.DeadLetter, error) bool) {
		dead, err := p.letters()
		if err != nil {
			yield(patterns.DeadLetter{}, fmt.Errorf("dead letters: %w", err))
			return
		}
		for letter, err := range dead.Letters() {
			d := patterns.DeadLetter{}
			if err == nil {
				d = letterOf(letter)
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

func letterOf(l spool.Letter) patterns.DeadLetter {
	frames := spool.Record{Frames: l.Frames}.Clone().Frames
	return patterns.DeadLetter{
		Reason: l.Reason, Attempts: l.Attempts, Envelope: envelopeOf(frames), Frames: frames, Number: l.Origin, Buried: l.Buried,
	}
}

// Holds reports whether a dead letter is a T, by the name of its type: for Replay and Purge, of a spool that had producers of several types.
func (p *Producer[T]) Holds(d patterns.DeadLetter) bool {
	return d.Envelope != nil && wire.CheckType(d.Envelope, p.typeName) == nil
}

// Resend sends a dead letter again, of whatever type, as it was: its frames, and so its envelope, with id and headers. It is Send otherwise, and the way for what
// WithDeadLetters was told of where there is no spool. Letters of a spool stay there: see Replay.
func (p *Producer[T]) Resend(ctx context.Context, d patterns.DeadLetter) error {
	switch {
	case p.err != nil:
		return fmt.Errorf("resend: %w", p.err)
	case len(d.Frames) == 0:
		return fmt.Errorf("resend: %w: a letter without frames", patterns.ErrMalformed)
	}
	return p.Push.Send(ctx, d.Frames...)
}

// Replay sends the dead letters of the spool again that choose returns true for, all if it is nil: at most so many a second, of which 0 or less is socket.ErrOption, none of those that die after the
// call began, and in the order they died. They may be of any type, or none of ours; choose can be p.Holds. Each comes behind the messages that are there and has
// all its attempts, and the envelope and place in the stream that it had: a window that knows either as handled drops it, and one whose worker refused it lets it through. It returns how many there were, when they are in the spool. It waits
// as Send does, and between messages, until ctx ends. After a crash there may be both, message and letter.
//
// What choose does not want stays dead. Several calls at once send each letter once; what is purged meanwhile is not sent. Letters that are lost to damage are passed over: when all others were sent the error is that, a *spool.Gap for each.
func (p *Producer[T]) Replay(ctx context.Context, perSecond float64, choose func(patterns.DeadLetter) bool) (n int, err error) {
	if !(perSecond > 0) { // or no number at all
		return 0, fmt.Errorf("%w: replay %v messages a second: want more than 0", socket.ErrOption, perSecond)
	}
	dead, err := p.letters()
	if err != nil {
		return 0, fmt.Errorf("replay: %w", err)
	}
	interval := time.Duration(float64(time.Second) / perSecond)
	err = chosen(dead, choose, nil, func(letter spool.Letter) error {
		if n > 0 {
			if err := rest(ctx, interval); err != nil {
				return fmt.Errorf("replay: %d messages were, %w", n, err)
			}
		}
		_, err := dead.Replay(ctx, letter)
		switch {
		case err == nil:
			n++
		case errors.Is(err, spool.ErrNumber): // another was faster
			return nil
		}
		return err
	})
	return n, err
}

// Purge lets the dead letters of the spool go for good that choose returns true for, and returns how many there were. The error is as with Replay, but that without choose it
// lets go of what is lost as well, which is no error then. When the disk, or the quota, has no room
// for letters, messages that are given up wait for it, and so in the end does Send.
func (p *Producer[T]) Purge(choose func(patterns.DeadLetter) bool) (n int, err error) {
	dead, err := p.letters()
	if err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	var lost func(*spool.Gap) error
	if choose == nil {
		lost = func(gap *spool.Gap) error { return dead.Purge(gap.From, gap.To) }
	}
	err = chosen(dead, choose, lost, func(letter spool.Letter) error {
		err := dead.Purge(letter.Number, letter.Number)
		switch {
		case err == nil:
			n++
		case errors.Is(err, spool.ErrNumber): // it is being replayed
			return nil
		}
		return err
	})
	return n, err
}

// chosen calls f with the letters that choose returns true for, all if it is nil, of those that are there now, and lost with the gaps between them. The error is theirs, or, without
// lost, the gaps.
func chosen(dead *spool.Dead, choose func(patterns.DeadLetter) bool, lost func(*spool.Gap) error, f func(spool.Letter) error) error {
	var gaps error
	for letter, err := range dead.Letters() {
		if gap, ok := errors.AsType[*spool.Gap](err); ok {
			if lost == nil {
				gaps = errors.Join(gaps, fmt.Errorf("dead letters: %w", gap))
			} else if err := lost(gap); err != nil {
				return err
			}
			continue
		} else if err != nil {
			return fmt.Errorf("dead letters: %w", err)
		}
		if choose != nil && !choose(letterOf(letter)) {
			continue
		}
		if err := f(letter); err != nil {
			return err
		}
	}
	return gaps
}

// rest waits, or returns why it did not.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
