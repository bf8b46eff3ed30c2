package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// Spool is a socket.Spool in JetStream. All methods may be called from many goroutines. While the servers cannot be reached it
// waits for them, as long as the contexts of its callers last, and while they have no room as Options.Full says. What will not pass by itself ends it (spool.ErrFailed, and why, in
// State.Failed too): a stream that is gone, sealed, somebody else's or otherwise such that it takes nothing, messages that the servers have lost, a permission that is missing or was taken away, deny_purge for a queue, a connection that is closed, JetStream off for the account for three minutes.
type Spool struct {
	nc          *nats.Conn
	js          jetstream.JetStream
	name        string
	options     Options
	id          spool.ID
	incarnation uint32
	subject     string           // of messages written now
	inbox       string           // answers to them come to inbox.ROUND.NUMBER
	stream      jetstream.Stream // of the messages
	created     time.Time        // when that was
	state       jetstream.Stream
	stateSince  time.Time
	stateKeeps  atomic.Bool            // nothing can be removed from it
	was         jetstream.StreamConfig // that of the messages, before it was opened
	subs        []*nats.Subscription
	said        error  // the sender's own: what the connection had said last before it published
	link        uint64 // the sender's own: the connection, by its number, on which it has looked at the stream

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	broken   chan struct{} // closed when failed is set by what is not Close
	finished sync.WaitGroup
	kick     chan struct{} // wakes the sender
	soon     chan struct{} // has the keeper write within syncDelay
	hurry    chan struct{} // has it write now
	takes    atomic.Int64  // how large a message may be
	safe     atomic.Uint64 // number of the last message that is confirmed

	mu      sync.Mutex // guards the fields below
	queue   []*entry   // those behind safe, in order
	bytes   int        // of the queue
	sent    int        // how many of the queue were published in this round
	highest uint64     // number that was ever published
	serial  uint64     // of messages, withdrawn ones included
	round   uint64     // of publishing: answers to earlier rounds do not refuse
	trouble bool       // publishing waits until the stream has been looked at
	full    error      // why there is no room
	refusal error      // what the servers said against the first of the queue, since the stream was looked at
	failed  error      // sticky
	left    uint64     // messages that were not confirmed then
	closed  bool
	voids   map[uint64]error // numbers of messages that the servers took no more, and why: what keeps their places says nothing
	untold  []error          // those of them that Flush has not told of
	roomy   chan struct{}    // closed when the queue gets shorter; nil while nobody waits
	grown   chan struct{}    // closed when safe has grown; nil while nobody waits

	at        sync.Mutex // guards the fields below, and what consumers hold
	positions map[string]*consumer
	removed   []*consumer         // whose positions the servers still have
	stored    chan struct{}       // closed when positions have been written, or have not; nil while nobody waits
	storing   error               // why they have not
	earliest  uint64              // number of the first message that was there at the last look
	oldest    time.Time           // when that was stored
	lapsed    chan struct{}       // closed when earliest has grown; nil while nobody waits
	taken     map[uint64]struct{} // the letters that are being replayed
}

var _ socket.Spool = (*Spool)(nil)

// entry is a message that is not confirmed.
type entry struct {
	msg     *nats.Msg
	id      string
	number  uint64
	size    int
	tries   int           // how often it was published
	refused uint64        // the last round in which it was refused, plus 1
	kept    bool          // somebody has been told its number
	void    bool          // its place is kept, without the message
	empty   bool          // and that is certain: no server was given the message before
	done    chan struct{} // closed when err is final
	err     error
}

// end says what has become of the message, unless that has been said.
func (e *entry) end(err error) {
	if !e.void {
		e.err = err
		close(e.done)
	}
}

// Stream returns the id of the spool, and the incarnation of messages written now: each Open counts it up.
func (s *Spool) Stream() (spool.ID, uint32) { return s.id, s.incarnation }

// State returns what the spool holds. Bytes are those of messages on their way only: what the servers keep is theirs to say.
func (s *Spool) State() socket.SpoolState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return socket.SpoolState{Next: s.nextLocked(), Bytes: int64(s.bytes), Full: s.full, Failed: s.failed}
}

// Broken returns a channel that is closed when the spool has failed, as State.Failed says then. Closing the spool does not close it.
func (s *Spool) Broken() <-chan struct{} { return s.broken }

func (s *Spool) nextLocked() uint64 { return s.safe.Load() + uint64(len(s.queue)) + s.left + 1 }

// errLocked returns why nothing can be appended, nil if it can.
func (s *Spool) errLocked() error {
	if s.closed {
		return spool.ErrClosed
	}
	return s.failed
}

func (s *Spool) err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errLocked()
}

// fail stops the spool for good. Messages that are not confirmed keep their numbers: they may be stored or not.
func (s *Spool) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return
	}
	if s.left = uint64(len(s.queue)); s.left > 0 {
		err = fmt.Errorf("%d messages are not confirmed: %w", s.left, err)
	}
	s.failed = err
	if errors.Is(err, spool.ErrFailed) {
		close(s.broken)
	}
	for _, e := range s.queue {
		e.end(err)
	}
	s.queue, s.bytes, s.sent = nil, 0, 0
	notify(&s.roomy)
	notify(&s.grown)
}

// Close waits until all that was appended is confirmed and positions are written, twice Options.Patience at most, and lets the spool go. Where the connection takes nothing more, it waits for
// as long as the client does with what it writes. The error says
// what is not confirmed. Further calls return nil.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	notify(&s.roomy)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*s.options.Patience)
	defer cancel()
	err := s.flush(ctx)
	if err == nil {
		_ = s.survey(ctx) // so that what is left is counted as it is; what it finds odd comes too late
	}
	left := 0
	s.mu.Lock()
	left = len(s.queue)
	s.mu.Unlock()
	s.cancel()
	s.finished.Wait()
	for _, sub := range s.subs {
		_ = sub.Unsubscribe() // a connection that was closed has none
	}
	s.fail(spool.ErrClosed)
	s.at.Lock()
	notify(&s.stored) // who waits for positions in Flush, which nobody writes any more
	s.at.Unlock()
	if left > 0 {
		err = fmt.Errorf("%d messages are not confirmed: %w", left, err)
	}
	if err != nil && !errors.Is(err, spool.ErrFailed) { // which everybody was told
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}

// poke wakes a goroutine of ours without waiting for it.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// notify closes a channel that may be waited for.
func notify(ch *chan struct{}) {
	if *ch != nil {
		close(*ch)
		*ch = nil
	}
}

// awaited returns the channel in place, made if need be.
func awaited(ch *chan struct{}) chan struct{} {
	if *ch == nil {
		*ch = make(chan struct{})
	}
	return *ch
}

// receive waits until ch is closed or ctx ends.
func receive(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// patient returns a context for one question to the servers.
func (s *Spool) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.options.Patience)
}
