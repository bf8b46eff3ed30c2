package socket

import (
	"fmt"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// greetConfig is what options set about messages that a socket makes itself when a peer comes or goes.
type greetConfig struct {
	probe         bool
	hello         [][]byte
	disconnectMsg [][]byte
	hiccupMsg     [][]byte
}

// WithProbe sends an empty message first on each new connection, made or accepted, so that a ROUTER at the other end can route to us
// before we have sent anything (ZMQ_PROBE_ROUTER). The application there gets it, as one empty frame behind our routing id. REQ and REP peers, whose
// patterns have no place for it, are sent none. Default: off.
func WithProbe() Option {
	return only("WithProbe", func(c *config) { c.probe = true }, zmtp.Req, zmtp.Dealer, zmtp.Router)
}

// WithHelloMessage sends a message first on each new connection, made or accepted, before what is queued for it (ZMQ_HELLO_MSG). It
// is not counted as queued or sent. The frames are copied; CLIENT, SERVER and PEER have one. Default: none.
func WithHelloMessage(frames ...[]byte) Option {
	return made("WithHelloMessage", frames, func(c *config, m [][]byte) { c.hello = m }, zmtp.Dealer, zmtp.Router, zmtp.Client, zmtp.Server, zmtp.PeerType)
}

// WithDisconnectMessage has Recv return a message, as if the peer had sent it, when a peer that connected to us is gone
// (ZMQ_DISCONNECT_MSG). It comes behind all that the peer sent. The frames are copied; SERVER and PEER have one. Default: none.
func WithDisconnectMessage(frames ...[]byte) Option {
	return made("WithDisconnectMessage", frames, func(c *config, m [][]byte) { c.disconnectMsg = m }, zmtp.Router, zmtp.Server, zmtp.PeerType)
}

// WithHiccupMessage has Recv return a message, as if the peer had sent it, when the connection to a peer that we connected to is lost, while
// another is sought (ZMQ_HICCUP_MSG). The frames are copied; CLIENT and PEER have one. Default: none.
func WithHiccupMessage(frames ...[]byte) Option {
	return made("WithHiccupMessage", frames, func(c *config, m [][]byte) { c.hiccupMsg = m }, zmtp.Dealer, zmtp.Client, zmtp.PeerType)
}

// made is an option that gives a message to some types of sockets.
func made(option string, frames [][]byte, set func(*config, [][]byte), types ...zmtp.SocketType) Option {
	frames = cloneFrames(frames)
	return func(c *config) error {
		if len(frames) == 0 {
			return bad(option, "", "want at least one frame; an empty message has one empty frame")
		}
		if single := c.typ == zmtp.Client || c.typ == zmtp.Server || c.typ == zmtp.PeerType; single && len(frames) > 1 {
			return bad(option, fmt.Sprint(len(frames), " frames"), fmt.Sprintf("a %s message has one frame", c.typ))
		}
		return only(option, func(c *config) { set(c, frames) }, types...)(c)
	}
}

func cloneFrames(frames [][]byte) [][]byte {
	out := make([][]byte, len(frames))
	for i, f := range frames {
		out[i] = append([]byte{}, f...)
	}
	return out
}

// checkGreeting returns which message is not one that may be sent.
func (c *config) checkGreeting() error {
	for _, m := range []struct {
		option string
		frames [][]byte
	}{{"WithHelloMessage", c.hello}, {"WithDisconnectMessage", c.disconnectMsg}, {"WithHiccupMessage", c.hiccupMsg}, {"WithWelcomeMessage", c.welcome}} {
		size := Msg{Frames: m.frames}.Size()
		if c.maxMessageSize > 0 && size > c.maxMessageSize {
			return fmt.Errorf("%w: %s(%d bytes): WithMaxMessageSize allows %d", ErrOption, m.option, size, c.maxMessageSize)
		}
		if c.conflate && len(m.frames) > 1 {
			return fmt.Errorf("%w: %s(%d frames): with WithConflate messages have one", ErrOption, m.option, len(m.frames))
		}
	}
	return nil
}

// greeting returns what goes out first on a new connection to who, encoded.
func (c *core) greeting(who *Peer) []byte {
	var b []byte
	if c.cfg.probe && who.socketType != string(zmtp.Req) && who.socketType != string(zmtp.Rep) {
		b = appendMessage(b, []byte{})
	}
	return appendMessage(b, c.cfg.hello...)
}

func appendMessage(b []byte, frames ...[]byte) []byte {
	for i, f := range frames {
		flags := byte(0)
		if i < len(frames)-1 {
			flags = zmtp.FlagMore
		}
		b = zmtp.AppendFrame(b, flags, f)
	}
	return b
}

// welcomeLocked has Recv return what the options say about a peer that has come. r.mu is held.
func (r *receiver) welcomeLocked(p *pipe) {
	if r.c.cfg.notifyConnect {
		r.injectLocked(p, [][]byte{{}})
	}
}

// missLocked has Recv return what the options say about a peer that is gone. r.mu is held.
func (r *receiver) missLocked(p *pipe) {
	cfg := &r.c.cfg
	if cfg.notifyDisconnect {
		r.injectLocked(p, [][]byte{{}})
	}
	switch {
	case p.dialer == nil:
		r.injectLocked(p, cfg.disconnectMsg)
	case p.dialer.ctx.Err() == nil:
		r.injectLocked(p, cfg.hiccupMsg)
	}
}

// injectLocked puts a message of our own behind what p has sent. Messages have a frame at least; without one it does nothing.
func (r *receiver) injectLocked(p *pipe, frames [][]byte) {
	if len(frames) == 0 {
		return
	}
	r.put(p, link.One(cloneFrames(frames)...), p.peer.Load())
	p.totalIn-- // which put counted, and the peer did not send
	p.totalInB -= uint64(Msg{Frames: frames}.Size())
}
