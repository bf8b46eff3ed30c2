package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

const maxConsumers = 10_000 // as in package spool

// consumer is a position. Its fields are guarded by Spool.at, but those of the keeper.
type consumer struct {
	s       *Spool
	token   string // in the subject
	p       *position
	changes uint64    // counts
	written uint64    // what of changes is stored
	floor   uint64    // that is stored
	gone    bool      // it was removed
	dated   uint64    // a message before which all are acknowledged,
	date    time.Time // and when that was stored; zero if it was not there yet

	revision uint64 // of the keeper: sequence in the state stream
}

// Consumer returns the named position, made to begin at from if there is none; "" is the one that takes messages out of a queue. A Queue keeps a message until
// all its consumers have acknowledged it; what is gone before a consumer is made counts as acknowledged. One that is there can be read from after the spool has failed, too. Errors: spool.ErrName, ErrFull for too many, ErrClosed,
// ErrFailed, those of the servers.
func (s *Spool) Consumer(name string, from spool.Start) (socket.SpoolConsumer, error) {
	if name != "" {
		if err := checkName(name, true); err != nil {
			return nil, err
		}
	} else if s.options.Kind != spool.Queue {
		return nil, fmt.Errorf("a %s has named consumers only: %w", s.options.Kind, spool.ErrName)
	}
	token := tokenOf(name)
	s.at.Lock()
	c := s.positions[token]
	s.at.Unlock()
	if err := s.err(); err != nil && (c == nil || errors.Is(err, spool.ErrClosed)) {
		return nil, err
	}
	if c != nil {
		return c, nil
	}
	ctx, cancel := s.patient(s.ctx)
	defer cancel()
	info, err := s.stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", name, err)
	}
	next := s.safe.Load() + 1
	n := max(info.State.FirstSeq, 1)
	switch end, number, since := from.Place(); {
	case end:
		n = next
	case number > 0:
		n = number
	case !since.IsZero():
		if n, err = s.since(since); err != nil {
			return nil, fmt.Errorf("consumer %s: %w", name, err)
		}
	}
	return s.makeConsumer(token, min(n, next)-1)
}

// makeConsumer adds a position that begins behind floor.
func (s *Spool) makeConsumer(token string, floor uint64) (*consumer, error) {
	s.at.Lock()
	defer s.at.Unlock()
	if c := s.positions[token]; c != nil {
		return c, nil
	}
	if len(s.positions) >= maxConsumers {
		return nil, fmt.Errorf("there are %d consumers already (%w)", maxConsumers, spool.ErrFull)
	}
	if s.options.Kind == spool.Queue && len(s.positions) > 0 {
		floor = max(floor, s.doneLocked(func(c *consumer) uint64 { return c.p.floor }))
	}
	c := &consumer{s: s, token: token, p: &position{floor: floor}, changes: 1}
	s.positions[token] = c
	poke(s.soon)
	return c, nil
}

// doneLocked returns the lowest of what is asked of all consumers.
func (s *Spool) doneLocked(of func(*consumer) uint64) uint64 {
	low := ^uint64(0)
	for _, c := range s.positions {
		low = min(low, of(c))
	}
	return low
}

// tokenOf returns what stands for a name in subjects, in which dots separate.
func tokenOf(name string) string {
	if name == "" {
		return "%"
	}
	return strings.ReplaceAll(name, ".", "%")
}

// nameOf is the opposite of tokenOf.
func nameOf(token string) string {
	if token == tokenOf("") {
		return ""
	}
	return strings.ReplaceAll(token, "%", ".")
}

// subject is where the position is stored.
func (c *consumer) subject() string { return stateSubject(c.s.name, "at."+c.token) }

// Reader returns a reader of what is not acknowledged, from message n on, or from the first if n is 0.
func (c *consumer) Reader(n uint64) socket.SpoolReader {
	return &reader{c: c, number: max(n, 1)}
}

