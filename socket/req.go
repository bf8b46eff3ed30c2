package socket

import (
	"bytes"
	"context"
	"encoding/binary"
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
	abandoned  bool // the reply is not waited for any more
	correlated bool // the request carried id
	id         uint32
	envelope   [2][]byte // id and the empty delimiter
}

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
	if s.asked == p && !s.abandoned {
		s.abandoned = true
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
	if err := s.usable(); err != nil {
		return &Error{Op: "send", Err: err}
	}
	select {
	case s.sending <- struct{}{}:
		defer func() { <-s.sending }()
	case <-ctx.Done():
		return &Error{Op: "send", Err: &blocked{nil, ctx.Err()}}
	}
	s.askMu.Lock()
	if s.asked != nil && !s.abandoned && !s.cfg.relaxed {
		s.askMu.Unlock()
		return &Error{Op: "send", Err: fmt.Errorf("%w: the reply to the last request is due: Recv first", ErrState)}
	}
	s.giveUpLocked()
	s.id++
	binary.BigEndian.PutUint32(s.envelope[0], s.id)
	s.askMu.Unlock()
	return s.ask(ctx, frames)
}

// ask sends the request in the envelope that its peer understands. sending is held.
func (s *Req) ask(ctx context.Context, frames [][]byte) error {
	var correlate bool
	var peer *Peer
	p, err := s.balancer.sendTo(ctx, frames, func(p *pipe) [][]byte {
		peer = p.peer.Load()
		correlate = s.cfg.correlate || isOurRep(peer)
		if correlate {
			return s.envelope[:]
		}
		return s.envelope[1:]
	})
	if err != nil {
		return err
	}
	s.askMu.Lock()
	defer s.askMu.Unlock()
	s.asked, s.askedOf, s.correlated, s.abandoned = p, peer, correlate, false
	if p.peer.Load() != peer { // gone since: detach may have looked before
		s.abandoned = true
		s.receiver.notify(ErrPeerGone)
	}
	return nil
}

// isOurRep reports whether a peer gives back frames before the delimiter and hides them from its application.
func isOurRep(peer *Peer) bool {
	if peer == nil || peer.socketType != string(zmtp.Rep) {
		return false
	}
	_, ours := peer.Property(meshProperty)
	return ours
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

// Recv returns the reply to the last request. Without one it is ErrState; when the asked peer goes away, ErrPeerGone. After an
// error the request is given up and another may be sent.
func (s *Req) Recv(ctx context.Context) (Msg, error) {
	if err := s.usable(); err != nil {
		return Msg{}, &Error{Op: "recv", Err: err}
	}
	for {
		s.askMu.Lock()
		if s.asked == nil {
			s.askMu.Unlock()
			return Msg{}, &Error{Op: "recv", Err: fmt.Errorf("%w: no request was sent: Send first", ErrState)}
		}
		s.askMu.Unlock()
		m, p, err := s.receiver.recv(ctx)
		s.askMu.Lock()
		if err != nil {
			s.abandoned = true
			s.askMu.Unlock()
			return m, err
		}
		ok := s.acceptLocked(p, &m)
		s.askMu.Unlock()
		if ok {
			return m, nil
		}
	}
}

// acceptLocked takes a message that is the reply, without its envelope. RFC 28: REQ discards silently what others send; here it is counted.
func (s *Req) acceptLocked(p *pipe, m *Msg) bool {
	if p != s.asked || m.peer != s.askedOf {
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

// Request sends a request and returns its reply. Callers of Request wait for each other; with ctx's end the request is given up.
func (s *Req) Request(ctx context.Context, frames ...[]byte) (Msg, error) {
	if err := s.usable(); err != nil {
		return Msg{}, &Error{Op: "request", Err: err}
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return Msg{}, &Error{Op: "request", Err: &blocked{nil, ctx.Err()}}
	}
	if err := s.Send(ctx, frames...); err != nil {
		return Msg{}, err
	}
	return s.Recv(ctx)
}
