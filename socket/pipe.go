package socket

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/socket/internal/route"
)

// pipe is the way between a socket and one peer: a queue out, an inbox, and the connection between them, while
// there is one. A pipe of Connect gets one connection after another.
type pipe struct {
	c        *core
	out      link.Out
	endpoint string
	dialer   *dialer    // nil when accepted
	guest    *guest     // nil when not
	policy   DropPolicy // what to do when out is full, where the pattern drops messages; set before any is queued
	dropped  [dropReasons]atomic.Uint64
	rtt      atomic.Int64
	sent     atomic.Pointer[progress] // with core.sure: on the connection, or on the last one
	empty    chan struct{}            // a signal that the queue became empty, once flush or drain asked for it
	renewed  atomic.Bool              // we ended the connection to get a fresh one: no pause before that

	peer    atomic.Pointer[Peer] // of the connection, or of the last one
	live    atomic.Bool          // there is a connection, handshake done
	heart   atomic.Pointer[heart]
	in      atomic.Pointer[link.In]    // of the connection, or of the last one
	inbound atomic.Pointer[inbound]    // the same, where what comes is acknowledged; nil where not
	member  atomic.Pointer[member]     // of the spool's courier, for the connection or the last one; nil without a spool
	durable atomic.Pointer[subscribed] // likewise, on a publisher with a log whose messages the peer acknowledges; nil for others
	paused  atomic.Bool                // the inbox stands at the high-water mark; written under receiver.mu
	hung    atomic.Bool                // we closed our side: reading ends at the deadline
	late    int                        // bytes read after that, by the read pump

	// Who reads: see receiver.direct and receiver.await.
	turn    chan struct{} // wakes the pump to look again
	wish    atomic.Bool   // a caller of Recv found the pump reading
	reading atomic.Bool   // a caller of Recv reads
	parked  atomic.Bool   // the pump sleeps until that caller has left
	stopped atomic.Bool   // the pump sleeps until the inbox has room
	directs atomic.Uint64 // reads by callers of Recv
	own     bool          // what is delivered was read by a caller of Recv, who takes the first of it; guarded by the baton

	// What out has room for, whatever is written meanwhile: see fanout.roomFor. fanout.mu guards them.
	freeMsgs, freeBytes int

	mu       sync.Mutex // guards the fields below
	conn     *link.Conn
	silence  time.Time     // after hangUp: when reading ends unless bytes come
	quit     time.Time     // when it ends at the latest, unless the peer is behind with reading
	patient  bool          // it is given time for that
	untaken  error         // what it had not taken when its time was up
	cause    error         // why we ended the connection, or what a caller of Recv met
	parting  error         // why we are about to: the peer is being told, and may be quicker
	gone     chan struct{} // closed when the connection has ended
	attached uint64        // connections so far
	since    time.Time     // when the last one was made

	// The fields below are guarded by receiver.mu.
	inbox    []arrival
	next     int     // the first arrival in inbox that is not used up
	from     *origin // of the last arrival
	inMsgs   int
	inBytes  int
	inHeld   int                // memory of the batches, which the high-water mark counts
	seat     *route.Seat[*pipe] // in the fair queue, nil while not in it
	present  bool               // among receiver.peers
	totalIn  uint64
	totalInB uint64

	named  bool   // id was given to ConnectAs
	id     string // routing id, guarded by Router.tableMu
	number uint32 // routing id of SERVER, PEER and STREAM, guarded by numbered.seatMu
}

// maxCuts is how many connections in a row may end within the same message. It is then taken for one that the peer refuses, such as one
// that is too large for it, which would keep all others from getting there.
const maxCuts = 5

// lineFrom is how many connections make a line. With fewer, pumps that write all at once leave who sends its share of the processors.
const lineFrom = 64

