package socket

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// told is how far a publisher is with the subscriptions it was told of.
type told struct {
	deaf      bool   // it speaks ZMTP 1.0: it wants to hear nothing, and sends everything
	mute      bool   // it knows no PING, which came with ZMTP 3.1 and is WebSocket's own too
	resumes   bool   // it was sent RESUME
	resumed   bool   // it answered
	asked     bool   // a PING went behind those of version
	version   uint64 // of the latest PING
	confirmed bool   // a PONG came back
	latest    uint64 // the version of the latest PONG
}

// subscribedContext marks the PINGs that follow subscriptions; the version comes behind it. It has not the length of the
// context of a heartbeat.
const subscribedContext = "topics"

// askLocked sends a PING behind the subscriptions of each publisher that was not asked since they changed, if somebody wants to
// know.
func (s *subscriber) askLocked() {
	listening := s.c.hub.active.Load() && s.topics.Len() > 0
	if s.waiting == 0 && !listening {
		return
	}
	for p, t := range s.peers {
		if t.asked && t.version == s.version || t.mute {
			continue
		}
		t.asked, t.version = true, s.version
		context := binary.BigEndian.AppendUint64([]byte(subscribedContext), s.version)
		p.out.Control(zmtp.AppendPing(nil, 0, context), false)
	}
}

// command takes the PONG to one of our PINGs. A publisher deals with commands in their order.
func (s *subscriber) command(p *pipe, name, data []byte) {
	version, mine := pongVersion(name, data)
	if !mine {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.peers[p]
	if t == nil || !t.asked || version > t.version || t.confirmed && version <= t.latest {
		return
	}
	t.confirmed, t.latest = true, version
	s.changedLocked()
	if version == s.version {
		s.c.hub.emit(Event{Kind: Confirmed, Endpoint: p.endpoint, Peer: p.peer.Load()})
	}
}

func pongVersion(name, context []byte) (version uint64, ok bool) {
	if string(name) != zmtp.CommandPong || len(context) != len(subscribedContext)+8 || string(context[:len(subscribedContext)]) != subscribedContext {
		return 0, false
	}
	return binary.BigEndian.Uint64(context[len(subscribedContext):]), true
}

func (s *subscriber) changedLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// WaitSubscribed blocks until at least n connected publishers have dealt with all subscriptions made so far, so that nothing is missed
// of what they send from then on. It sends a PING behind the subscriptions and waits for the PONG: a meshmq publisher has the subscriptions
// in force by then, unless it has WithManual; others have received them. Behind a proxy it is the proxy that answers. Publishers that speak less than ZMTP 3.1, other
// than over WebSocket, know no PING and never count, but for those of 1.0, which send everything; the error tells how many those are. It is ErrNoPeer, and
// ErrTimeout when ctx's deadline passed.
func (s *subscriber) WaitSubscribed(ctx context.Context, n int) error {
	const op = "wait to be subscribed"
	if err := s.c.usable(); err != nil {
		return &Error{Op: op, Err: err}
	}
	s.mu.Lock()
	s.waiting++
	version := s.version
	s.askLocked()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
	}()
	for {
		s.mu.Lock()
		have, mute := s.confirmedLocked(version)
		changed := s.changed
		s.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			why := fmt.Errorf("%w: %d of %d publishers confirmed, %d speak less than ZMTP 3.1 and cannot", ErrNoPeer, have, n, mute)
			return &Error{Op: op, Err: &blocked{why, ctx.Err()}}
		case <-s.c.closed:
			return &Error{Op: op, Err: ErrClosed}
		}
	}
}

// confirmedLocked returns how many publishers have confirmed the topics of a version, and how many cannot.
func (s *subscriber) confirmedLocked(version uint64) (have, mute int) {
	for _, t := range s.peers {
		switch {
		case t.deaf, t.confirmed && t.latest >= version:
			have++
		case t.mute:
			mute++
		}
	}
	return have, mute
}
