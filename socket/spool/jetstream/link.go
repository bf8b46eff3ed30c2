package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meshmq/meshmq/socket/spool"
)

// What is given to the client while the servers are away it keeps, and sends as soon as they are there: before anybody has looked at what they have, and without
// another look at the size, for which they close the connection for good if it is more than they take. So nothing is given to it that can wait.

// away returns why the servers cannot be asked now, nil if they can.
func (s *Spool) away() error {
	switch {
	case s.nc.IsConnected():
		return nil
	case s.nc.IsClosed():
		return nats.ErrConnectionClosed
	}
	return nats.ErrDisconnected
}

// reach waits until the servers are there.
func (s *Spool) reach(ctx context.Context) error {
	if err := s.away(); err == nil {
		return nil
	}
	status := s.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer s.nc.RemoveStatusListener(status)
	for {
		err := s.away()
		if err == nil || errors.Is(err, nats.ErrConnectionClosed) {
			return err
		}
		select {
		case <-status:
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", ctx.Err(), err)
		}
	}
}

// most returns how large a message may be, for the servers that are there, or were there last. The client says that only when no write is stuck: callers who may not wait for that have what it said last,
// in takes. Servers that Open would refuse do not count: what they take is sent to them, and what they do not is kept until somebody sets them right, or that has lasted.
func (s *Spool) most() int {
	if payload := s.nc.MaxPayload(); payload >= leastPayload {
		s.takes.Store(payload - headerRoom)
	}
	return int(s.takes.Load())
}

func tooLarge(size, most int) error {
	return fmt.Errorf("message of %d bytes: %w: raise max_payload of the servers, for which it may be %d", size, spool.ErrTooLarge, most)
}

// emptyLocked returns the numbers up to n, of those that wait, that keep the place of nothing.
func (s *Spool) emptyLocked(n uint64) (empty []uint64) {
	for _, e := range s.queue {
		if e.number > n {
			break
		}
		if e.empty {
			empty = append(empty, e.number)
		}
	}
	return empty
}

// skip acknowledges such numbers before they count as messages: nobody waits for those then, or has to read them to find out.
func (s *Spool) skip(empty []uint64) {
	s.at.Lock()
	defer s.at.Unlock()
	for _, c := range s.positions {
		for _, n := range empty {
			if c.p.fits(n, n) && c.p.ack(n, n) { // else who reads it does that
				c.changedLocked()
			}
		}
	}
}

// voidLocked gives up a message that the servers take no more, and keeps its place, so that those behind it keep theirs.
func (s *Spool) voidLocked(e *entry, most int) {
	why := tooLarge(e.size, most)
	if e.tries > 0 { // while they took it, and nobody knows whether that will be found in the end
		why = fmt.Errorf("%w, and they had it given once: it may be in the spool", why)
	}
	e.end(why)
	e.void, e.empty = true, e.tries == 0
	if e.kept {
		s.voids[e.number] = why
		s.untold = append(s.untold, fmt.Errorf("message %d: %w", e.number, why))
	}
	s.bytes -= e.size
	e.size = 0
	e.msg = &nats.Msg{Subject: s.subject, Header: nats.Header{}}
	e.msg.Header.Set(headerFrames, void)
	e.msg.Header.Set(jetstream.MsgIDHeader, e.id)
	e.msg.Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(e.number-1, 10))
}
