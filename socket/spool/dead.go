package spool

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"sync"
	"time"
)

// Dead is the log of messages given up, in the folder "dead" of a spool. It is full when its spool's quota
// is, by itself, or the disk; messages then stay where they are.
type Dead struct {
	l   *Log // the spool
	log *Log

	mu    sync.Mutex          // guards the field below
	taken map[uint64]struct{} // the letters that are being replayed
}

// Letter is a message given up.
type Letter struct {
	// Number is its place among the dead letters, Origin, Incarnation and Time are what it had in the spool: the first two at first, if it has been replayed since.
	Number, Origin uint64
	Incarnation    uint32
	Time           time.Time
	// Consumer is who gave it up, "" for that of Queue.
	Consumer string
	// Buried is when it was given up, Attempts after how many deliveries, Reason why.
	Buried   time.Time
	Attempts int
	Reason   string
	// Frames are the message as it was.
	Frames [][]byte
}

// Dead returns the dead letters of a spool, opened at the first call and closed with it.
func (l *Log) Dead() (*Dead, error) {
	l.deadMu.Lock()
	defer l.deadMu.Unlock()
	l.mu.Lock()
	err, dead := l.errLocked(), l.dead
	l.mu.Unlock()
	if err != nil || dead != nil {
		return dead, err
	}
	o := l.options
	log, err := OpenFS(folder{l.fs, deadName}, Options{
		Kind: kindDead, SegmentSize: max(o.SegmentSize/16, minSegment), Quota: o.Quota, Reserve: o.Reserve,
		Full: Reject, MaxMessage: o.MaxMessage + 1<<16, // a letter says more than its message
	})
	if err != nil {
		return nil, fmt.Errorf("open dead letters: %w", err)
	}
	dead = &Dead{l: l, log: log, taken: map[uint64]struct{}{}}
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.dead = dead
	}
	l.mu.Unlock()
	if closed { // meanwhile
		return nil, errors.Join(ErrClosed, log.Close())
	}
	return dead, nil
}

// maxReason bounds the reason kept with a letter, in bytes.
const maxReason = 4 << 10

// Bury moves a message to the dead letters, with the attempts that c has counted, and acknowledges it there. It
// returns when the letter is on disk; until then the message stays. After a crash before the acknowledgement is on disk, too (see Consumer), there
// is a letter of a message that is still delivered, never neither: buried again, it has one letter more for each such crash.
func (d *Dead) Bury(ctx context.Context, c *Consumer, r Record, reason string) error {
	if err := c.ackable(r.Number, r.Number); err != nil { // or it would have a letter more each time that this is tried
		return fmt.Errorf("bury message %d: %w", r.Number, err)
	}
	reason = reason[:min(len(reason), maxReason)]
	b := binary.AppendUvarint(nil, cmp.Or(r.Origin, r.Number))
	b = binary.AppendUvarint(b, uint64(r.Incarnation))
	b = binary.AppendUvarint(b, uint64(r.Time.UnixNano()))
	b = binary.AppendUvarint(b, uint64(c.Attempts(r.Number)))
	b = append(appendName(b, c.Name()), reason...)
	if _, err := d.log.Append(ctx, append([][]byte{b}, r.Frames...)...); err != nil {
		return fmt.Errorf("bury message %d: %w", r.Number, err)
	}
	return c.Ack(r.Number, r.Number)
}

// Letters iterates over the dead letters, the oldest first, and ends with the last that is there when it begins. A *Gap says that
// some are lost; any other error is the last. Letters are valid until the next.
func (d *Dead) Letters() iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) { letters(d.log.Queue().Reader(), yield) }
}

// letters yields what r finds, and closes it.
func letters(r *Reader, yield func(Letter, error) bool) {
	defer r.Close()
	end := r.l.Next() // who replays letters beside a receiver that refuses them would come to no other
	for r.Number() < end {
		rec, err := r.TryNext()
		if errors.Is(err, io.EOF) || err == nil && rec.Number >= end {
			return
		}
		var letter Letter
		if err == nil {
			letter, err = parseLetter(rec)
		}
		if !yield(letter, err) || err != nil && !errors.As(err, new(*Gap)) {
			return
		}
	}
}

func parseLetter(r Record) (Letter, error) {
	if len(r.Frames) == 0 {
		return Letter{}, fmt.Errorf("letter %d: %w", r.Number, errState)
	}
	d := decoder{b: r.Frames[0]}
	l := Letter{Number: r.Number, Buried: r.Time, Frames: r.Frames[1:]}
	l.Origin, l.Incarnation = d.uvarint(), uint32(d.uvarint())
	l.Time, l.Attempts = time.Unix(0, int64(d.uvarint())), int(d.uvarint())
	l.Consumer = d.name()
	l.Reason = string(d.b) // the rest
	if d.err != nil {
		return l, fmt.Errorf("letter %d: %w", r.Number, d.err)
	}
	return l, nil
}

// Len returns how many letters there are.
func (d *Dead) Len() uint64 { return d.log.Queue().Pending() }

// Replay puts the message of a letter back into the spool, behind all others, and purges the letter when that is on disk. The number returned is where it is
// now; receivers are told the place that it had at first, Origin and Incarnation, so that one whose window knows that as handled drops it. With an Origin of 0 it is
// a new message to them, as it has to be where Frames were changed. A letter that was replayed or purged, or is being replayed, is ErrNumber. After a crash there may be both, of all letters that were replayed within the last moment: see Purge.
func (d *Dead) Replay(ctx context.Context, letter Letter) (uint64, error) {
	if err := d.take(letter.Number); err != nil {
		return 0, fmt.Errorf("replay letter %d: %w", letter.Number, err)
	}
	defer d.release(letter.Number)
	n, err := d.l.replay(ctx, letter)
	if err == nil {
		err = d.l.Flush(ctx)
	}
	if err != nil {
		return n, fmt.Errorf("replay letter %d: %w", letter.Number, err)
	}
	return n, d.log.Queue().Ack(letter.Number, letter.Number)
}

// take has one caller alone replay a letter, if it is there.
func (d *Dead) take(n uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, taken := d.taken[n]; taken {
		return ErrNumber
	}
	there, err := d.log.Queue().waits(n)
	if err == nil && !there {
		return ErrNumber
	}
	if err == nil {
		d.taken[n] = struct{}{}
	}
	return err
}

func (d *Dead) release(n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.taken, n)
}

// isPlace reports whether a message can have that number: those above cannot be told to receivers.
func isPlace(n uint64) bool { return n > 0 && n <= math.MaxInt64 }

// replay appends the message of a letter.
func (l *Log) replay(ctx context.Context, letter Letter) (uint64, error) {
	if !isPlace(letter.Origin) {
		return l.Append(ctx, letter.Frames...)
	}
	place := binary.AppendUvarint(binary.AppendUvarint(nil, letter.Origin), uint64(letter.Incarnation))
	l.mu.Lock()
	n, err := l.enqueueAsLocked(ctx, recordReplayed, append([][]byte{place}, letter.Frames...))
	if err != nil {
		l.mu.Unlock()
		return 0, err
	}
	return n, l.await(ctx, n)
}

// Purge lets the letters lo to hi go for good, none of them if one is being replayed (ErrNumber). That is on disk a moment later (50 ms), or when the log is closed: a crash before brings them back.
func (d *Dead) Purge(lo, hi uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n := range d.taken {
		if lo <= n && n <= hi {
			return fmt.Errorf("purge letter %d: %w: it is being replayed", n, ErrNumber)
		}
	}
	return d.log.Queue().Ack(lo, hi)
}
