package socket

import (
	"sync/atomic"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// keeper is the sending half of a socket whose messages are acknowledged: it is told what becomes of what link.Out keeps. The calls come from
// the goroutines of connections and are made without locks.
type keeper interface {
	// retain says, by p.out.Retain, how the connection that p gets next is acknowledged.
	retain(p *pipe)
	// acked says that p's peer acknowledged so many messages.
	acked(p *pipe, msgs int)
	// nacked takes the message back that p's peer refuses. An error ends the connection.
	nacked(p *pipe, n zmtp.Nack) error
}

// sentCounts are the counters of a socket whose messages are acknowledged.
type sentCounts struct {
	acked, nacked, redelivered, dead, stale, written atomic.Uint64
}

// fill fills in what is counted here.
func (n *sentCounts) fill(s *AckStats) {
	s.AckedOut, s.WrittenOut, s.NackedOut = n.acked.Load(), n.written.Load(), n.nacked.Load()
	s.RedeliveredOut, s.DeadLettered, s.StaleAcks = n.redelivered.Load(), n.dead.Load(), n.stale.Load()
}

// settle handles what the peer says about our messages. It reports false for other commands.
func (p *pipe) settle(name, data []byte) (handled bool, err error) {
	c := p.c
	if d := p.durable.Load(); d != nil && d.refused.Load() {
		return true, nil // what it had is others'
	}
	switch string(name) {
	case zmtp.CommandAck:
		a, err := zmtp.ParseAck(data)
		if err != nil {
			return true, err
		}
		acked, stale, err := p.out.Ack(a)
		c.sent.stale.Add(uint64(stale))
		if acked > 0 {
			c.keeper.acked(p, acked)
		}
		return true, err
	case zmtp.CommandNack:
		n, err := zmtp.ParseNack(data)
		if err != nil {
			return true, err
		}
		return true, c.keeper.nacked(p, n)
	case zmtp.CommandCredit:
		messages, bytes, err := zmtp.ParseCredit(data)
		if err == nil {
			p.out.Grant(messages, bytes)
		}
		return true, err
	}
	return false, nil
}

// errCutWithin is why a message failed that was not written whole.
const errCutWithin = "the connection ended while it was written: too large for the peer, most likely"

// redelivered reports that messages go out again since the connection ended.
func (p *pipe) redelivered(msgs int) {
	if msgs > 0 && p.c.ctx.Err() == nil {
		p.c.sent.redelivered.Add(uint64(msgs))
		p.c.report(Event{Kind: Redelivered, Endpoint: p.endpoint, Peer: p.peer.Load(), Count: uint64(msgs)})
	}
}

// takeBack takes a message back that the peer refuses. ok is false when there is none: the tag was settled before.
func (p *pipe) takeBack(tag uint64) (r link.Returned, ok bool, err error) {
	r, ok, err = p.out.Nack(tag)
	switch {
	case err != nil:
	case ok:
		p.c.sent.nacked.Add(1)
	default:
		p.c.sent.stale.Add(1)
	}
	return r, ok, err
}
