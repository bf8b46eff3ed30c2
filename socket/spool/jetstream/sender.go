package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meshmq/meshmq/socket/spool"
)

// publishRun is how many messages are published between two looks at what else there is to do.
const publishRun = 64

// send publishes what is queued until the spool is closed. After a refusal, a lost connection or silence it looks at what the stream has and goes on
// behind that.
func (s *Spool) send() {
	defer s.finished.Done()
	status := s.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer s.nc.RemoveStatusListener(status)
	quiet := time.NewTimer(s.options.Patience)
	defer quiet.Stop()
	var pause backoff
	var odd doubts
	before := uint64(0)
	s.said = s.nc.LastError()
	for s.ctx.Err() == nil {
		if s.troubled() {
			if !s.rest(pause.next(), status) {
				return
			}
			s.look(&odd)
			continue
		}
		if s.publish() {
			continue
		}
		if safe := s.safe.Load(); safe != before {
			before = safe
			pause.reset()
		}
		quiet.Reset(s.options.Patience)
		select {
		case <-s.kick:
		case <-status:
			s.most()
			s.worry()
		case <-quiet.C:
			if s.safe.Load() == before && s.State().Next > before+1 {
				s.doubt(&odd, context.DeadlineExceeded, s.nc.LastError(), s.inbox) // it may be that answers to messages alone are not let through
				s.worry()
			}
		case <-s.ctx.Done():
		}
	}
}

// rest waits, shorter if the connection is there again.
func (s *Spool) rest(d time.Duration, status <-chan nats.Status) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-status:
	case <-s.ctx.Done():
		return false
	}
	return true
}

func (s *Spool) troubled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble && s.failed == nil
}

// worry stops publishing until the stream has been looked at.
func (s *Spool) worry() {
	s.mu.Lock()
	s.trouble = true
	s.mu.Unlock()
}

// publish sends the next few messages and reports whether there were any.
func (s *Spool) publish() bool {
	if link := s.nc.Stats().Reconnects; link != s.link {
		s.link = link
		s.worry()
	}
	if s.away() != nil {
		return false // until the connection says that it is there again, or closed
	}
	most := s.most()
	s.mu.Lock()
	if s.trouble || s.failed != nil {
		s.mu.Unlock()
		return s.failed == nil
	}
	run := slices.Clone(s.queue[s.sent:min(len(s.queue), s.sent+publishRun)])
	s.sent += len(run)
	for _, e := range run {
		if e.size > most {
			s.voidLocked(e, most)
		}
		e.tries++
		s.highest = max(s.highest, e.number)
		e.msg.Reply = s.inbox + "." + strconv.FormatUint(s.round, 10) + "." + strconv.FormatUint(e.number, 10)
	}
	s.mu.Unlock()
	for _, e := range run {
		if s.away() != nil {
			s.worry()
			return true
		}
		if err := s.nc.PublishMsg(e.msg); errors.Is(err, nats.ErrConnectionClosed) {
			s.fail(fmt.Errorf("%w: %w", err, spool.ErrFailed))
			return false
		} else if err != nil {
			s.balk(e.number, err)
			return true
		}
	}
	return len(run) > 0
}

// balk takes note that the client does not publish a message: the connection is gone, or takes no message as large any more.
func (s *Spool) balk(number uint64, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number == s.safe.Load()+1 {
		s.refusal = why
	}
	s.trouble = true
}

// answer is what a server says about a message.
type answer struct {
	Sequence uint64              `json:"seq"`
	Error    *jetstream.APIError `json:"error"`
}

// hear takes an answer to a message.
func (s *Spool) hear(m *nats.Msg) {
	place, ok := strings.CutPrefix(m.Subject, s.inbox+".")
	first, second, _ := strings.Cut(place, ".")
	round, err := strconv.ParseUint(first, 10, 64)
	number, err2 := strconv.ParseUint(second, 10, 64)
	if !ok || err != nil || err2 != nil {
		return
	}
	var a answer
	switch err := json.Unmarshal(m.Data, &a); {
	case err != nil, a.Error != nil: // nobody listens, or what the server says
		s.refuse(round, number, a.Error)
	case a.Sequence == number:
		s.confirm(number)
		poke(s.kick)
	default:
		s.fail(errTaken)
	}
}

