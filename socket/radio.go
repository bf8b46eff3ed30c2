package socket

import (
	"context"
	"fmt"
	"strings"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// maxGroup is the longest group of RFC 48. libzmq before 4.3.3 takes 15 bytes at most.
const maxGroup = 255

// checkGroup returns why group cannot be one, if so.
func checkGroup(group string) error {
	switch {
	case len(group) > maxGroup:
		return fmt.Errorf("%w of %d bytes, at most %d", ErrGroup, len(group), maxGroup)
	case strings.IndexByte(group, 0) >= 0:
		return fmt.Errorf("%w %.40q: it has a zero byte", ErrGroup, group)
	}
	return nil
}

// Radio broadcasts messages of one frame to the DISH peers that joined the message's group (RFC 48, RADIO). It is safe for use by any
// number of goroutines.
type Radio struct {
	core
	fanout
}

// NewRadio returns a RADIO socket. It uses nothing until Bind or Connect; Close it in the end.
func NewRadio(opts ...Option) *Radio {
	s := &Radio{}
	s.core.init(zmtp.Radio, s, opts)
	s.fanout.init(&s.core)
	s.fanout.exact = true
	return s
}

// Send sends one message to every DISH that joined group, which is exactly this one and not a prefix. It copies the body. It does not block: for a
// peer whose queue is full the message is dropped and counted (DropFull); with nobody in the group it goes nowhere, which is
// not a drop (RFC 48). A group of more than 255 bytes or with a zero byte is ErrGroup.
func (s *Radio) Send(ctx context.Context, group string, body []byte) error {
	if err := checkGroup(group); err != nil {
		return &Error{Op: "send", Err: err}
	}
	var first [maxGroup]byte // on the stack, as a conversion would be only for short groups
	n := copy(first[:], group)
	return s.fanout.Send(ctx, first[:n], body)
}

// SendOwned is Send without a copy of a large body (above 32 KiB): it belongs to the socket from the call on, unless that returns an
// error, and must not be changed or used for anything else.
func (s *Radio) SendOwned(ctx context.Context, group string, body []byte) error {
	if err := checkGroup(group); err != nil {
		return &Error{Op: "send", Err: err}
	}
	return s.fanout.SendOwned(ctx, []byte(group), body)
}

// command takes the groups of DISH peers. One that breaks the rules loses its connection.
func (s *Radio) command(p *pipe, name, data []byte) {
	joined := string(name) == zmtp.CommandJoin
	if !joined && string(name) != zmtp.CommandLeave {
		return
	}
	if err := checkGroup(string(data)); err != nil {
		p.kill(err)
		return
	}
	s.fanout.subscribe(p, data, joined)
}

func (s *Radio) attach(p *pipe) error  { s.fanout.attach(p); return nil }
func (s *Radio) detach(p *pipe)        { s.fanout.remove(p) }
func (s *Radio) forget(p *pipe)        { s.fanout.remove(p) }
func (s *Radio) room(p *pipe)          { s.fanout.room(p) }
func (s *Radio) stopSending(err error) { s.fanout.stopSending(err) }
