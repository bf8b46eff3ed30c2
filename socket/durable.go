package socket

import (
	"errors"
	"fmt"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Durable subscriptions as subscribers see them: transport/zmtp/DURABLE.md. What publishers do is in archive.go.

// MissedError says which messages a durable subscription will never get, as far as anybody knows: how many of them it was subscribed to cannot be told. It is an ErrMissed.
// Of several members of a name each is told, and again when the publisher was started anew.
type MissedError struct {
	Name     string // of the subscription
	Peer     *Peer  // the publisher
	From, To uint64 // numbers in the publisher's log
	Damaged  bool   // they cannot be read any more; else retention or quota took them
}

// Error says which, and why.
func (e *MissedError) Error() string {
	why := "left the publisher's log before they were delivered"
	if e.Damaged {
		why = "cannot be read from the publisher's log"
	}
	return fmt.Sprintf("%s: %s: %d to %d %s", ErrMissed, e.Name, e.From, e.To, why)
}

// Unwrap returns ErrMissed.
func (e *MissedError) Unwrap() error { return ErrMissed }

var (
	errNoLog    = errors.New("the publisher keeps no log (WithSpool), and WithDurable asks for one")
	errUnasked  = fmt.Errorf("%w: RESUMED or LOST without RESUME", zmtp.ErrCommand)
	errAnswered = fmt.Errorf("%w: a second RESUMED", zmtp.ErrCommand)
)

// keepsLog reports whether a publisher feeds durable subscriptions.
func (c *config) keepsLog(who zmtp.Peer) bool {
	in, _, _ := c.acknowledged(&Peer{metadata: who.Metadata})
	return in
}

// resumeLocked sends RESUME to publishers that have been told all topics, once there are any. s.mu is held.
func (s *subscriber) resumeLocked() {
	r := s.c.cfg.durable
	if r == nil || s.topics.Len() == 0 {
		return
	}
	for p, t := range s.peers {
		if !t.resumes {
			t.resumes = true
			p.out.Control(zmtp.AppendResume(nil, r), false)
		}
	}
}

// resumed handles RESUMED and LOST. An error ends the connection.
func (p *pipe) resumed(name, data []byte) error {
	s, ok := p.c.pat.(interface {
		answered(p *pipe, resumed bool) error
	})
	if !ok {
		return nil
	}
	durable, peer := p.c.cfg.durable.Name, p.peer.Load()
	if string(name) == zmtp.CommandResumed {
		r, err := zmtp.ParseResumed(data)
		if err == nil {
			err = s.answered(p, true)
		}
		if err != nil {
			return err
		}
		p.c.report(Event{Kind: Resumed, Endpoint: p.endpoint, Peer: peer, Name: durable, From: r.Floor + 1, To: r.Next - 1})
		return nil
	}
	l, err := zmtp.ParseLost(data)
	if err == nil {
		err = s.answered(p, false)
	}
	if err != nil {
		return err
	}
	missed := MissedError{Name: durable, Peer: peer, From: l.First, To: l.Last, Damaged: l.Damaged}
	count := l.Last - l.First + 1
	p.c.missed.Add(count)
	p.c.report(Event{Kind: Missed, Endpoint: p.endpoint, Peer: peer, Name: durable, From: l.First, To: l.Last, Count: count, Err: &missed})
	p.c.recv.miss(missed)
	return nil
}

// answered notes an answer to RESUME, or the news that come behind it.
func (s *subscriber) answered(p *pipe, resumed bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.peers[p]
	switch {
	case t == nil: // we are about to leave
	case !t.resumes, !resumed && !t.resumed:
		return errUnasked
	case resumed && t.resumed:
		return errAnswered
	default:
		t.resumed = true
	}
	return nil
}

// keptMissed bounds the errors that wait for Recv: a publisher that makes more has the last one grow.
const keptMissed = 64

// miss has Recv return an error. Gaps that follow one another are one, and one that is told again is no other.
func (r *receiver) miss(e MissedError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, m := range r.missed {
		last := i == keptMissed-1
		if m.Peer != e.Peer && !last {
			continue
		}
		if follows := m.To+1 == e.From && m.Damaged == e.Damaged; follows || last || *m == e {
			m.From, m.To = min(m.From, e.From), max(m.To, e.To)
			return
		}
	}
	r.missed = append(r.missed, &e)
	r.wait.wake()
}
