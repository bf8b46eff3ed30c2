package socket

import (
	"math"

	"github.com/meshmq/meshmq/socket/inplace"
)

func init() {
	inplace.Of = func(push any) inplace.Lender { return (*lender)(&push.(*Push).balancer) }
}

// lender is a balancer that lends room in the queue of the only peer.
type lender balancer

// Lend is that of inplace.Lender.
func (l *lender) Lend() (room []byte, to inplace.Filler) {
	p := l.sole.Load()
	if most := l.c.cfg.maxMessageSize; p == nil || most > 0 && most < math.MaxUint8 {
		return nil, nil
	}
	return p.out.Lend(), &p.out
}
