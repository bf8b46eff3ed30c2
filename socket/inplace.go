package socket

import "github.com/meshmq/meshmq/internal/inplace"

func init() {
	inplace.Of = func(push any) inplace.Lender { return (*lender)(&push.(*Push).balancer) }
}

// lender is a balancer that lends room in the queue of the only peer.
type lender balancer

// Lend is that of inplace.Lender.
func (l *lender) Lend() (room []byte, to inplace.Filler) {
	p := l.sole.Load()
	if p == nil {
		return nil, nil
	}
	if room = p.out.Lend(); room == nil {
		return nil, nil
	}
	if most := l.c.cfg.maxMessageSize; most > 0 && most < len(room) {
		room = room[:most:most]
	}
	return room, &p.out
}
