package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meshmq/meshmq/socket/spool"
)

// keep writes positions that have changed, lets go of the messages that all consumers of a queue have acknowledged then, and looks at the streams now and then.
// They were opened on the connection of that number.
func (s *Spool) keep(link uint64) {
	defer s.finished.Done()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due time.Time // when the timer fires
	set := func(d time.Duration) {
		due = time.Now().Add(d)
		timer.Reset(d)
	}
	var pause backoff
	purge := purging{at: time.Now()}
	var odd doubts
	seen := sight{time.Now(), link}
	status := s.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer s.nc.RemoveStatusListener(status)
	for {
		select {
		case <-status:
		case <-s.soon: // more that follows changes nothing: else it would put the timer off for ever
			if d := min(syncDelay, s.options.Patience); pause == 0 && time.Until(due) > d {
				set(d)
			}
			continue
		case <-s.hurry:
			if pause > 0 { // the timer fires within a second, and a connection that is there again says so
				continue
			}
		case <-timer.C:
		case <-s.ctx.Done():
			return
		}
		before := s.nc.LastError()
		err := s.visit(&seen)
		if e, ok := errors.AsType[*jetstream.APIError](err); ok && outOfRoom(e) && s.makeRoom(&purge) {
			err = s.visit(&seen)
		}
		s.at.Lock()
		s.storing = err
		notify(&s.stored)
		s.at.Unlock()
		switch {
		case err == nil:
			pause.reset()
			odd = doubts{}
			set(min(s.tidy(&purge), surveyDelay))
		case s.hopeless(&odd, err, before):
			s.at.Lock()
			notify(&s.stored) // that have failed
			s.at.Unlock()
			return
		default:
			set(pause.next())
		}
	}
}

// sight is when the streams were looked at, and on which connection.
type sight struct {
	at   time.Time
	link uint64
}

// visit writes positions and looks at the streams if it is time. On a new connection it looks first: with what was there the streams may have been deleted, and others may have
// their names, to which our positions would be wrong.
func (s *Spool) visit(seen *sight) error {
	now := sight{time.Now(), s.nc.Stats().Reconnects}
	err := s.away()
	s.most() // servers may change it while they are there
	due, stale := now.at.Sub(seen.at) >= surveyDelay, now.link != seen.link
	if err == nil && stale {
		err = s.survey(s.ctx)
	}
	if err == nil {
		err = s.store()
	}
	if err == nil && due && !stale {
		err = s.survey(s.ctx)
	}
	if err == nil && (due || stale) {
		*seen = now
	}
	return err
}

// hopeless reports whether the spool has ended because positions cannot be written.
func (s *Spool) hopeless(odd *doubts, err, before error) bool {
	if errors.Is(err, ErrDenied) { // a consumer cannot be erased, and one that was made anew not be written before that
		err = fmt.Errorf("%w: %w", err, spool.ErrFailed)
	}
	if errors.Is(err, spool.ErrFailed) {
		s.fail(err)
	} else if !s.doubt(odd, err, before, stateSubject(s.name, "at.")) && s.away() == nil {
		ctx, cancel := s.patient(s.ctx)
		defer cancel()
		before = s.nc.LastError()
		_, err = s.state.Info(ctx) // nobody answers for a stream that is gone
		if !s.doubt(odd, err, before, `STREAM.INFO.`+stateName(s.name)+`"`) {
			*odd = doubts{}
		}
	}
	return s.failure() != nil
}

