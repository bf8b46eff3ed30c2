package socket

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Req asks REP and ROUTER peers in turn, one request at a time (RFC 28, REQ): Send, Recv, Send, Recv. It never locks up: after a Recv that
// failed, the next request may be sent, and a late reply to the one before is told apart. It asks only
// peers that are connected; when the asked one goes away, Recv fails at once with ErrPeerGone. It
// is safe for use by any number of goroutines; those that share it use Request.
type Req struct {
	core
	balancer
	receiver

	turn    chan struct{} // held by Request
	sending chan struct{} // held by Send, over the wait for a peer

	askMu      sync.Mutex // guards the fields below; not held over any wait
	asked      *pipe      // whose reply is due; nil when a request may be sent
	askedOf    *Peer
	abandoned  bool // nobody waits for the reply: another request may be sent
	correlated bool // the request carried id
	id         uint32
	envelope   [2][]byte // id and the empty delimiter
}

var errBusy = errors.New("another request is under way")

// NewReq returns a REQ socket. It uses nothing until Bind or Connect; Close it in the end.
func NewReq(opts ...Option) *Req {
	s := &Req{turn: make(chan struct{}, 1), sending: make(chan struct{}, 1)}
	s.envelope[0] = make([]byte, 4)
	s.core.init(zmtp.Req, s, opts)
	s.balancer.init(&s.core)
	s.receiver.init(&s.core)
	return s
}

// enroll leaves endpoints out until they are connected.
func (s *Req) enroll(*pipe) error { return nil }

func (s *Req) attach(p *pipe) error {
	s.balancer.attach(p)
	s.receiver.attach(p)
	return nil
}

func (s *Req) detach(p *pipe) {
	s.balancer.detach(p)
	s.receiver.detach(p)
	s.askMu.Lock()
	defer s.askMu.Unlock()
	if s.asked == p {
		s.receiver.notify(ErrPeerGone)
	}
}

func (s *Req) forget(p *pipe)                { s.balancer.forget(p) }
func (s *Req) room(p *pipe)                  { s.balancer.room(p) }
func (s *Req) deliver(p *pipe, b link.Batch) { s.receiver.deliver(p, b) }
func (s *Req) stopSending(err error)         { s.balancer.stopSending(err) }
func (s *Req) stopReceiving(err error)       { s.receiver.stopReceiving(err) }

// Send sends a request to the next connected peer. It copies the frames. It blocks while no peer is connected, as
// Push does. While the reply to the request before is due it is ErrState, unless WithRelaxed was given.
func (s *Req) Send(ctx context.Context, frames ...[]byte) error {
	return s.send(ctx, frames, nil)
}

// SendOwned is Send without a copy of large frames (above 32 KiB): they belong to the socket from the call on, unless it returns an
// error, and must not be changed or used for anything else.
func (s *Req) SendOwned(ctx context.Context, frames ...[]byte) error {
	return s.send(ctx, nil, frames)
}

// send sends frames, which are copied, or those given away: see pipe.queue.
func (s *Req) send(ctx context.Context, frames, given [][]byte) error {
	size, err := s.balancer.admit(frames, given)
	if err != nil {
		return err
	}
	if err := acquire(ctx, s.sending); err != nil {
		return &Error{Op: "send", Err: &blocked{errBusy, err}}
	}
	defer func() { <-s.sending }()
	if err := s.renew(); err != nil {
		return &Error{Op: "send", Err: err}
	}
	for {
		p, flush, err := s.ask(frames, given, size)
		if p != nil {
			if flush {
				p.out.Flush()
			}
			return nil
		}
		if err == nil {
			err = s.balancer.block(ctx)
		}
		if err != nil {
			return &Error{Op: "send", Err: err}
		}
	}
}