// Ack acknowledges messages lo to hi. It is written within 50 ms. Errors leave everything as it was: spool.ErrNumber for numbers that no message
// has; ErrFull when 32768 ranges lie apart from each other; ErrNoConsumer, ErrClosed, ErrFailed.
func (c *consumer) Ack(lo, hi uint64) error {
	if err := c.s.err(); err != nil {
		return err
	}
	if safe := c.s.safe.Load(); lo == 0 || hi < lo || hi > safe {
		return fmt.Errorf("acknowledge %d to %d of %d: %w", lo, hi, safe, spool.ErrNumber)
	}
	c.s.at.Lock()
	defer c.s.at.Unlock()
	if c.gone {
		return fmt.Errorf("acknowledge %d to %d: %w", lo, hi, spool.ErrNoConsumer)
	}
	if !c.p.fits(lo, hi) {
		return fmt.Errorf("acknowledge %d to %d: %d ranges lie apart: %w", lo, hi, len(c.p.ranges), spool.ErrFull)
	}
	if c.p.ack(lo, hi) {
		c.changedLocked()
	}
	return nil
}

func (c *consumer) changedLocked() {
	c.changes++
	poke(c.s.soon)
}

// Fail counts a failed delivery of message n and returns how many there were. The count is kept until the message is acknowledged; of one that is, it
// is 0. Of more than 32768 messages failing at a time the rest count 1 at each failure.
func (c *consumer) Fail(n uint64) (int, error) {
	if err := c.s.err(); err != nil {
		return 0, err
	}
	if safe := c.s.safe.Load(); n == 0 || n > safe {
		return 0, fmt.Errorf("fail %d of %d: %w", n, safe, spool.ErrNumber)
	}
	c.s.at.Lock()
	defer c.s.at.Unlock()
	if c.gone {
		return 0, fmt.Errorf("fail %d: %w", n, spool.ErrNoConsumer)
	}
	count := c.p.fail(n)
	c.changedLocked()
	return count, nil
}

// Position returns the number up to which all messages are acknowledged, and how many messages are not.
func (c *consumer) Position() (floor, pending uint64) {
	safe := c.s.safe.Load()
	c.s.at.Lock()
	defer c.s.at.Unlock()
	return c.p.floor, c.p.lacks(1, safe)
}

// next returns the first number from n on that is not acknowledged, and how often that message has failed.
func (c *consumer) next(n uint64) (free uint64, failures int) {
	c.s.at.Lock()
	defer c.s.at.Unlock()
	free = c.p.nextFree(n)
	return free, c.p.failures[free]
}

// reader reads for a consumer.
type reader struct {
	c      *consumer
	number uint64 // of the next message
	batch  []found
	sub    *nats.Subscription
	inbox  string
	asked  uint64
	closed bool
}

// TryNext returns the next message that is not acknowledged; it asks the servers for many at a time and waits for their answer, Options.Patience at
// most. See socket.SpoolReader.
func (r *reader) TryNext() (spool.Record, error) {
	if r.closed {
		return spool.Record{}, spool.ErrClosed
	}
	for {
		free, failures := r.c.next(r.number)
		r.number = free
		for len(r.batch) > 0 && r.batch[0].Number < free {
			r.batch = r.batch[1:]
		}
		if free > r.c.s.safe.Load() {
			return spool.Record{}, io.EOF
		}
		if len(r.batch) > 0 && r.batch[0].Number == free {
			rec := r.batch[0]
			rec.Attempts = failures
			r.batch, r.number = r.batch[1:], free+1
			if errors.Is(rec.err, errVoid) {
				_ = r.c.Ack(free, free) // else who reads again skips it again
				continue
			}
			if rec.err != nil { // somebody else wrote it
				return spool.Record{}, &spool.Gap{From: free, To: free, Damaged: true}
			}
			return rec.Record, nil
		}
		ctx, cancel := r.c.s.patient(r.c.s.ctx)
		before := r.c.s.nc.LastError()
		err := r.fill(ctx)
		cancel()
		if err != nil && r.c.s.ctx.Err() != nil {
			return spool.Record{}, spool.ErrClosed
		}
		if why := r.c.s.silenced(err, before, `.`+r.c.s.name+`"`); why != nil {
			return spool.Record{}, why
		} else if err != nil {
			return spool.Record{}, typed(err)
		}
	}
}

