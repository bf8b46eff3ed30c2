package socket

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"github.com/meshmq/meshmq/socket/spool"
)

// SpoolWriter is the end of a Spool that Send uses.
type SpoolWriter interface {
	// Append puts a message behind all others and returns its number when it is as safe as the spool's policy says. One
	// sync is to carry what all callers queued meanwhile. It copies the frames before it returns. When ctx ends first
	// the error is that of ctx; a number above 0 with it means that the message has its place and will be delivered unless
	// the spool fails. Other errors wrap those of package spool: ErrFull, ErrTooLarge, ErrFailed, ErrClosed; but for ErrFailed, and
	// an ErrTooLarge that says so, they mean that the message is not in the spool.
	Append(ctx context.Context, frames ...[]byte) (uint64, error)
	// Enqueue is Append without the wait for safety: the number is there as soon as the message has its place. It blocks for room only,
	// as the spool is configured.
	Enqueue(ctx context.Context, frames ...[]byte) (uint64, error)
	// Wait returns nil when message n, which Enqueue returned, is as safe as the policy says. A number that it never returned, 0 among them, is an ErrNumber.
	Wait(ctx context.Context, n uint64) error
	// Flush returns nil when all messages and acknowledgements given to the spool before the call are durable, whatever the policy.
	Flush(ctx context.Context) error
}

// Spool keeps the messages of a socket until they are acknowledged: the log on disk of package spool (SpoolOf), or something replicated.
// Messages are numbered from 1 in the order of Append and Enqueue; each has the number of the one before it plus 1, and keeps it for good.
// (Stream, incarnation of the record, number) names a message for ever; that is what receivers tell duplicates by. All methods of a
// Spool and of its consumers may be called by many goroutines; readers are for one at a time.
//
// After a failed write a spool takes no more: every Append is an ErrFailed. Readers go on with what is safe.
type Spool interface {
	SpoolWriter
	// Stream returns the id that was drawn when the spool was made, and the incarnation of messages written now: it differs from all before it
	// whenever numbers could be given a second time, as after a crash.
	Stream() (id spool.ID, incarnation uint32)
	// Consumer returns the named reader's position, made to begin at from if there is none; the name "" is the one that takes messages
	// out of a queue, which has no beginning but the oldest message. Consumers do not affect each other.
	Consumer(name string, from spool.Start) (SpoolConsumer, error)
	// State returns what the spool holds at this moment.
	State() SpoolState
	// Close makes everything durable, acknowledgements too, and lets the spool go, so that it can be opened again at once.
	Close() error
}

// SpoolConsumer is a position in a Spool: which messages a consumer has acknowledged, and how often others have failed. It survives crashes, as
// of a moment that may lie a little back: a message acknowledged just before a crash is read again, none is skipped.
type SpoolConsumer interface {
	// Reader returns a reader of what is not acknowledged, from message n on, or from the first if n is 0.
	Reader(n uint64) SpoolReader
	// Ack acknowledges messages lo to hi, in any order, once or more often. It waits for the disk only where too many would be lost with the process.
	Ack(lo, hi uint64) error
	// Fail counts a failed delivery of message n and returns how many there were, this one included; the count is kept until
	// the message is acknowledged.
	Fail(n uint64) (int, error)
	// Bury moves a message to the dead letters, with the reason and the deliveries counted, and acknowledges it. When it returns nil that is durable;
	// else the message is where it was.
	Bury(ctx context.Context, r spool.Record, reason string) error
	// Position returns the number up to which all messages are acknowledged, and how many messages are not.
	Position() (floor, pending uint64)
}

// breaker is a Spool that says when it fails, as those on disk and in JetStream do; others are looked at now and then.
type breaker interface {
	// Broken returns a channel that is closed when State has Failed.
	Broken() <-chan struct{}
}

// dropper is a SpoolConsumer whose spool may let messages go that are not acknowledged, as those on disk do. Until they are, Position counts them.
type dropper interface {
	// Pending returns how many messages are there that are not acknowledged.
	Pending() uint64
	// Gone returns how many of the messages lo to hi are not acknowledged and not there any more, and the first of them.
	Gone(lo, hi uint64) (first *spool.Gap, n uint64)
	// Lapsed returns a channel that is closed when there may be more of those.
	Lapsed() <-chan struct{}
}

// syncer is a Spool whose Flush tells once of messages that it took and could not keep, as that in JetStream does.
type syncer interface {
	// Sync is Flush that tells of none, and leaves them for Flush to tell.
	Sync(ctx context.Context) error
}

// syncOf flushes a spool for the socket itself: what Flush would tell is for its user.
func syncOf(ctx context.Context, s Spool) error {
	if s, ok := s.(syncer); ok {
		return s.Sync(ctx)
	}
	return s.Flush(ctx)
}

// pendingOf returns how many messages are there that a consumer has not acknowledged.
func pendingOf(from SpoolConsumer) uint64 {
	if d, ok := from.(dropper); ok {
		return d.Pending()
	}
	_, pending := from.Position()
	return pending
}

