package pushpull

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/meshmq/meshmq/patterns"
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

// Replay sends the dead letters of the spool again that choose returns true for, all if it is nil: at most so many a second, none of those that die after the
// call began, and in the order they died. Each is a new message for the spool, behind those that are there and with all its attempts, and has the
// envelope it had, with its id: a window that knows it as handled drops it. It returns how many there were, when they are in the spool. It waits
// as Send does, and between messages, until ctx ends. After a crash there may be both, message and letter.
func (p *Producer[T]) Replay(ctx context.Context, perSecond float64, choose func(patterns.DeadLetter) bool) (n int, err error) {
	if perSecond <= 0 {
		return 0, fmt.Errorf("replay %v messages a second: want more than 0", perSecond)
	}
	dead, err := p.letters()
	if err != nil {
		return 0, fmt.Errorf("replay: %w", err)
	}
	interval := time.Duration(float64(time.Second) / perSecond)
	err = chosen(dead, choose, func(letter spool.Letter) error {
		if n > 0 {
			if err := rest(ctx, interval); err != nil {
				return fmt.Errorf("replay: %d messages were, %w", n, err)
			}
		}
		_, err := dead.Replay(ctx, letter)
		if err == nil {
			n++
		}
		return err
	})
	return n, err
}

// Purge lets the dead letters of the spool go for good that choose returns true for, and returns how many there were. When the disk, or the quota, has no room
// for letters, messages that are given up wait for it, and so in the end does Send.
func (p *Producer[T]) Purge(choose func(patterns.DeadLetter) bool) (n int, err error) {
	dead, err := p.letters()
	if err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	err = chosen(dead, choose, func(letter spool.Letter) error {
		err := dead.Purge(letter.Number, letter.Number)
		if err == nil {
			n++
		}
		return err
	})
	return n, err
}

// chosen calls f with the letters that choose returns true for, all if it is nil, of those that are there now.
func chosen(dead *spool.Dead, choose func(patterns.DeadLetter) bool, f func(spool.Letter) error) error {
	left := dead.Len() // what comes behind died meanwhile, maybe for the second time
	for letter, err := range dead.Letters() {
		if gap, ok := errors.AsType[*spool.Gap](err); ok {
			left -= min(left, gap.To-gap.From+1)
			continue
		} else if err != nil {
			return fmt.Errorf("dead letters: %w", err)
		}
		if left == 0 {
			break
		}
		left--
		if choose != nil && !choose(letterOf(letter)) {
			continue
		}
		if err := f(letter); err != nil {
			return err
		}
	}
	return nil
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