func newPipe(c *core, endpoint string, d *dialer) *pipe {
	p := &pipe{c: c, endpoint: endpoint, dialer: d, empty: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
	p.setPolicy(c.cfg.policy)
	p.out.MaxCuts, p.out.Line = maxCuts, &c.line
	p.out.Room = func() { c.pat.room(p) }
	p.out.Drained = func() {
		signal(p.empty)
		signal(c.drained)
	}
	return p
}

// signal leaves a signal in a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// queues reports whether p has a queue while it is not connected.
func (p *pipe) queues() bool { return p.dialer != nil && (p.c.queueing || p.named) }

// queue queues a message of head and frames, which are copied, or those given away. They are two parameters, here and in all that leads
// here, since what is copied must not escape to the heap: callers may have it on their stack.
func (p *pipe) queue(head, frames, given [][]byte, size int) (took, flush bool) {
	if given != nil {
		return p.out.AppendGiven(head, given, size)
	}
	return p.out.AppendLent(head, frames, size)
}

// either returns the frames of a message, to be looked at.
func either(frames, given [][]byte) [][]byte {
	if given != nil {
		return given
	}
	return frames
}

// kick has the read pump look at the state of things again.
func (p *pipe) kick() { signal(p.turn) }

// kill ends the connection, if there is one, for the reason given.
func (p *pipe) kill(cause error) {
	p.mu.Lock()
	conn := p.conn
	p.mu.Unlock()
	p.sever(conn, cause)
}

// sever is kill for one connection, which may have been followed by another.
func (p *pipe) sever(conn *link.Conn, cause error) {
	p.mu.Lock()
	if conn != nil && p.conn == conn && p.cause == nil {
		p.cause = cause
	}
	if conn != nil && p.conn == conn && p.hung.Load() {
		p.abandonLocked(conn)
	}
	p.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
	p.kick()
}

// fail records the error that a caller of Recv met while reading; the pump ends the connection.
func (p *pipe) fail(err error) {
	p.mu.Lock()
	if p.cause == nil {
		p.cause = err
	}
	p.mu.Unlock()
	p.kick()
}

// failed returns why the connection is to end, if it is.
func (p *pipe) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cause
}

var ended = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// detached is closed when there is no connection.
func (p *pipe) detached() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return ended
	}
	return p.gone
}

func (p *pipe) isAttached() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn != nil
}

// leftByUs reports whether it was we who ended the connection, as far as messages are concerned: it says nothing about those that the peer had. Nor does
// that the peer has connected anew, since it lives.
func (p *pipe) leftByUs() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hung.Load() || p.parting != nil || errors.Is(p.cause, ErrClosed) || errors.Is(p.cause, errAnew)
}

// flush waits until the queue is empty or ctx ends.
func (p *pipe) flush(ctx context.Context) {
	p.out.Watch()
	for {
		if msgs, _ := p.out.Outstanding(); msgs == 0 {
			return
		}
		select {
		case <-p.empty:
		case <-ctx.Done():
			return
		}
	}
}

// leave writes what is queued, for the linger period at most, and ends the connection; stop is called before that.
func (p *pipe) leave(stop func()) {
	c := p.c
	defer c.wg.Done()
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.linger)
	defer cancel()
	p.flush(ctx)
	stop()
	p.hangUp(ctx.Err() == nil)
	c.part(ctx, []*pipe{p})
	p.kill(ErrClosed)
}

func (p *pipe) stats() PeerStats {
	s := PeerStats{Endpoint: p.endpoint, Connected: p.live.Load(), Dropped: map[DropReason]uint64{}, LastRTT: time.Duration(p.rtt.Load())}
	s.GaveUp = p.dialer != nil && p.dialer.idle.Load()
	if s.Connected {
		s.Peer = p.peer.Load()
	}
	for reason := range p.dropped {
		if n := p.dropped[reason].Load(); n > 0 {
			s.Dropped[DropReason(reason)] = n
		}
	}
	s.QueueMessages, s.QueueBytes = p.out.Depth()
	s.MessagesOut, s.BytesOut = p.out.Totals()
	if p.c.keeper != nil {
		s.Unacked, _ = p.out.Outstanding()
	}
	p.mu.Lock()
	if p.attached > 0 {
		s.Reconnects = p.attached - 1
	}
	if s.Connected {
		s.Since = p.since
	}
	p.mu.Unlock()
	if r := p.c.recv; r != nil {
		r.mu.Lock()
		lent, lentBytes := r.lentLocked(p)
		s.InboxMessages, s.InboxBytes = p.inMsgs-lent, max(p.inBytes-lentBytes, 0)
		s.MessagesIn, s.BytesIn = p.totalIn, p.totalInB
		r.mu.Unlock()
	}
	return s
}

func comparePeers(a, b PeerStats) int {
	address := func(s PeerStats) string {
		if s.Peer == nil {
			return ""
		}
		return s.Peer.address
	}
	return cmp.Or(cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(address(a), address(b)))
}