// dated is a SpoolConsumer that knows without a read, which may have to wait for servers, when the oldest message was stored that is not acknowledged; zero if it does not.
type dated interface{ Oldest() time.Time }

// oldestOf returns when the oldest message was stored that a consumer has not acknowledged.
func oldestOf(from SpoolConsumer) (at time.Time) {
	if d, ok := from.(dated); ok {
		return d.Oldest()
	}
	r := from.Reader(0)
	defer r.Close()
	rec, err := r.TryNext()
	for errors.As(err, new(*spool.Gap)) {
		rec, err = r.TryNext()
	}
	if err != nil { // it is not on disk yet
		return at
	}
	return rec.Time
}

// SpoolReader reads messages in the order of their numbers, as they become as safe as the policy says.
type SpoolReader interface {
	// TryNext returns the next message, with the deliveries that have failed in Attempts; its frames are valid until the next call.
	// It is io.EOF at the end, which more messages may follow, and a *spool.Gap, once, for messages that are lost: the next call goes on behind them.
	// After any other error the next call tries the same again.
	TryNext() (spool.Record, error)
	// More returns a channel that is closed when TryNext may have more than io.EOF to return; nil if that will not come, because the
	// spool has failed.
	More() <-chan struct{}
	// Close lets go of what the reader holds.
	Close() error
}

// SpoolState is a snapshot of a Spool.
type SpoolState struct {
	Next   uint64 // the number that the next message will get
	Bytes  int64  // what the spool takes of its disk, allocated space included
	Full   error  // why there is no room, nil while there is
	Failed error  // what stopped the spool, nil while it works
}

// flushLimit bounds how long a socket that ends waits for a spool on servers that cannot be reached. A disk answers sooner, or fails.
const flushLimit = 5 * time.Second

// flushAtEnd flushes a spool that is closed next. When that takes too long it is left to Close to say what is not safe.
func flushAtEnd(s Spool) error {
	ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
	defer cancel()
	if err := s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// closeAtEnd is flushAtEnd and Close. What both say is said once.
func closeAtEnd(s Spool) error {
	err := flushAtEnd(s)
	closed := s.Close()
	for _, same := range []error{spool.ErrFailed, spool.ErrFull} {
		if errors.Is(err, same) && errors.Is(closed, same) {
			return closed
		}
	}
	return errors.Join(err, closed)
}

// SpoolOf returns a log as a Spool. Whoever is given the Spool closes the log with it; until then the log may be looked at as well.
func SpoolOf(log *spool.Log) Spool { return diskSpool{log, rand.Uint64() | 1} }

// recoveryOf returns what was found when a spool or a window was opened, if it says so, as those on disk do.
func recoveryOf(opened any) *spool.Recovery {
	if o, ok := opened.(interface{ Recovery() spool.Recovery }); ok {
		r := o.Recovery()
		return &r
	}
	return nil
}

// tellRecovery reports damage that was found when a spool, with its dead letters, or a window was opened, and that its end was torn.
func (c *core) tellRecovery(damaged, torn EventKind, opened any) {
	r := recoveryOf(opened)
	if r == nil {
		return
	}
	if r.Torn > 0 {
		c.hub.emit(Event{Kind: torn, Count: uint64(r.Torn)})
	}
	if r.TornLetters > 0 {
		c.hub.emit(Event{Kind: torn, Name: "dead", Count: uint64(r.TornLetters)})
	}
	if err := r.Err(); err != nil {
		c.hub.emit(Event{Kind: damaged, Err: err, Count: r.Missing})
	}
}

// diskSpool is the log on disk.
type diskSpool struct {
	*spool.Log
	life uint64 // drawn when it was opened; never zero
}

// Life tells one opening of the log from others, and from those of its copies.
func (d diskSpool) Life() uint64 { return d.life }

func (d diskSpool) Stream() (spool.ID, uint32) { return d.ID(), d.Incarnation() }

func (d diskSpool) Consumer(name string, from spool.Start) (SpoolConsumer, error) {
	if name == "" {
		return diskConsumer{d.Log, d.Queue()}, nil
	}
	c, err := d.Log.Consumer(name, from)
	return diskConsumer{d.Log, c}, err
}

func (d diskSpool) State() SpoolState {
	s := d.Stats()
	return SpoolState{Next: s.Next, Bytes: s.Bytes, Full: s.Full, Failed: s.Failed}
}

type diskConsumer struct {
	log *spool.Log
	*spool.Consumer
}

func (c diskConsumer) Reader(n uint64) SpoolReader { return c.Consumer.From(n) }

func (c diskConsumer) Bury(ctx context.Context, r spool.Record, reason string) error {
	dead, err := c.log.Dead()
	if err != nil {
		return err
	}
	return dead.Bury(ctx, c.Consumer, r, reason)
}

func (c diskConsumer) Position() (floor, pending uint64) {
	return c.Floor(), c.PendingIn(1, math.MaxUint64)
}
