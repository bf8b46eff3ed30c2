package socket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// heart watches one connection for signs of life and gives some (RFC 37, 2.5: PING and PONG).
type heart struct {
	p        *pipe
	interval time.Duration // between PINGs, 0 for none
	began    time.Time

	mu    sync.Mutex    // guards the fields below
	dead  time.Duration // silence after which the peer counts as dead, 0 for never
	timer *time.Timer
	seq   uint64 // link.In.Seq at the last look
	seen  time.Time
	ended bool

	unanswered int       // PINGs since the last PONG
	pinged     int       // PINGs of the peer's in the second
	second     time.Time // that began then
}

// beat starts the heart of the pipe's connection, before anybody reads from that: a PING may be there already.
func (p *pipe) beat() {
	now := time.Now()
	h := &heart{p: p, began: now, seen: now}
	if p.c.cfg.pingInterval > 0 && (p.peer.Load().minor > 0 || p.conn.Pings()) {
		h.interval, h.dead = p.c.cfg.pingInterval, p.c.cfg.pingTimeout
	}
	h.mu.Lock()
	if h.interval > 0 {
		h.timer = time.AfterFunc(h.interval, h.tick)
	}
	h.mu.Unlock()
	p.heart.Store(h)
}

func (h *heart) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	if h.timer != nil {
		h.timer.Stop()
	}
}

// ask sends a PING that nothing else asks for.
func (h *heart) ask() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ended {
		h.beatLocked(time.Now())
	}
}

func (h *heart) tick() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return
	}
	now := time.Now()
	in := h.p.in.Load()
	// While the inbox is full nothing is read, so silence means nothing.
	if seq := in.Seq(); seq != h.seq || h.p.paused.Load() {
		h.seq, h.seen = seq, now
	}
	if silent := now.Sub(h.seen); h.dead > 0 && silent >= h.dead {
		h.ended = true
		h.p.kill(fmt.Errorf("%w for %s", errSilent, silent.Round(time.Millisecond)))
		return
	}
	next := h.interval
	if h.interval > 0 {
		h.beatLocked(now)
	}
	if left := h.dead - now.Sub(h.seen); h.dead > 0 && (next == 0 || left < next) {
		next = max(left, time.Millisecond)
	}
	if next > 0 {
		h.timer.Reset(next)
	}
}

// maxTTL is the longest TTL that a PING carries, see zmtp.AppendPing.
const maxTTL = 65500 * time.Millisecond

// maxPings is how many PINGs go out before one is answered. RFC 37: a small number, lest the answers become a storm when a peer that was
// busy gets to them. More than the dead time of the default settings has room for.
const maxPings = 5

// beatLocked gives a sign of life, also when our inbox is full and no PING is answered: a PING, or, when there are enough of those to be
// answered, a PONG to none, which asks for nothing.
func (h *heart) beatLocked(now time.Time) {
	if h.unanswered >= maxPings {
		h.p.out.Control(zmtp.AppendPong(nil, nil), true)
		return
	}
	h.unanswered++
	context := binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))
	h.p.out.Control(zmtp.AppendPing(nil, h.p.c.cfg.ttl(), context), false)
}

// checkHeartbeat returns what of the options on heartbeats does not go together.
func (c *config) checkHeartbeat() error {
	switch {
	case c.pingTTL == nil || *c.pingTTL == 0:
	case c.pingInterval == 0:
		return bad("WithHeartbeatTTL", *c.pingTTL, "nothing carries it with an interval of 0 in WithHeartbeat")
	case *c.pingTTL <= c.pingInterval:
		return bad("WithHeartbeatTTL", *c.pingTTL, fmt.Sprintf("want more than the interval of WithHeartbeat, %s: peers would hang up between two PINGs", c.pingInterval))
	}
	return nil
}

// ttl is the silence after which peers are to hang up on us: as much as we bear of them. It is none when that would have
// to be cut so short that they hang up because one of our PINGs is late.
func (c *config) ttl() time.Duration {
	if c.pingTTL != nil {
		return *c.pingTTL
	}
	if c.pingTimeout > maxTTL && 2*c.pingInterval > maxTTL {
		return 0
	}
	return c.pingTimeout
}

// ping answers a PING. Its TTL asks us to hang up after that much silence from now on; the shorter of it and our own
// limit holds.
func (h *heart) ping(ttl time.Duration, context []byte) error {
	h.p.out.Control(zmtp.AppendPong(nil, context), true)
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if now.Sub(h.second) >= time.Second {
		h.second, h.pinged = now, 0
	}
	if h.pinged++; reached(h.pinged-1, h.p.c.cfg.maxPings) {
		return errManyPings
	}
	if h.ended || ttl == 0 || h.dead > 0 && h.dead <= ttl {
		return nil
	}
	h.seq, h.seen = h.p.in.Load().Seq(), now
	h.dead = ttl
	if h.timer == nil {
		h.timer = time.AfterFunc(ttl, h.tick)
	} else if ttl < h.interval || h.interval == 0 {
		h.timer.Reset(ttl)
	}
	return nil
}

var errManyPings = &limitError{errors.New("more PINGs in a second than WithMaxPings allows"), RefusedPings}

// heartContext is the length of the context of our PINGs, which is when they were sent.
const heartContext = 8

// pong takes the round-trip time from the context of our PING, which the peer sends back. It cannot be longer than the
// connection is old.
func (h *heart) pong(context []byte) {
	h.mu.Lock()
	h.unanswered = 0
	h.mu.Unlock()
	now := time.Now()
	rtt := now.UnixNano() - int64(binary.BigEndian.Uint64(context))
	if rtt > 0 && rtt <= int64(now.Sub(h.began)) {
		h.p.rtt.Store(rtt)
	}
}

// errNoCommands is about a bit that RFC 15 reserves.
var errNoCommands = fmt.Errorf("%w: ZMTP 2.0 has no commands", zmtp.ErrFrameFlags)

// command handles a command that arrived behind the handshake. RFC 37 is silent on unknown ones; libzmq ignores them
// and so do we.
func (p *pipe) command(name, data []byte) error {
	if p.peer.Load().major < 3 {
		return errNoCommands
	}
	switch string(name) {
	case "PING":
		ttl, context, err := zmtp.ParsePing(data)
		if err != nil {
			return err
		}
		return p.heart.Load().ping(ttl, context)
	case "PONG":
		context, err := zmtp.ParsePong(data)
		if err != nil {
			return err
		}
		if len(context) == heartContext {
			p.heart.Load().pong(context)
		} else {
			p.c.pat.command(p, name, context)
		}
	case "ERROR":
		reason, err := zmtp.ParseError(data)
		if err != nil {
			return err
		}
		return &zmtp.HandshakeError{Reason: zmtp.PeerError, Detail: reason}
	case zmtp.CommandReady: // libzmq ignores it; but nobody says it twice who knows the protocol
		return fmt.Errorf("%w: READY behind the handshake", zmtp.ErrCommand)
	default:
		if handled, err := p.acknowledge(name, data); handled {
			return err
		}
		p.c.pat.command(p, name, data)
	}
	return nil
}
