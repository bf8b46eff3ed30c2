package socket

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Rep answers requests of REQ and DEALER peers, one after another (RFC 28, REP): Recv, Send, Recv, Send. It is safe for use by any number
// of goroutines, but holds one request at a time; a Router answers many at once.
type Rep struct {
	core
	receiver

	askMu    sync.Mutex // guards the fields below
	asker    *pipe      // who waits for Send; nil when a request may be received
	askedBy  *Peer
	envelope [][]byte // what the request came in, to go before the reply
	stopped  error
	turn     chan struct{} // held while a Recv is under way
}

// NewRep returns a REP socket. It uses nothing until Bind or Connect; Close it in the end.
func NewRep(opts ...Option) *Rep {
	s := &Rep{turn: make(chan struct{}, 1)}
	s.core.init(zmtp.Rep, s, opts)
	s.receiver.init(&s.core)
	return s
}

func (s *Rep) attach(p *pipe) error          { s.receiver.attach(p); return nil }
func (s *Rep) deliver(p *pipe, b link.Batch) { s.receiver.deliver(p, b) }
func (s *Rep) stopReceiving(err error)       { s.receiver.stopReceiving(err) }

func (s *Rep) detach(p *pipe) {
	s.askMu.Lock() // whoever is in Send has queued its reply, which then counts as lost; the next one sees that p is gone
	s.receiver.detach(p)
	s.askMu.Unlock()
}

func (s *Rep) stopSending(err error) {
	s.askMu.Lock()
	s.stopped = err
	s.askMu.Unlock()
}

// Recv returns the next request, without its envelope. It is ErrState while the one before has not been answered. Blocking and errors
// are as for Pull.
func (s *Rep) Recv(ctx context.Context) (Msg, error) {
	if err := s.usable(); err != nil {
		return Msg{}, &Error{Op: "recv", Err: err}
	}
	select {
	case s.turn <- struct{}{}:
	default:
		return Msg{}, &Error{Op: "recv", Err: fmt.Errorf("%w: another Recv is waiting for a request; a Router takes many at once", ErrState)}
	}
	defer func() { <-s.turn }()
	s.askMu.Lock()
	waiting := s.asker != nil
	s.askMu.Unlock()
	if waiting {
		if s.isEnding() {
			return Msg{}, &Error{Op: "recv", Err: ErrClosed}
		}
		return Msg{}, &Error{Op: "recv", Err: fmt.Errorf("%w: the last request awaits its reply: Send first", ErrState)}
	}
	for {
		m, p, err := s.receiver.recv(ctx, nil, false)
		if err != nil {
			return m, err
		}
		// RFC 28: the envelope is all frames up to and including the first empty one.
		body := delimiter(m.Frames) + 1
		if body == 0 {
			s.drop(p, DropMalformed, 1)
			continue
		}
		// The connection lets pass what its envelope may add. Without that a request is no larger than a reply may be, so that an echo never fails.
		if _, err := s.sizeOf(m.Frames[body:]); err != nil {
			s.drop(p, DropMalformed, 1)
			continue
		}
		envelope := m.Frames[:body]
		// Release must not take the envelope along: its memory may hold what others sent by the time of the reply. That of small messages stays, since the
		// envelope's frames are not given back.
		if m.from.lease.HasBodies() {
			envelope = cloneFrames(envelope)
		}
		s.askMu.Lock()
		s.asker, s.askedBy, s.envelope = p, m.Peer(), envelope
		s.askMu.Unlock()
		m.Frames = m.Frames[body:len(m.Frames):len(m.Frames)]
		return m, nil
	}
}

// Messages iterates over Recv until ctx ends or the socket is closed, which end the loop without an error. The body of the loop sends the reply.
func (s *Rep) Messages(ctx context.Context) iter.Seq2[Msg, error] { return messages(ctx, s.Recv) }

// delimiter returns the index of the first empty frame, -1 if there is none.
func delimiter(frames [][]byte) int {
	for i, f := range frames {
		if len(f) == 0 {
			return i
		}
	}
	return -1
}

// Send answers the request that Recv returned last. It copies the frames and never blocks: a reply to a peer that is gone, or whose queue is
// full, is dropped and counted (RFC 28). Without a request it is ErrState.
func (s *Rep) Send(_ context.Context, frames ...[]byte) error {
	return s.send(frames, nil)
}

// SendOwned is Send without a copy of large frames (above 32 KiB): they belong to the socket from the call on, unless it returns an
// error, and must not be changed or used for anything else.
func (s *Rep) SendOwned(_ context.Context, frames ...[]byte) error {
	return s.send(nil, frames)
}

// send sends frames, which are copied, or those given away: see pipe.queue.
func (s *Rep) send(frames, given [][]byte) error {
	if err := s.usable(); err != nil {
		return &Error{Op: "send", Err: err}
	}
	size, err := s.sizeOf(either(frames, given))
	if err != nil {
		return err
	}
	p, flush, err := s.answer(frames, given, size)
	if flush {
		p.out.Flush()
	}
	return err
}

// answer queues the reply, if its peer is still there.
func (s *Rep) answer(frames, given [][]byte, size int) (p *pipe, flush bool, err error) {
	s.askMu.Lock()
	defer s.askMu.Unlock()
	p, peer, envelope := s.asker, s.askedBy, s.envelope
	switch {
	case s.stopped != nil:
		return p, false, &Error{Op: "send", Err: s.stopped}
	case p == nil:
		return p, false, &Error{Op: "send", Err: fmt.Errorf("%w: no request to answer: Recv first", ErrState)}
	}
	s.asker, s.askedBy, s.envelope = nil, nil, nil
	if !p.live.Load() || p.peer.Load() != peer {
		s.drop(p, DropPeerGone, 1)
		return p, false, nil
	}
	took, flush := p.queue(envelope, frames, given, size)
	if !took {
		s.drop(p, DropFull, 1)
	}
	return p, flush, nil
}