// acquire takes the only place in turn. A context that has ended makes it a try.
func acquire(ctx context.Context, turn chan struct{}) error {
	select {
	case turn <- struct{}{}:
		return nil
	default:
	}
	select {
	case turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// renew gives up the request before, if that may be. What has arrived until now is no reply to the next one: without an id it
// could not be told apart if that went to its sender.
func (s *Req) renew() error {
	s.askMu.Lock()
	defer s.askMu.Unlock()
	if s.asked != nil && !s.abandoned && !s.cfg.relaxed {
		return fmt.Errorf("%w: the reply to the last request is due: Recv first", ErrState)
	}
	s.giveUpLocked()
	s.receiver.discard(DropUnwanted)
	s.id++
	binary.BigEndian.PutUint32(s.envelope[0], s.id)
	return nil
}

// ask tries to queue the request, in the envelope that its peer understands. As balancer.try, it leaves balancer.mu held when no
// peer has room. askMu is held until the request is on record: its reply, and the end of its peer, come after that.
func (s *Req) ask(frames, given [][]byte, size int) (to *pipe, flush bool, err error) {
	s.askMu.Lock()
	defer s.askMu.Unlock()
	var correlate bool
	to, flush, err = s.balancer.try(frames, given, size, func(p *pipe) [][]byte {
		correlate = s.cfg.correlate || isOurRep(p.peer.Load())
		if correlate {
			return s.envelope[:]
		}
		return s.envelope[1:]
	})
	if to != nil {
		s.asked, s.askedOf, s.correlated, s.abandoned = to, to.peer.Load(), correlate, false
	}
	return to, flush, err
}

// isOurRep reports whether a peer gives back frames before the delimiter and hides them from its application.
func isOurRep(peer *Peer) bool {
	return peer != nil && peer.socketType == string(zmtp.Rep) && peer.ours()
}

// giveUpLocked forgets the request before. A reply without an id could be taken for the next one's, so its connection
// is replaced.
func (s *Req) giveUpLocked() {
	if s.asked != nil && !s.correlated && s.asked.peer.Load() == s.askedOf {
		s.balancer.forget(s.asked)
		s.asked.renewed.Store(true)
		s.asked.kill(fmt.Errorf("%w: its reply is not waited for any more", ErrState))
	}
	s.asked, s.askedOf = nil, nil
	s.receiver.notify(nil)
}

// Recv returns the reply to the last request. Without a request it is ErrState; when the asked peer goes away it is ErrPeerGone, and the
// request is over. When ctx ends first, another request may be sent, or Recv called again for the same reply.
func (s *Req) Recv(ctx context.Context) (Msg, error) {
	if err := s.usable(); err != nil {
		return Msg{}, &Error{Op: "recv", Err: err}
	}
	for {
		s.askMu.Lock()
		if s.asked == nil {
			s.askMu.Unlock()
			if s.isEnding() {
				return Msg{}, &Error{Op: "recv", Err: ErrClosed}
			}
			return Msg{}, &Error{Op: "recv", Err: fmt.Errorf("%w: no request was sent: Send first", ErrState)}
		}
		s.abandoned = false
		s.askMu.Unlock()
		m, p, err := s.receiver.recv(ctx, nil, false)
		s.askMu.Lock()
		done := err != nil && s.failedLocked(err) || err == nil && s.acceptLocked(p, &m)
		s.askMu.Unlock()
		if done {
			return m, err
		}
	}
}

// failedLocked takes note of an error of Recv; false if it concerns a request that another one followed meanwhile.
func (s *Req) failedLocked(err error) bool {
	if !errors.Is(err, ErrPeerGone) {
		s.abandoned = true
		return true
	}
	if s.asked != nil && s.asked.live.Load() && s.asked.peer.Load() == s.askedOf {
		return false
	}
	s.asked, s.askedOf = nil, nil
	return true
}

// acceptLocked takes a message that is the reply, without its envelope. RFC 28: REQ discards silently what others send; here it is counted.
func (s *Req) acceptLocked(p *pipe, m *Msg) bool {
	if p != s.asked || m.Peer() != s.askedOf {
		s.drop(p, DropUnwanted, 1)
		return false
	}
	body := delimiter(m.Frames) + 1
	if body == 0 || body == len(m.Frames) {
		s.drop(p, DropMalformed, 1)
		return false
	}
	if s.correlated && (body != 2 || !bytes.Equal(m.Frames[0], s.envelope[0])) || !s.correlated && body != 1 {
		s.drop(p, DropUnwanted, 1)
		return false
	}
	m.Frames = m.Frames[body:len(m.Frames):len(m.Frames)]
	s.asked, s.askedOf = nil, nil
	return true
}

// Messages iterates over Recv until ctx ends or the socket is closed, which end the loop without an error.
func (s *Req) Messages(ctx context.Context) iter.Seq2[Msg, error] { return messages(ctx, s.Recv) }

// Request sends a request and returns its reply. Callers of Request wait for each other. Errors are those of Send and Recv; after each of
// them the next request may follow.
func (s *Req) Request(ctx context.Context, frames ...[]byte) (Msg, error) {
	if err := s.usable(); err != nil {
		return Msg{}, &Error{Op: "request", Err: err}
	}
	if err := acquire(ctx, s.turn); err != nil {
		return Msg{}, &Error{Op: "request", Err: &blocked{errBusy, err}}
	}
	defer func() { <-s.turn }()
	if err := s.Send(ctx, frames...); err != nil {
		return Msg{}, err
	}
	return s.Recv(ctx)
}
