package jetstream

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/meshmq/meshmq/socket/spool"
)

// surveyDelay is how often the streams are looked at, which costs the servers about what two messages do.
const surveyDelay = time.Second

var errOdd = errors.New("there is something odd about the stream of messages")

// survey looks at what there is: servers drop by retention and quota, and lose streams, without a word. What is odd about the messages is for the sender to look into.
func (s *Spool) survey(ctx context.Context) error {
	ctx, cancel := s.patient(ctx)
	defer cancel()
	safe := s.safe.Load()
	info, err := s.stream.Info(ctx)
	if err != nil || s.changed(info) != nil || info.State.LastSeq < safe {
		s.worry()
		poke(s.kick)
		return cmp.Or(err, errOdd)
	}
	s.note(info.State)
	return s.paired(ctx)
}

// paired returns an error if the stream of positions is not there, or is that of other messages.
func (s *Spool) paired(ctx context.Context) error {
	info, err := s.state.Info(ctx)
	if err != nil {
		return err
	}
	s.stateKeeps.Store(info.Config.DenyDelete && info.Config.DenyPurge)
	if of := info.Config.Metadata[metaOf]; of != s.id.String() && (of != "" || !info.Created.Equal(s.stateSince)) {
		return errReplaced
	}
	return nil
}

// note keeps which messages are there.
func (s *Spool) note(messages jetstream.StreamState) {
	s.at.Lock()
	defer s.at.Unlock()
	s.oldest = messages.FirstTime
	if first := max(messages.FirstSeq, 1); first > s.earliest {
		s.earliest = first
		notify(&s.lapsed)
	}
}

// Pending returns how many messages are there that are not acknowledged. What retention and quota took is known within a second or two, as it is to all of these.
func (c *consumer) Pending() uint64 {
	safe := c.s.safe.Load()
	c.s.at.Lock()
	defer c.s.at.Unlock()
	return c.p.lacks(c.s.earliest, safe)
}

// Oldest returns when the oldest of them was stored, the zero time if that is not known yet. It asks nobody.
func (c *consumer) Oldest() time.Time {
	c.s.at.Lock()
	defer c.s.at.Unlock()
	return c.s.oldest
}

// Gone returns how many of the messages lo to hi retention or a quota took before they were acknowledged, and the first of them; nil if there are none.
func (c *consumer) Gone(lo, hi uint64) (first *spool.Gap, n uint64) {
	safe := c.s.safe.Load()
	c.s.at.Lock()
	defer c.s.at.Unlock()
	hi = min(hi, c.s.earliest-1, safe)
	n = c.p.lacks(lo, hi)
	if n > 0 {
		lo = c.p.nextFree(lo)
		first = &spool.Gap{From: lo, To: min(hi, c.p.nextTaken(lo)-1)}
	}
	return first, n
}

// Lapsed returns a channel that is closed when more messages may be gone.
func (c *consumer) Lapsed() <-chan struct{} {
	c.s.at.Lock()
	defer c.s.at.Unlock()
	return awaited(&c.s.lapsed)
}
