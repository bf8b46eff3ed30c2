package socket

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/transport"
)

// A peer is given time to close its side after we closed ours. Closing at once could make the system discard what the
// peer has not read yet: if anything of the peer's is unread here, or if it sends something later, such as a PONG. And what it sent before it knew is
// still to be received.
const (
	hangUpGrace = 1500 * time.Millisecond // of silence: longer than three retransmissions of TCP in a row (0.2, 0.4, 0.8 s)
	hangUpLook  = 200 * time.Millisecond  // for what may have arrived while the system had no time for us
	hangUpLimit = 4 * time.Second         // for a peer that goes on: one of good will has only what is on its way
	hangUpBytes = 64 << 20                // likewise, by far: it is read slowly, so that the peer can notice
	hangUpPace  = 10 * time.Millisecond   // the pause after each MiB of that
)

// hangUp tells the peer that nothing follows. The peer is given a moment to do the same, and, with patient, the time to take what was
// written: until hasten. Once given, that time is not taken back by another call.
func (p *pipe) hangUp(patient bool) {
	if words := p.lastWords(); words != nil {
		p.out.Last(words)
	}
	p.mu.Lock()
	conn := p.conn
	p.mu.Unlock()
	if conn == nil {
		return
	}
	// Any other error means that the connection is gone already, which the reader sees.
	if errors.Is(conn.CloseWrite(), errors.ErrUnsupported) {
		p.kill(ErrClosed)
		return
	}
	p.mu.Lock()
	now := time.Now()
	p.silence, p.quit = now.Add(hangUpGrace), now.Add(hangUpLimit)
	p.patient = patient || p.patient && p.hung.Load()
	p.hung.Store(true)
	_ = conn.SetReadDeadline(p.silence)
	p.mu.Unlock()
	p.kick()
}

// hasten ends the time that the peer has for taking what was written.
func (p *pipe) hasten() {
	p.mu.Lock()
	p.patient = false
	p.mu.Unlock()
}

// owesLocked reports whether the peer's system has not taken yet all that was written, and is to. Where that cannot be known the peer has until
// quit. p.mu is held.
func (p *pipe) owesLocked() bool {
	if !p.patient {
		return false
	}
	n := p.conn.Unacked()
	return n > 0 || n == link.UnackedUnknown && time.Now().Before(p.quit)
}

// readOn reports whether reading goes on after bytes came from a peer that we hung up on. It makes the peer wait the longer
// the more it sends: one that is busy sending must get the time to see that we hung up.
func (p *pipe) readOn(bytes int) bool {
	before := p.late >> 20
	p.late += bytes
	if after := p.late >> 20; after > before {
		time.Sleep(hangUpPace * time.Duration(after-before))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.silence = now.Add(hangUpGrace)
	_ = p.conn.SetReadDeadline(p.silence)
	return p.late <= hangUpBytes && now.Before(p.quit) || p.owesLocked()
}

// lookAgain reads on when a read after hangUp ended by its deadline, which says less than that nothing came: it may have
// been an interrupt, or have passed while the system had no time for us and bytes were waiting; or the peer is behind with reading.
func (p *pipe) lookAgain(in *link.In) (link.Batch, error) {
	for {
		p.mu.Lock()
		now := time.Now()
		last := false
		if !now.Before(p.silence) {
			if last = !p.owesLocked(); last {
				p.silence = now.Add(hangUpLook)
			} else {
				p.silence = now.Add(hangUpGrace)
			}
		}
		_ = p.conn.SetReadDeadline(p.silence)
		p.mu.Unlock()
		if last && in.CanTry() {
			return in.Fill(false)
		}
		if b, err := in.Fill(true); last || !errors.Is(err, os.ErrDeadlineExceeded) {
			return b, err
		}
	}
}

// timedOut reports whether err is how reading ends because a peer that we hung up on has had its time.
func timedOut(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, transport.ErrWouldBlock)
}

var errUntaken = errors.New("not taken by the peer before its time was up")

// abandonLocked counts what the peer's system has not taken at the moment when we let go of the connection. p.mu is held.
func (p *pipe) abandonLocked(conn *link.Conn) {
	if n := conn.Unacked(); n > 0 && p.untaken == nil {
		p.untaken = fmt.Errorf("%d bytes %w", n, errUntaken)
		p.c.untaken.Add(uint64(n))
		if p.c.ctx.Err() != nil {
			p.c.cutOff.Add(uint64(n))
		}
	}
}

// part waits until every peer has closed its side, or had its time: what was written may take until ctx ends, or another Shutdown's.
func (c *core) part(ctx context.Context, pipes []*pipe) {
	for _, p := range pipes {
		select {
		case <-p.detached():
			continue
		case <-ctx.Done():
		case <-c.hurried.Done():
		}
		break
	}
	for _, p := range pipes {
		p.hasten()
	}
	grace, done := context.WithTimeout(context.Background(), hangUpLimit)
	defer done()
	for _, p := range pipes {
		select {
		case <-p.detached():
		case <-grace.Done():
		}
	}
}