// fill reads on from r.number, where no message is at hand. The error is a *spool.Gap, once, for what is lost.
func (r *reader) fill(ctx context.Context) error {
	s := r.c.s
	if len(r.batch) == 0 {
		if r.sub == nil {
			r.inbox = s.nc.NewInbox()
			sub, err := s.nc.SubscribeSync(r.inbox + ".*")
			if err != nil {
				return err
			}
			r.sub = sub
		}
		r.asked++
		var err error
		r.batch, err = s.batch(ctx, r.sub, r.inbox+"."+strconv.FormatUint(r.asked, 10), r.number)
		if err != nil {
			return err
		}
		if len(r.batch) > 0 && r.batch[0].Number == r.number {
			return nil
		}
	}
	// The server that answered, or all of them, do not have the message. What is missing the leader must say.
	to, err := s.lost(ctx, r.number)
	if err != nil {
		return err
	}
	if to < r.number {
		r.batch = nil
		m, err := s.first(ctx, r.number)
		if err != nil {
			return err
		}
		rec, err := record(m.Sequence, m.Subject, m.Time, m.Header, m.Data)
		r.batch = append(r.batch, found{rec, err})
		return nil
	}
	gap := &spool.Gap{From: r.number, To: to}
	r.number = to + 1
	return gap
}

// More returns a channel that is closed when TryNext may have more, nil if that will not come.
func (r *reader) More() <-chan struct{} {
	s := r.c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.safe.Load() >= r.number {
		ready := make(chan struct{})
		close(ready)
		return ready
	}
	if s.failed != nil {
		return nil
	}
	return awaited(&s.grown)
}

// Close lets go of the subscription.
func (r *reader) Close() error {
	r.closed, r.batch = true, nil
	if r.sub == nil {
		return nil
	}
	err := r.sub.Unsubscribe()
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrBadSubscription) {
		return nil
	}
	return err
}

// Bury writes a dead letter, which Letters returns, and acknowledges the message once the servers have confirmed it; doing it twice makes
// one letter, while each consumer makes its own. It waits for the servers no longer than Options.Patience.
func (c *consumer) Bury(ctx context.Context, r spool.Record, reason string) error {
	if err := c.s.err(); err != nil { // it could not be acknowledged
		return fmt.Errorf("bury message %d: %w", r.Number, err)
	}
	m := pack(r.Frames)
	m.Subject = stateSubject(c.s.name, fmt.Sprintf("dead.%s.%d.%d", c.token, r.Incarnation, r.Number))
	c.s.at.Lock()
	failures := c.p.failures[r.Number]
	c.s.at.Unlock()
	m.Header.Set(headerNumber, strconv.FormatUint(cmp.Or(r.Origin, r.Number), 10))
	m.Header.Set(headerIncarnation, strconv.FormatUint(uint64(r.Incarnation), 10))
	m.Header.Set(headerTime, r.Time.UTC().Format(time.RFC3339Nano))
	m.Header.Set(headerAttempts, strconv.Itoa(failures))
	m.Header.Set(headerReason, headerText(reason))
	if name := nameOf(c.token); name != "" {
		m.Header.Set(headerConsumer, name)
	}
	ctx, cancel := c.s.patient(ctx)
	defer cancel()
	before, err := c.s.nc.LastError(), c.s.reach(ctx)
	if err == nil {
		_, err = c.s.js.PublishMsg(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("bury message %d: %w", r.Number, cmp.Or(c.s.forbidden(err, before, stateSubject(c.s.name, "dead.")), typed(err)))
	}
	return c.Ack(r.Number, r.Number)
}

// maxReason bounds what a letter takes besides its message.
const maxReason = 1024

// headerText returns a text that fits into one line of a header.
func headerText(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxReason)], "")
	return strings.TrimSpace(strings.NewReplacer("\r", " ", "\n", " ").Replace(s))
}
