package spool

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sync/atomic"
)

// Consumer is a named reader's position: what it has acknowledged and how often the rest has failed. It is in
// the log. A group is several readers that use one Consumer. All methods may be called from many goroutines.
//
// What is told to a Consumer is on disk with the next message that is, else within 50 ms, and when Flush
// returns. If a crash comes first, messages acknowledged are read again: once too often, never too rarely. The end of the process alone takes back fewer than 3,840
// of its acknowledgements, as long as there is room on the disk to write them.
type Consumer struct {
	l    *Log
	name string
}

// Bounds of what is in memory and has to be written at the beginning of each segment, all consumers together.
const (
	maxConsumers = 10_000
	maxFailing   = 256 << 10
	maxRanges    = 1 << 20 // 16 MiB in memory
)

// Consumer returns the consumer of that name, made to begin at start if there is none: what is before start
// counts as acknowledged; a start yet to come is the end. A Queue keeps a message until all its consumers have
// acknowledged it, so what those that are there have all acknowledged counts as acknowledged, too; a Topic keeps
// messages as long as its retention says. One that is there can be read from after the log has failed, too. Errors: ErrName, ErrClosed, ErrFailed, ErrFull for too many
// consumers, those of the disk.
func (l *Log) Consumer(name string, start Start) (*Consumer, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	floor, err := l.floorOf(start)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.state.positions[name] != nil
	if err := l.errLocked(); err != nil && (l.closed || !known) {
		return nil, err
	}
	if !known {
		if len(l.state.positions) >= maxConsumers {
			return nil, fmt.Errorf("consumer %s: there are %d already: remove some (%w)", name, maxConsumers, ErrFull)
		}
		l.makeLocked(name, min(floor, l.next-1))
		l.soonLocked()
	}
	return &Consumer{l: l, name: name}, nil
}

// makeLocked makes a consumer. In a queue what all others have acknowledged may be gone: it is not for this one either.
func (l *Log) makeLocked(name string, floor uint64) {
	others := slices.Collect(maps.Values(l.state.positions))
	p := l.state.make(name, floor)
	if !l.options.Kind.queues() {
		return
	}
	done := others[0].acked.clone()
	for _, o := range others[1:] {
		done.intersect(&o.acked)
	}
	l.state.ack(p, 1, done.floor)
	for _, r := range done.ranges {
		l.state.ack(p, r.lo, r.hi)
	}
}

// floorOf returns the number of the message before start.
func (l *Log) floorOf(start Start) (uint64, error) {
	r := l.Reader(start)
	defer r.Close()
	if start.since != 0 {
		rec, err := r.TryNext()
		gap, lost := errors.AsType[*Gap](err)
		switch {
		case err == nil:
			return rec.Number - 1, nil
		case lost:
			return gap.From - 1, nil // which readers of the consumer will say
		case !errors.Is(err, io.EOF): // what comes is later
			return 0, err
		}
	}
	if start.number > 0 {
		return start.number - 1, nil
	}
	return r.Number() - 1, nil
}

// Queue returns the consumer that every Queue has: the one who takes messages out of it. For a Topic it is nil.
func (l *Log) Queue() *Consumer {
	if !l.options.Kind.queues() {
		return nil
	}
	return &Consumer{l: l}
}

// RemoveConsumer forgets a consumer and its position. Removing one that is not there is ErrNoConsumer. After ErrFailed
// it is forgotten until the log is opened again, which has it if it was on disk.
func (l *Log) RemoveConsumer(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.errLocked(); err != nil {
		if !l.closed && name != "" {
			l.state.forget(name)
		}
		return err
	}
	if name == "" || l.state.positions[name] == nil {
		return fmt.Errorf("remove %q: %w", name, ErrNoConsumer)
	}
	l.state.remove(name)
	l.soonLocked()
	poke(l.keep)
	return nil
}

// Consumers returns the names of all consumers, sorted; that of Queue, "", is not among them.
func (l *Log) Consumers() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := slices.Sorted(maps.Keys(l.state.positions))
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// Name returns the name, "" for that of Queue.
func (c *Consumer) Name() string { return c.name }

// Ack acknowledges messages lo to hi, in any order, once or more often. It waits for the disk when as many are not written as the end of the process may
// take back, for a write, and for a sync that goes on. Errors leave everything as it was:
// ErrNumber for numbers that no message has; ErrFull when a million ranges lie apart from each other, until what is
// between some of them is acknowledged; ErrClosed, ErrFailed, ErrNoConsumer.
func (c *Consumer) Ack(lo, hi uint64) error {
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := c.ackableLocked(lo, hi)
	if err != nil {
		return err
	}
	if l.state.ack(p, lo, hi) {
		l.soonLocked()
		if oldest := l.segments[0]; oldest.sealed && oldest.last <= p.acked.floor && l.options.Kind.queues() {
			poke(l.keep)
		}
		l.noteLocked(p)
	}
	return nil
}

// waits reports whether there is a message n that is not acknowledged.
func (c *Consumer) waits(n uint64) (bool, error) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	p, err := c.positionLocked()
	return err == nil && n > 0 && n <= c.l.written && !p.acked.has(n), err
}

