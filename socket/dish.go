package socket

import (
	"context"
	"fmt"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Dish receives what RADIO peers send to the groups it joined (RFC 48, DISH): messages of one frame, and Msg.Group. It is safe for
// use by any number of goroutines; each message is returned to one of them.
type Dish struct {
	core
	receiver
	groups subscriber
}

// NewDish returns a DISH socket, which receives nothing before Join. It uses nothing until Bind or Connect; Close it in
// the end.
func NewDish(opts ...Option) *Dish {
	s := &Dish{}
	s.core.init(zmtp.Dish, s, opts)
	s.receiver.init(&s.core)
	s.receiver.frames = 2
	s.receiver.wanted = s.groups.has
	s.groups.init(&s.core)
	s.groups.add = appendJoin
	return s
}

// RFC 37, 2.6: groups are joined and left by commands, which libzmq sends to 3.0 peers as well.
func appendJoin(dst []byte, _ byte, group []byte) []byte {
	return zmtp.AppendCommand(dst, zmtp.CommandJoin, group)
}

func appendLeave(dst []byte, _ byte, group []byte) []byte {
	return zmtp.AppendCommand(dst, zmtp.CommandLeave, group)
}

// Join asks radios, present and future, for the messages of the groups (zmq_join). To join a group twice is ErrState; a group of more
// than 255 bytes or with a zero byte is ErrGroup, more of them than WithMaxSubscriptions allows are ErrTooLarge. Those before the one that is refused are joined.
func (s *Dish) Join(groups ...string) error {
	return s.change("join", groups, func(group []byte) (bool, error) {
		switch {
		case s.groups.topics.Has(group):
			return false, &Error{Op: "join", Err: fmt.Errorf("%w: %q is joined already", ErrState, group)}
		case s.cfg.manyTopics(s.groups.topics.Len()) != nil:
			return false, &Error{Op: "join", Err: s.cfg.manyTopics(s.groups.topics.Len())}
		}
		return s.groups.topics.Add(group), nil
	}, appendJoin)
}

// Leave takes Join back (zmq_leave). To leave a group that is not joined is ErrState. Messages of the group that have arrived already are
// not returned any more.
func (s *Dish) Leave(groups ...string) error {
	return s.change("leave", groups, func(group []byte) (bool, error) {
		last, known := s.groups.topics.Remove(group)
		if !known {
			return false, &Error{Op: "leave", Err: fmt.Errorf("%w: %q is not joined", ErrState, group)}
		}
		return last, nil
	}, appendLeave)
}

// WaitJoined blocks until at least n connected radios have dealt with all that was joined so far, so that nothing is missed of what they
// send from then on. See Sub.WaitSubscribed for what radios of others and older ones confirm.
func (s *Dish) WaitJoined(ctx context.Context, n int) error { return s.groups.WaitSubscribed(ctx, n) }

// change is subscriber.change for groups.
func (s *Dish) change(op string, groups []string, apply func([]byte) (bool, error), frame func([]byte, byte, []byte) []byte) error {
	for _, group := range groups {
		if err := checkGroup(group); err != nil {
			return &Error{Op: op, Err: err}
		}
	}
	return s.groups.change(op, groups, apply, frame)
}

func (s *Dish) attach(p *pipe) error {
	s.receiver.attach(p)
	s.groups.attach(p)
	return nil
}

func (s *Dish) detach(p *pipe) {
	s.groups.detach(p)
	s.receiver.detach(p)
}

func (s *Dish) forget(p *pipe)                     { s.groups.detach(p) }
func (s *Dish) deliver(p *pipe, b link.Batch)      { s.receiver.deliver(p, b) }
func (s *Dish) command(p *pipe, name, data []byte) { s.groups.command(p, name, data) }
func (s *Dish) stopSending(error)                  { s.groups.stop() }
func (s *Dish) stopReceiving(err error)            { s.receiver.stopReceiving(err) }
