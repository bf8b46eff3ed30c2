package socket

import (
	"fmt"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// What peers take that acknowledge messages. A message above that ends the connection, and all that was on its way comes back, it as well; sent again and again, it would
// keep everything behind it from getting anywhere. So it is not sent there: its sender is told, or it counts as a failed delivery.

// refuses returns why the peer would not take a message of that size, as far as it is known.
func (p *pipe) refuses(size int) error {
	peer := p.peer.Load()
	if peer == nil || peer.takes == 0 || size <= peer.takes {
		return nil
	}
	return fmt.Errorf("%w: %d bytes, %s takes at most %d", ErrTooLarge, size, peer.address, peer.takes)
}

// refusedLocked takes a new message that place found too large for a peer: if another that is connected would take it, it waits like one that failed once.
func (a *assured) refusedLocked(to string, frames, given [][]byte, size int, why error) (taken *pipe, err error) {
	for p := range a.pipes {
		if to == "" && p.refuses(size) == nil {
			keep := given
			if keep == nil {
				keep = cloneFrames(frames) // which must not escape
			}
			a.number++
			d := link.Delivery{Number: a.number, Attempt: 2, Failed: 1}
			a.failedLocked(redelivery{Returned: link.Returned{Delivery: d, Frames: keep, Size: size}}, zmtp.Nack{Reason: why.Error()})
			return p, nil
		}
	}
	return nil, why
}
