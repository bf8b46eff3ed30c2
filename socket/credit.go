package socket

import (
	"fmt"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// grantLocked tells the peer how much it may send, if that has changed.
func (in *inbound) grantLocked() {
	limit := func(n, mark int) uint64 {
		if mark > 0 {
			n = min(n, mark)
		}
		return uint64(n)
	}
	r := in.r
	credit := [2]uint64{limit(r.acks.messages, r.hwm), limit(r.acks.bytes, r.c.cfg.recvHWMBytes)}
	if r.leases.asleep() {
		credit[0] = 0
	}
	if in.open && credit != in.granted {
		in.granted = credit
		in.state.Grant(credit[0], credit[1])
		in.p.out.Control(zmtp.AppendCredit(nil, credit[0], credit[1]), false)
	}
}

// SetAckCredit changes what WithAckCredit set, for peers connected now and later. A smaller credit takes nothing back: what is on its
// way arrives. Zero for one of the two stops peers; zero for both also has a connection's end count for nothing, as if we left in order (WithAttempts). A negative number is ErrOption, a socket without WithAck ErrState.
func (r *receiver) SetAckCredit(messages, bytes int) error {
	err := r.c.usable()
	switch {
	case err != nil:
	case !r.c.cfg.ack:
		err = fmt.Errorf("%w: no WithAck", ErrState)
	case messages < 0 || bytes < 0:
		err = bad("SetAckCredit", fmt.Sprint(messages, ", ", bytes), "want 0 (nothing) or more")
	}
	if err != nil {
		return &Error{Op: "set ack credit", Err: err}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acks.messages, r.acks.bytes = messages, bytes
	r.grantLocked()
	return nil
}

// grantLocked tells all peers their credit, where it has changed. r.mu is held.
func (r *receiver) grantLocked() {
	for p := range r.peers {
		if in := p.inbound.Load(); in != nil {
			in.grantLocked()
		}
	}
}
