package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// ErrUnavailable is for a Sink's errors that are no fault of the message: nobody takes any. The relay tries again, as often as it takes, and
// no attempt is counted. The socket's own errors of this kind (ErrNoPeer, ErrFull, ErrTimeout, ErrClosed, ErrUnconfirmed, spool.ErrFailed) need no wrapping.
var ErrUnavailable = errors.New("nobody takes messages")

// Message is a row of the outbox.
type Message struct {
	Number   int64 // its place in the table
	ID       codec.ID
	Topic    string
	Key      string    // what WithKey said, or ""
	Frame    []byte    // the envelope, as it is on the wire
	Added    time.Time // when Add was called, by the database's clock
	Attempts int       // how many have failed
	Reason   string    // why the last one did
}

// Sink is where a Relay publishes to: ToPush, ToPub, SinkFunc, or the caller's own. It is called on one goroutine at a time.
type Sink interface {
	// Send hands a message over. It may return before the message is safe. The message is the Sink's until Flush has returned.
	// An error that is patterns.ErrPermanent parks it, one that is ErrUnavailable ends the batch, any other counts as a failed attempt.
	Send(ctx context.Context, m *Message) error
	// Flush returns nil when all that Send has taken is safe: only then is it marked as published. After an error all of it is sent again.
	// It is called before the first Send, too; socket.ErrState then means that nothing can ever be known to be safe, and ends Run.
	Flush(ctx context.Context) error
}

// SinkFunc is a Sink for which a message is safe when the function has returned nil.
type SinkFunc func(ctx context.Context, m *Message) error

// Send calls the function.
func (f SinkFunc) Send(ctx context.Context, m *Message) error { return f(ctx, m) }

// Flush returns nil.
func (f SinkFunc) Flush(context.Context) error { return nil }

// ToPush publishes work: to the Push of a pushpull.Producer, or any other. With socket.WithSpool a message is published when it is in the spool, as safe as the
// spool's policy says, from where it is delivered at least once whatever happens to the outbox. With socket.WithAck alone it is published when
// a worker has handled it, or the socket has made it a dead letter: what rejects a message is WithDeadLetter's business. (Peers that do not acknowledge
// get it at most once, unless socket.WithAckRequired keeps them out.) With neither, nothing could be known, and Run returns socket.ErrState.
func ToPush(push *socket.Push) Sink {
	return &pushSink{push: push, spooled: push.Stats().Spool != nil}
}

type pushSink struct {
	push    *socket.Push
	spooled bool
}

func (s *pushSink) Send(ctx context.Context, m *Message) (err error) {
	if !s.spooled {
		return s.push.Send(ctx, m.Frame)
	}
	_, err = s.push.Enqueue(ctx, m.Frame) // one sync for all of the batch
	return err
}

func (s *pushSink) Flush(ctx context.Context) error {
	if s.spooled {
		return s.push.Flush(ctx)
	}
	return s.push.WaitAcked(ctx)
}

// ToPub publishes events under their topics: with the Pub of a pubsub.Publisher, or any other that has socket.WithSpool. An event is published when it is
// in the publisher's log, from where durable subscribers get it at least once. A Pub without a log would lose what nobody listens to at the moment:
// Run returns socket.ErrState. Who wants that takes a SinkFunc.
func ToPub(pub *socket.Pub) Sink { return pubSink{pub} }

type pubSink struct{ pub *socket.Pub }

func (s pubSink) Send(ctx context.Context, m *Message) error {
	return s.pub.Send(ctx, []byte(m.Topic), m.Frame)
}

func (s pubSink) Flush(ctx context.Context) error { return s.pub.Flush(ctx) }

// verdict is what an error of Send means.
type verdict uint8

const (
	taken   verdict = iota
	outage          // nobody takes anything
	failed          // this message, this time
	refused         // this message, for good
)

// outages are what says more about the sink than about the message.
var outages = []error{
	ErrUnavailable, context.Canceled, context.DeadlineExceeded, spool.ErrFailed, spool.ErrFull, spool.ErrClosed,
	socket.ErrNoPeer, socket.ErrFull, socket.ErrTimeout, socket.ErrClosed, socket.ErrUnconfirmed, socket.ErrState,
}

func judge(err error) verdict {
	switch {
	case err == nil:
		return taken
	case errors.Is(err, patterns.ErrPermanent), errors.Is(err, spool.ErrTooLarge):
		return refused
	}
	for _, e := range outages {
		if errors.Is(err, e) {
			return outage
		}
	}
	return failed
}