// refuse takes note that a message was not stored.
func (s *Spool) refuse(round, number uint64, why *jetstream.APIError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	safe := s.safe.Load()
	if round != s.round || number <= safe || number > safe+uint64(len(s.queue)) {
		return
	}
	s.queue[number-safe-1].refused = round + 1
	if why != nil && outOfRoom(why) {
		s.full = why
	}
	if why != nil && number == safe+1 { // those behind it cannot be stored without it
		s.refusal = why
	}
	s.trouble = true
	poke(s.kick)
}

// look finds out what the stream has, and has the rest published again. It counts in odd what ends the spool if it stays so.
func (s *Spool) look(odd *doubts) {
	ctx, cancel := s.patient(s.ctx)
	defer cancel()
	before := s.nc.LastError()
	if err := s.away(); err != nil {
		s.doubt(odd, err, before, "")
		return
	}
	info, err := s.stream.Info(ctx)
	if err != nil {
		s.doubt(odd, err, before, `STREAM.INFO.`+s.name+`"`)
		return
	}
	if err := s.changed(info); err != nil {
		s.fail(err)
		return
	}
	if safe := s.safe.Load(); info.State.LastSeq < safe {
		s.suspect(odd, fmt.Errorf("the servers have lost messages %d to %d: %w", info.State.LastSeq+1, safe, spool.ErrFailed))
		return
	}
	mine, err := s.wrote(ctx, info.State.LastSeq)
	if err != nil {
		s.doubt(odd, err, before, `STREAM.MSG.GET.`+s.name+`"`)
		return
	}
	if !mine {
		s.fail(errTaken)
		return
	}
	s.confirm(info.State.LastSeq)
	before, s.said = s.said, s.nc.LastError()
	if !s.doubt(odd, s.again(), before, `"`+s.subject+`"`) {
		*odd = doubts{}
	}
}

// again has what is not confirmed published anew, and returns what the servers said against it; if that is nothing, that they were silent.
func (s *Spool) again() (refusal error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.withdrawLocked()
	refusal, s.refusal = s.refusal, nil
	if refusal == nil && len(s.queue) > 0 {
		refusal = context.DeadlineExceeded
	}
	s.round++
	s.sent, s.trouble = 0, false
	return refusal
}

// changed returns what ends the spool if its stream is configured like this.
func (s *Spool) changed(info *jetstream.StreamInfo) error {
	c := info.Config
	switch {
	case c.Metadata[metaID] != s.id.String() && !info.Created.Equal(s.created):
		return errReplaced
	case c.Metadata[metaID] != s.id.String():
		return &fault{fmt.Sprintf("somebody has changed the metadata of the stream: set it again, %v", s.options.config(s.name, s.id, s.incarnation).Metadata), []error{spool.ErrFailed}}
	case len(c.Subjects) == 1 && c.Subjects[0] == s.subject:
		if c.DenyPurge && !c.Sealed && s.options.Kind == spool.Queue { // of one that is sealed servers say so
			return errKept
		}
		return nil
	case len(c.Subjects) == 1 && strings.HasPrefix(c.Subjects[0], subjects(s.name)):
		return errTaken
	}
	return errChanged
}

// wrote reports whether the message at the end of the stream is the one that this spool has there. As each message names
// the one before it, all up to there are then.
func (s *Spool) wrote(ctx context.Context, n uint64) (bool, error) {
	s.mu.Lock()
	safe := s.safe.Load()
	if n <= safe {
		s.mu.Unlock()
		return true, nil
	}
	if n > s.highest || n > safe+uint64(len(s.queue)) {
		s.mu.Unlock()
		return false, nil
	}
	id := s.queue[n-safe-1].id
	s.mu.Unlock()
	m, err := s.first(ctx, n)
	if missing(err) || err == nil && m.Sequence != n { // gone already; only this incarnation can have written it
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return m.Header.Get(jetstream.MsgIDHeader) == id, nil
}