// ackable returns why messages lo to hi cannot be acknowledged now.
func (c *Consumer) ackable(lo, hi uint64) error {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	_, err := c.ackableLocked(lo, hi)
	return err
}

func (c *Consumer) ackableLocked(lo, hi uint64) (*position, error) {
	l := c.l
	p, err := c.positionLocked()
	switch {
	case err != nil:
		return nil, err
	case lo == 0 || hi < lo || hi > l.written:
		return nil, fmt.Errorf("acknowledge %d to %d of %d: %w", lo, hi, l.written, ErrNumber)
	case l.state.ranges >= maxRanges && p.acked.apart(lo, hi):
		return nil, fmt.Errorf("acknowledge %d to %d: %d ranges lie apart: %w", lo, hi, l.state.ranges, ErrFull)
	}
	return p, nil
}

// Fail counts a failed delivery of message n and returns how many there were, this one included. The count is
// kept until the message is acknowledged; of one that is, it is 0. Of more than 262144 messages failing at a time
// the rest count 1 at each failure.
func (c *Consumer) Fail(n uint64) (int, error) {
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := c.positionLocked()
	if err != nil {
		return 0, err
	}
	if n == 0 || n > l.written {
		return 0, fmt.Errorf("fail %d of %d: %w", n, l.written, ErrNumber)
	}
	if p.acked.has(n) {
		return 0, nil
	}
	if p.attempts[n] == 0 && l.state.failing >= maxFailing {
		return 1, nil
	}
	l.soonLocked()
	return int(l.state.fail(p, n)), nil
}

// Attempts returns how many deliveries of message n have failed.
func (c *Consumer) Attempts(n uint64) int {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if p := c.l.state.positions[c.name]; p != nil {
		return int(p.attempts[n])
	}
	return 0
}

// Acked reports whether message n is acknowledged.
func (c *Consumer) Acked(n uint64) bool {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	p := c.l.state.positions[c.name]
	return p != nil && p.acked.has(n)
}

// Floor returns the number up to which all messages are acknowledged.
func (c *Consumer) Floor() uint64 {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if p := c.l.state.positions[c.name]; p != nil {
		return p.acked.floor
	}
	return 0
}

// Pending returns how many messages are there that are not acknowledged. What damage took is known to be lost when it has been read: at opening that of the last
// segment, the rest by readers and, for good, by Repair.
func (c *Consumer) Pending() uint64 { return c.ThereIn(1, math.MaxUint64) }

// ThereIn is Pending of the messages lo to hi.
func (c *Consumer) ThereIn(lo, hi uint64) uint64 {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if p := c.l.state.positions[c.name]; p != nil {
		return c.l.state.there(p, max(lo, c.l.firstLocked()), min(hi, c.l.written))
	}
	return 0
}

// Gone returns how many of the messages lo to hi retention, a full spool or damage took before they were acknowledged, and the first of them; nil if there
// are none. Readers tell a Gap of what is gone until it is acknowledged.
func (c *Consumer) Gone(lo, hi uint64) (first *Gap, n uint64) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	p := c.l.state.positions[c.name]
	if p == nil {
		return nil, 0
	}
	lo, hi = p.acked.nextFree(lo), min(hi, c.l.firstLocked()-1)
	return c.l.state.missing(lo, min(hi, p.acked.nextTaken(lo)-1)), p.lacks(lo, hi)
}

// Lapsed returns a channel that is closed when more messages may be gone.
func (c *Consumer) Lapsed() <-chan struct{} {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return awaited(&c.l.lapsed)
}

// PendingIn returns how many of the messages lo to hi are not acknowledged, whether they are there or gone.
func (c *Consumer) PendingIn(lo, hi uint64) uint64 {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	p := c.l.state.positions[c.name]
	if p == nil {
		return 0
	}
	return p.lacks(max(lo, 1), min(hi, c.l.written))
}

// Reader returns a reader of what is not acknowledged, from the first such message on. Messages acknowledged
// while it reads are passed over.
func (c *Consumer) Reader() *Reader { return c.From(0) }

// From is Reader for messages from number n on.
func (c *Consumer) From(n uint64) *Reader {
	r := c.l.Reader(At(max(n, c.Floor()+1)))
	r.passOver(c)
	return r
}

// passOver has r leave out what c has acknowledged, and reports whether there is such a consumer.
func (r *Reader) passOver(c *Consumer) bool {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	r.skip, r.top = c, new(atomic.Uint64)
	p := c.l.state.positions[c.name]
	if p != nil {
		r.top = &p.top
	}
	return p != nil
}

// standing returns how often message n has failed, and whether it is not acknowledged.
func (c *Consumer) standing(n uint64) (attempts int, wanted bool) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	p := c.l.state.positions[c.name]
	if p == nil {
		return 0, true
	}
	return int(p.attempts[n]), !p.acked.has(n)
}

func (c *Consumer) positionLocked() (*position, error) {
	if err := c.l.errLocked(); err != nil {
		return nil, err
	}
	p := c.l.state.positions[c.name]
	if p == nil {
		return nil, fmt.Errorf("consumer %q: %w", c.name, ErrNoConsumer)
	}
	return p, nil
}
