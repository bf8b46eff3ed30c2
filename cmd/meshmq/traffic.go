package main

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/meshmq/meshmq/socket"
)

type sender interface {
	Send(ctx context.Context, frames ...[]byte) error
}

type receiver interface {
	Recv(ctx context.Context) (socket.Msg, error)
}

// send sends all messages of seq, as long as ctx lets it.
func (s *session) send(ctx context.Context, out sender, seq iter.Seq2[[][]byte, error]) error {
	for frames, err := range seq {
		if err == nil {
			err = out.Send(ctx, frames...)
		}
		if err != nil {
			return err
		}
		s.count1(&s.sent)
	}
	return nil
}

// errSilence ends receive when --wait passed before --count messages had come.
var errSilence = errors.New("no message")

// expired is a context that makes a call a try.
var expired = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// receive handles messages until --count have come, nothing has moved for --wait, or ctx ends. After an
// interrupt it handles what has arrived by then, too.
func (s *session) receive(ctx context.Context, in receiver, sock conn, handle func(socket.Msg) error) error {
	s.inbox = in
	for s.count == 0 || s.received.Load() < int64(s.count) {
		m, err := s.next(ctx, in)
		switch {
		case errors.Is(err, socket.ErrMissed): // an event has said so, and Stats count it
			continue
		case errors.Is(err, errSilence) && s.count == 0:
			return nil
		case err != nil && s.signal() != nil:
			if err := s.flush(); err != nil { // acknowledges, while that can be said
				return err
			}
			s.shutdown(sock) // a receiver keeps what had arrived
			return errors.Join(s.rest(in, handle), err)
		case err != nil:
			return err
		}
		s.count1(&s.received)
		if err := handle(m); err != nil {
			return err
		}
	}
	return nil
}

// rest handles what a closed socket still has.
func (s *session) rest(in receiver, handle func(socket.Msg) error) error {
	for s.count == 0 || s.received.Load() < int64(s.count) {
		m, err := in.Recv(expired)
		if errors.Is(err, socket.ErrMissed) {
			continue
		} else if err != nil {
			return nil
		}
		s.count1(&s.received)
		if err := handle(m); err != nil {
			return err
		}
	}
	return nil
}

// next returns the next message. What was printed is flushed before it waits.
func (s *session) next(ctx context.Context, in receiver) (socket.Msg, error) {
	m, err := in.Recv(expired)
	if err == nil || !errors.Is(err, context.Canceled) {
		return m, err
	}
	if err := s.flush(); err != nil {
		return m, err
	}
	if s.wait == 0 {
		return in.Recv(ctx)
	}
	for {
		quiet := time.Since(s.start) - time.Duration(s.moved.Load())
		if quiet >= s.wait {
			return m, errSilence
		}
		short, cancel := context.WithTimeout(ctx, s.wait-quiet)
		m, err = in.Recv(short)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return m, err
		}
	}
}

// print prints a received message.
func (s *session) print(m socket.Msg) error {
	return s.out.print(m.Frames, m.Peer().Address(), time.Now())
}
