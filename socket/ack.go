package socket

import (
	"errors"
	"fmt"
	"slices"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Acknowledged links: who has them with whom, and which commands mean something. What a receiver does is in inbound.go.

// AckStats are the counters of acknowledged links, in Stats.Acks. They count messages.
type AckStats struct {
	AckedIn       uint64 // we received and acknowledged
	NackedIn      uint64 // we received and refused with Msg.Nack
	RedeliveredIn uint64 // Recv returned with an Attempt above 1
	ReturnedIn    uint64 // came, and were left to other receivers when we ended the connection, before Recv returned them
	DuplicatesIn  uint64 // came again after they were marked as handled, and were acknowledged again (WithWindow)
	ConflictsIn   uint64 // had the id of another message that was marked as handled, and were refused for good (WithMessageID)
	ExpiredIn     uint64 // were given back because their leases had run out (WithLease)
	LateIn        uint64 // of those, were acknowledged or refused after that, which settled nothing
	UnackedIn     int    // came on connections that are there, and are neither acknowledged nor refused yet

	AckedOut       uint64 // we sent, and a peer acknowledged
	WrittenOut     uint64 // we sent to peers that do not acknowledge: written is all that is known of them
	NackedOut      uint64 // we sent, and a peer refused, once or more often
	RedeliveredOut uint64 // sent again after a refusal, or because the connection ended
	DeadLettered   uint64 // given up: see WithDeadLetter
	StaleAcks      uint64 // acknowledgements of what was acknowledged or refused before, which were ignored
	UnackedOut     int    // accepted by Send, and none of the above yet
}

// offer is what we offer in READY.
func (c *config) offer() (o zmtp.AckOffer, some bool) {
	o.Receive = c.ack && c.typ != zmtp.Push
	if o.Receive {
		o.Max, o.Frame = c.maxMessageSize, c.maxFrameSize
	}
	o.Send = c.ack && slices.Contains(sendAckTypes, c.typ) || c.openSpool != nil
	o.Stream, o.Life = c.stream, c.life
	return o, o.Receive || o.Send
}

// acknowledged reports in which directions the link to the peer is acknowledged.
// With out, takes is what the peer takes.
func (c *config) acknowledged(who *Peer) (in, out bool, takes extent) {
	mine, some := c.offer()
	value, offered := who.metadata.Get(zmtp.PropertyAck)
	if !some || !offered {
		return false, false, takes
	}
	theirs := zmtp.ParseAckOffer(value)
	return mine.Receive && theirs.Send, mine.Send && theirs.Receive, extent{theirs.Max, theirs.Frame}
}

var errNoAck = errors.New("the peer does not acknowledge messages, and WithAckRequired asks for that")

// acknowledges reports whether a peer will acknowledge what we send.
func (c *config) acknowledges(who zmtp.Peer) bool {
	_, out, _ := c.acknowledged(&Peer{metadata: who.Metadata})
	return out
}

// Acknowledged reports whether messages from this peer, and to it, are acknowledged: both ends have WithAck, and their types of sockets can do it.
func (p *Peer) Acknowledged() (in, out bool) { return p.ackIn, p.ackOut }

// errInside is about a command that must not stand where it does.
var errInside = fmt.Errorf("%w: STREAM or SKIP within a message", zmtp.ErrCommand)

// passing tells the commands that only concern the message behind them.
func passing(name []byte) bool {
	return string(name) == zmtp.CommandSkip || string(name) == zmtp.CommandStream
}

// acknowledge handles a command of acknowledged links. It reports false for all others, which those are, too, that the link does not have.
func (p *pipe) acknowledge(name, data []byte) (handled bool, err error) {
	if peer := p.peer.Load(); !peer.ackIn && !peer.ackOut {
		return false, nil
	}
	switch string(name) {
	case zmtp.CommandStream, zmtp.CommandSkip:
		if in := p.inbound.Load(); p.peer.Load().ackIn && in != nil {
			return true, in.command(name, data)
		}
	case zmtp.CommandAck, zmtp.CommandNack, zmtp.CommandCredit:
		if p.peer.Load().ackOut && p.c.keeper != nil {
			return p.settle(name, data)
		}
	case zmtp.CommandResume:
		if p.durable.Load() != nil {
			return true, p.c.archive.resume(p, data)
		}
	case zmtp.CommandResumed, zmtp.CommandLost:
		if p.peer.Load().ackIn && p.c.cfg.durable != nil {
			return true, p.resumed(name, data)
		}
	}
	return false, nil
}

var errSettled = errors.New("the connection it came on has ended, so that it will come again, here or to another receiver")
