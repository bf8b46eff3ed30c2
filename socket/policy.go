package socket

import "fmt"

// DropPolicy says what a publisher does with a message for a peer whose queue stands at the high-water mark. Other peers are
// not affected, but by Block.
type DropPolicy uint8

// The drop policies. Every message that goes is counted, by socket and peer, and reported by an event.
const (
	// DropNewest drops the message for this peer (DropFull). The default.
	DropNewest DropPolicy = iota
	// DropOldest drops the oldest messages that wait for this peer, as many as the new one needs the place of (DropFull). What is being
	// written stays, and is not counted against the high-water marks.
	DropOldest
	// Conflate keeps only the last message for this peer (DropConflated), beside what is being written. The high-water marks do not apply.
	Conflate
	// Disconnect ends the connection of this peer; the reason is an ErrFull. The message is dropped (DropFull), and so is what
	// waits for the peer (DropPeerGone).
	Disconnect
	// Block makes Send wait until this peer has room. Nothing is dropped.
	Block
)

var policyNames = [...]string{"drop newest", "drop oldest", "conflate", "disconnect", "block"}

// String returns the policy in words.
func (d DropPolicy) String() string {
	if int(d) < len(policyNames) {
		return policyNames[d]
	}
	return fmt.Sprintf("policy %d", uint8(d))
}

var errSlow = fmt.Errorf("%w: the peer reads too slowly, and the drop policy is to disconnect it", ErrFull)

// setPolicy says what happens when p's queue is full. Nothing may be queued at the same time.
func (p *pipe) setPolicy(policy DropPolicy) {
	p.policy = policy
	cfg := &p.c.cfg
	switch policy {
	case Conflate:
		p.out.Conflate(func(n int) { p.c.drop(p, DropConflated, n) })
	case DropOldest:
		p.out.Limit(cfg.sendHWM, cfg.sendHWMBytes, func(n int) { p.c.drop(p, DropFull, n) })
	default:
		p.out.Limit(cfg.sendHWM, cfg.sendHWMBytes, nil)
	}
}

// overflow deals with a message that p's queue refused.
func (p *pipe) overflow() {
	p.c.drop(p, DropFull, 1)
	if p.policy == Disconnect {
		p.kill(errSlow)
	}
}
