package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// ErrUnavailable is for a Sink's errors that are no fault of the message: nobody takes any. The relay tries again, as often as it takes, and
// no attempt is counted. The socket's own errors of this kind (ErrNoPeer, ErrFull, ErrTimeout, ErrClosed, ErrUnconfirmed, ErrOption, spool.ErrFailed) need no wrapping.
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
	bad      error     // what is wrong with the row: nobody can publish it
}

// Sink is where a Relay publishes to: ToPush, ToPublisher, SinkFunc, or the caller's own. It is called on one goroutine at a time.
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

// ToPublisher publishes events under their topics, for its subscribers to get as they get those of Publish: the publisher has pubsub.WithLog. An event is published when it
// is in that log, from where durable subscribers get it at least once. One whose topic is malformed (pubsub.ErrTopic) is parked. A publisher without a log would lose what
// nobody listens to at the moment: Run returns socket.ErrState. Who wants that takes a SinkFunc.
func ToPublisher(p *pubsub.Publisher) Sink { return publisherSink{p} }

type publisherSink struct{ p *pubsub.Publisher }

func (s publisherSink) Send(ctx context.Context, m *Message) error {
	err := s.p.PublishEnvelope(ctx, m.Topic, m.Frame)
	if errors.Is(err, pubsub.ErrTopic) || errors.Is(err, patterns.ErrMalformed) {
		return patterns.Permanent(err) // it is no better next time
	}
	return err
}

func (s publisherSink) Flush(ctx context.Context) error { return s.p.Flush(ctx) }

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
	ErrUnavailable, context.Canceled, context.DeadlineExceeded, spool.ErrFailed, spool.ErrFull, spool.ErrClosed, socket.ErrOption,
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
