package socket

import (
	"context"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// XSub is a SUB that also sends, upstream to its publishers (RFC 29, XSUB), and does not filter what it receives a second time. It
// is safe for use by any number of goroutines.
type XSub struct {
	core
	receiver
	subscriber
}

// NewXSub returns an XSUB socket. It uses nothing until Bind or Connect; Close it in the end.
func NewXSub(opts ...Option) *XSub {
	s := &XSub{}
	s.core.init(zmtp.XSub, s, opts)
	s.receiver.init(&s.core)
	s.subscriber.init(&s.core)
	return s
}

// Send sends one message to every publisher that is connected. It does not block: where a queue is full the message is dropped
// and counted. A message of one frame that starts with 1 or 0 is Subscribe or Unsubscribe of the topic behind it, as an
// XPUB socket shows them, so that a proxy can pass those on.
func (s *XSub) Send(_ context.Context, frames ...[]byte) error {
	if err := s.usable(); err != nil {
		return &Error{Op: "send", Err: err}
	}
	if topic, added, ok := asSubscription(frames, s.cfg.onlyFirstSubscribe); ok {
		change := s.Subscribe
		if !added {
			change = s.Unsubscribe
		}
		if err := change(string(topic)); err != nil || len(frames) == 1 {
			return err
		}
		frames = frames[1:]
	}
	size, err := s.sizeOf(frames)
	if err != nil {
		return err
	}
	return s.subscriber.upstream(frames, size)
}

func (s *subscriber) upstream(frames [][]byte, size int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return &Error{Op: "send", Err: ErrClosed}
	}
	for p, t := range s.peers {
		if t.deaf {
			s.c.drop(p, DropUnwanted, 1)
			continue
		}
		took, flush := p.out.Append(nil, frames, size)
		if !took {
			s.c.drop(p, DropFull, 1)
		}
		if flush {
			p.out.Wake()
		}
	}
	return nil
}

func (s *XSub) attach(p *pipe) error {
	s.receiver.attach(p)
	s.subscriber.attach(p)
	return nil
}

func (s *XSub) detach(p *pipe) {
	s.subscriber.detach(p)
	s.receiver.detach(p)
}

func (s *XSub) forget(p *pipe)                     { s.subscriber.detach(p) }
func (s *XSub) deliver(p *pipe, b link.Batch)      { s.receiver.deliver(p, b) }
func (s *XSub) command(p *pipe, name, data []byte) { s.subscriber.command(p, name, data) }
func (s *XSub) stopSending(error)                  { s.subscriber.stop() }
func (s *XSub) stopReceiving(err error)            { s.receiver.stopReceiving(err) }
