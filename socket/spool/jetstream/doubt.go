package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/meshmq/meshmq/socket/spool"
)

// How many looks in a row, of which the later ones are a second apart, must show what ends the spool.
const (
	certain    = 10  // a few seconds: servers that have just elected a leader may not know everything yet
	certainOff = 180 // three minutes: somebody may have turned JetStream off for the account for as long as it takes to change something
)

// doubts is how often in a row a goroutine of the spool saw what may end it, and how often is enough for that.
type doubts struct{ times, enough int }

// doubt takes note of an error of the servers on a subject with this part, and reports whether it is one of those that end the spool: what they do not permit does so at once.
// The connection had said before last before they were asked.
func (s *Spool) doubt(odd *doubts, err, before error, part string) bool {
	why := s.silenced(err, before, part)
	if errors.Is(err, nats.ErrConnectionClosed) {
		why = err
	}
	if why != nil {
		s.fail(fmt.Errorf("%w: %w", why, spool.ErrFailed))
		return true
	}
	if why = lasting(err); why != nil {
		s.suspect(odd, why)
	}
	return why != nil
}

// suspect ends the spool with why when there was reason for that often enough in a row.
func (s *Spool) suspect(odd *doubts, why error) {
	enough := certain
	if errors.Is(why, errNoAccount) {
		enough = certainOff
	}
	if odd.enough != enough { // a stream may be missing for a moment when JetStream is on again
		*odd = doubts{enough: enough}
	}
	if odd.times++; odd.times >= enough {
		s.fail(why)
	}
}

// silenced is forbidden, and asks whether the connection may hear answers.
func (s *Spool) silenced(err, before error, parts ...string) error {
	if why := s.forbidden(err, before, parts...); why != nil || !errors.Is(err, context.DeadlineExceeded) || !s.nc.IsConnected() {
		return why
	}
	return s.deaf()
}

// deaf returns an error if the connection may not hear answers any more. Servers say so when they take the permission away or at a new connection, once, and it is not the last that they
// say then; so it is tried, with subjects of the lengths that are in use.
func (s *Spool) deaf() error {
	inbox := s.nc.NewInbox()
	for _, rest := range []string{".*", ".*.*"} {
		sub, err := s.nc.SubscribeSync(inbox + rest)
		if err != nil {
			return nil // there is another reason
		}
		defer func() { _ = sub.Unsubscribe() }() // the connection has ended
	}
	ctx, cancel := s.patient(s.ctx)
	defer cancel()
	if err := s.nc.FlushWithContext(ctx); err != nil {
		return nil
	}
	return s.denied(nil, `Subscription to "`+inbox)
}

// forbidden returns an error if err is silence, and the servers have said since before that the connection may not use a subject with one of these parts: they answer
// nothing to what they do not permit. Subjects are in quotes there.
func (s *Spool) forbidden(err, before error, parts ...string) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return s.denied(before, parts...)
}

// denied returns an error if the servers have said so since before.
func (s *Spool) denied(before error, parts ...string) error {
	last := s.nc.LastError()
	if !errors.Is(last, nats.ErrPermissionViolation) || last == before {
		return nil
	}
	for _, part := range parts {
		if strings.Contains(last.Error(), part) {
			return fmt.Errorf("%w (%w)", errForbidden, last)
		}
	}
	return nil
}
