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
	if err := s.paired(ctx); err != nil {
		return err
	}
	s.date(ctx, info.State)
	return nil
}

// date finds out when the first message was stored that the receivers of a queue have not acknowledged, where other consumers keep those before it.
func (s *Spool) date(ctx context.Context, messages jetstream.StreamState) {
	s.at.Lock()
	c, others := s.positions[tokenOf("")], len(s.positions) > 1
	if c == nil || !others {
		s.at.Unlock()
		return
	}
	n := c.p.nextFree(messages.FirstSeq)
	if n > messages.LastSeq { // what comes there is younger
		c.dated, c.date = n, time.Time{}
	}
	known := n == c.dated && !c.date.IsZero()
	s.at.Unlock()
	if n == messages.FirstSeq || n > messages.LastSeq || known {
		return
	}
	m, err := s.first(ctx, n)
	if err != nil {
		return // the next look tries again
	}
	s.at.Lock()
	defer s.at.Unlock()
	c.dated, c.date = n, m.Time
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

// Pending returns how many messages are there that are not acknowledged. What this process has done counts at once: Append and Ack when they return, Bury too. What the servers do by
// themselves is known after the next look, within two seconds while they answer: here, in Gone and in Oldest what retention and quota took, or somebody else has purged.
func (c *consumer) Pending() uint64 {
	safe := c.s.safe.Load()
	c.s.at.Lock()
	defer c.s.at.Unlock()
	return c.p.lacks(c.s.earliest, safe)
}

// Oldest returns when the oldest of them was stored, the zero time if there is none or that is not known yet, as for two seconds when there was none before it. It asks nobody: after an Ack it may for two seconds be the time of one before it. That
// holds for the receivers of a queue, and for a named consumer as long as nobody is before it.
func (c *consumer) Oldest() time.Time {
	safe := c.s.safe.Load()
	c.s.at.Lock()
	defer c.s.at.Unlock()
	switch {
	case c.p.nextFree(c.s.earliest) > safe:
		return time.Time{}
	case c.dated > c.s.earliest:
		return c.date
	}
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