// store writes the positions that have changed.
func (s *Spool) store() error {
	if err := s.erase(); err != nil {
		return err
	}
	s.at.Lock()
	var changed []*consumer
	for _, c := range s.positions {
		if c.changes != c.written {
			changed = append(changed, c)
		}
	}
	s.at.Unlock()
	for _, c := range changed {
		if err := s.storeOne(c); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spool) storeOne(c *consumer) error {
	ctx, cancel := s.patient(s.ctx)
	defer cancel()
	s.at.Lock()
	changes, floor := c.changes, c.p.floor
	m := &nats.Msg{Subject: c.subject(), Data: c.p.encode(), Header: nats.Header{}}
	s.at.Unlock()
	m.Header.Set(headerIncarnation, strconv.FormatUint(uint64(s.incarnation), 10))
	ack, err := s.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(c.revision))
	if outdated(err) {
		return s.catchUp(ctx, c, err)
	}
	if err != nil {
		return err
	}
	c.revision = ack.Sequence
	s.at.Lock()
	c.written, c.floor = changes, floor
	s.at.Unlock()
	return nil
}

// catchUp finds out who wrote a position: this spool, whose answer got lost, a former owner, or the next one.
func (s *Spool) catchUp(ctx context.Context, c *consumer, cause error) error {
	if err := s.paired(ctx); err != nil {
		return err
	}
	last, err := s.state.GetLastMsgForSubject(ctx, c.subject())
	switch {
	case missing(err):
		c.revision = 0
	case err != nil:
		return err
	case incarnationOf(last.Header) > s.incarnation:
		s.fail(errTaken)
		return errTaken
	default:
		c.revision = last.Sequence
	}
	return cause // and it is written again
}

// flushPositions returns when what consumers have said so far is stored.
func (s *Spool) flushPositions(ctx context.Context) error {
	s.at.Lock()
	defer s.at.Unlock()
	want := make(map[*consumer]uint64)
	for _, c := range s.positions {
		want[c] = c.changes
	}
	for _, c := range s.removed {
		want[c] = never
	}
	for c, changes := range want {
		for c.written < changes {
			stored := awaited(&s.stored)
			s.at.Unlock()
			var err error
			failed := s.failure()
			if failed == nil { // else the keeper may have ended
				poke(s.hurry)
				err = receive(ctx, stored)
				failed = s.failure()
			}
			s.at.Lock()
			if failed != nil {
				return failed
			}
			if err != nil {
				return errors.Join(err, s.storing)
			}
		}
	}
	return nil
}

func (s *Spool) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// purging is up to where messages have been let go, when that was done last, and what was said against it since.
type purging struct {
	floor uint64
	at    time.Time
	odd   doubts
}

// A purge costs the servers about what a message does, so it is for so many, or what has come together in so long.
const (
	purgeCount = 4096
	purgeDelay = time.Second
)

// tidy lets go of messages that all consumers have acknowledged and whose positions are stored, and returns when to look again.
func (s *Spool) tidy(last *purging) time.Duration {
	if s.options.Kind != spool.Queue {
		return time.Hour
	}
	s.at.Lock()
	low := s.doneLocked(func(c *consumer) uint64 { return c.floor })
	s.at.Unlock()
	if low <= last.floor {
		return time.Hour
	}
	if since := time.Since(last.at); low-last.floor < purgeCount && since < purgeDelay && s.State().Full == nil {
		return purgeDelay - since
	}
	if !s.letGo(last, low) {
		return purgeDelay
	}
	return time.Hour
}

// makeRoom lets go of what is acknowledged though it is not stored that it is: the servers have no room for that, nor ever will while messages take all there is. Who opens the spool after a crash
// just then is told that they are gone.
func (s *Spool) makeRoom(last *purging) bool {
	if s.options.Kind != spool.Queue {
		return false
	}
	s.at.Lock()
	low := s.doneLocked(func(c *consumer) uint64 { return c.p.floor })
	s.at.Unlock()
	return low > last.floor && s.letGo(last, low)
}

// letGo has the servers forget all messages up to low.
func (s *Spool) letGo(last *purging, low uint64) bool {
	ctx, cancel := s.patient(s.ctx)
	defer cancel()
	before := s.nc.LastError()
	if err := s.stream.Purge(ctx, jetstream.WithPurgeSequence(low+1)); err != nil {
		s.doubt(&last.odd, err, before, `STREAM.PURGE.`+s.name+`"`)
		return false
	}
	*last = purging{floor: low, at: time.Now()}
	return true
}
