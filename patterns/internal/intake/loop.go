// Package intake takes messages from a socket and hands them to a function, on a bounded number of goroutines. It
// is the running part of Worker, Service and Subscriber.
package intake

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
)

// Socket is what a Loop needs of a socket.
type Socket interface {
	Recv(ctx context.Context) (socket.Msg, error)
	Events(ctx context.Context) iter.Seq[socket.Event]
	Shutdown(ctx context.Context) error
	Close() error
}

// Handler handles one message, all that it gets in the same ctx. It returns when that is done. It reports whether the Loop is to count the message as handled,
// which else the Handler sees to, and whether nothing refers to its frames any more.
type Handler func(ctx context.Context, m socket.Msg) (well, over bool)

// Loop runs handlers. Make one with New.
type Loop struct {
	sock    Socket
	onError func(ctx context.Context, err error)
	acked   bool            // see Acknowledged
	lease   time.Duration   // see Leased; zero for none
	taking  context.Context // ends when no more is to be taken
	stop    context.CancelFunc
	given   context.Context // ends when work in hand is given up
	abandon context.CancelFunc
	gate    gate
	pausing sync.Mutex                      // has Pause and Resume come one after the other
	credit  func(messages, bytes int) error // see Credited; nil for none
	most    [2]int                          // messages and bytes
	order   *Order                          // nil: messages are handled in the order they come
	batched *batched                        // nil: messages are received one by one

	handled, failed, malformed, expired, unhandled, unanswered atomic.Uint64
	inHand                                                     atomic.Int64

	mu   sync.Mutex // guards the fields below
	runs int
	idle chan struct{} // closed while runs is 0
	rest func()        // what ends with the last run: see watch
	held []socket.Msg  // came while the gate was being shut, and wait for it to open
	left bool          // the senders were, so what is to be acknowledged goes to others
}

// Alike returns what hires a Handler that is the same for all, and after which messages may be referred to for ever.
func Alike(h func(ctx context.Context, m socket.Msg)) (hire func() Handler) {
	return func() Handler {
		return func(ctx context.Context, m socket.Msg) (well, over bool) { h(ctx, m); return false, false }
	}
}

// New returns a Loop over sock, which it owns from now on. What goes wrong is reported to onError.
func New(sock Socket, onError func(ctx context.Context, err error)) *Loop {
	l := &Loop{sock: sock, onError: onError, idle: make(chan struct{})}
	l.taking, l.stop = context.WithCancel(context.Background())
	l.given, l.abandon = context.WithCancel(context.Background())
	l.gate.init(l.taking)
	close(l.idle)
	return l
}

// Acknowledged says that messages are acknowledged by Answer alone. Shutdown then leaves those that no handler has to others, and keeps the socket
// until those in hand are answered. It is called before anything else.
func (l *Loop) Acknowledged() { l.acked = true }

// Credited has Pause tell the senders by set, a socket's SetAckCredit, that no messages are wanted, and Resume that so many are. It is called before anything else.
func (l *Loop) Credited(set func(messages, bytes int) error, messages, bytes int) {
	l.credit, l.most = set, [2]int{messages, bytes}
}

// Run takes messages on n goroutines until ctx ends or the socket is closed and has no more. It
// returns when the messages in hand were handled: nil, or the reason why the socket cannot be used. Each goroutine has a Handler of its own, which hire
// makes. The context that it gets has the values of ctx, but ends only when its work is given up: by Close, or at the deadline of Shutdown.
func (l *Loop) Run(ctx context.Context, n int, hire func() Handler) error {
	l.enter()
	defer l.leave()
	r := l.begin(ctx)
	defer r.end()
	var mu sync.Mutex // guards fault
	var fault error   // that of one of them: they all meet the same
	receive := l.receive
	if l.batched != nil && n == 1 {
		receive = l.receiveBatches
	}
	employ(n, func() {
		if err := l.take(r, hire(), nil, receive); err != nil {
			r.stop()
			mu.Lock()
			defer mu.Unlock()
			fault = err
		}
	})
	return fault
}

// run is one call of Run.
type run struct {
	intake, work context.Context // see Run
	stop, end    context.CancelFunc
}

func (l *Loop) begin(ctx context.Context) *run {
	r := &run{}
	r.intake, r.stop = context.WithCancel(ctx)
	work, done := context.WithCancel(context.WithoutCancel(ctx))
	forget := context.AfterFunc(l.given, done)
	r.work, r.end = work, func() { r.stop(); forget(); done() }
	return r
}

// receiving is receive, or receiveBatches.
type receiving func(receiving context.Context, r *run, handle Handler, ready func(ctx context.Context) bool) (closed bool, err error)

// take has messages handled until r.intake ends or the socket is closed. With ready it asks before each whether it may.
func (l *Loop) take(r *run, handle Handler, ready func(ctx context.Context) bool, receive receiving) error {
	for {
		receiving, leave := l.gate.pass(r.intake)
		if receiving == nil {
			return nil
		}
		closed, err := func() (bool, error) {
			defer leave()
			return receive(receiving, r, handle, ready)
		}()
		if closed || err != nil {
			return err
		}
	}
}

// receive handles messages until receiving ends, or the socket is closed and has no more.
func (l *Loop) receive(receiving context.Context, r *run, handle Handler, ready func(ctx context.Context) bool) (closed bool, err error) {
	l.handleHeld(receiving, r, handle)
	for receiving.Err() == nil && r.intake.Err() == nil {
		if ready != nil && !ready(receiving) {
			break
		}
		m, err := l.sock.Recv(receiving)
		switch {
		case err == nil && receiving.Err() != nil && l.gate.isShut(): // Recv was slow to see it
			l.holdBack(m)
		case err == nil:
			l.handle(r, m, handle)
		default:
			return l.ended(receiving, err)
		}
	}
	return false, nil
}

// ended returns what an error of the socket amounts to.
func (l *Loop) ended(receiving context.Context, err error) (closed bool, fault error) {
	switch {
	case errors.Is(err, socket.ErrClosed):
		return true, nil
	case receiving.Err() != nil:
		return false, nil
	}
	return false, err
}

// handleHeld handles what was held back.
func (l *Loop) handleHeld(receiving context.Context, r *run, handle Handler) {
	for receiving.Err() == nil && r.intake.Err() == nil {
		m, some := l.heldBack()
		if !some {
			break
		}
		l.handle(r, m, handle)
	}
}

func (l *Loop) handle(r *run, m socket.Msg, handle Handler) {
	l.inHand.Add(1)
	err := ErrExit
	defer func() {
		if err != nil {
			l.Answer(m, err)
		}
		l.inHand.Add(-1)
	}()
	if l.lease > 0 && m.NeedsAck() {
		l.handleLeased(r.work, m, handle)
	} else {
		well, over := handle(r.work, m)
		if well {
			l.handled.Add(1)
		}
		if over {
			m.Release()
		}
	}
	err = nil
}

// holdBack keeps a message for later.
func (l *Loop) holdBack(m socket.Msg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = append(l.held, m)
}

// heldBack returns the next of those that were.
func (l *Loop) heldBack() (m socket.Msg, some bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.held) > 0 {
		m = l.held[0]
		l.held = l.held[1:]
		if !l.left || !m.NeedsAck() {
			return m, true
		}
		l.unhandled.Add(1)
	}
	return m, false
}

// Pause has no more messages taken until Resume. Those in hand are finished; Pause does not wait for them. What arrives waits in the
// socket, which lets no more come than it has room for.
func (l *Loop) Pause() {
	l.pausing.Lock()
	defer l.pausing.Unlock()
	l.gate.shut()
	if l.credit != nil {
		_ = l.credit(0, l.most[1]) // closed, or wrong options: nothing comes anyway
	}
}

// Resume ends a Pause.
func (l *Loop) Resume() {
	l.pausing.Lock()
	defer l.pausing.Unlock()
	if l.credit != nil {
		_ = l.credit(l.most[0], l.most[1])
	}
	l.gate.open()
}

func (l *Loop) enter() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs == 0 {
		l.idle = make(chan struct{})
		l.rest = l.watch()
	}
	l.runs++
	l.batched.share(l.runs > 1)
}

func (l *Loop) leave() {
	l.mu.Lock()
	rest := func() {}
	if l.runs--; l.runs == 0 {
		close(l.idle)
		rest = l.rest
	}
	l.batched.share(l.runs > 1)
	l.mu.Unlock()
	rest()
}

// Shutdown closes the socket, so that no more comes in, and waits until all that had arrived was handled. When ctx ends before, it
// gives up what is left, and says how much of it no handler has seen. The error wraps the context's.
//
// Where messages are acknowledged it first has those in hand finished, so that they can be acknowledged, and then closes the
// socket. Those that had arrived and are in nobody's hands go to other receivers.
func (l *Loop) Shutdown(ctx context.Context) error {
	if l.acked {
		l.gate.shut()
		l.gate.quiet(ctx)
	}
	err := l.sock.Shutdown(ctx)
	l.mu.Lock()
	l.left = true
	l.mu.Unlock()
	if l.order != nil {
		l.order.leave()
	}
	l.gate.open()
	return errors.Join(err, l.finish(ctx))
}

// finish waits for the handlers, of a socket that is closed.
func (l *Loop) finish(ctx context.Context) error {
	l.mu.Lock()
	idle := l.idle
	l.mu.Unlock()
	var cause error
	select {
	case <-idle:
	case <-ctx.Done():
		cause = ctx.Err()
	}
	l.stop()
	busy, _ := l.counts()
	l.abandon()
	left := l.discard()
	switch {
	case cause != nil:
		return fmt.Errorf("shutdown: %d messages in hand, %d not handled: %w", busy, left, cause)
	case left > 0: // nobody ran
		return fmt.Errorf("shutdown: %d messages not handled", left)
	}
	return nil
}

// Close closes the socket and gives up the work in hand, in this order, so that no answer of a handler that was
// interrupted is taken for one. It does not wait for handlers; Run does.
func (l *Loop) Close() error {
	l.stop()
	err := l.sock.Close()
	l.abandon()
	l.discard()
	return err
}

// discard counts what had arrived at a closed socket and will not be handled.
func (l *Loop) discard() (n uint64) {
	if l.order != nil {
		n = uint64(l.order.drop())
	}
	l.batched.discard()
	for _, some := l.heldBack(); some; _, some = l.heldBack() {
		n++
	}
	for {
		if _, err := l.sock.Recv(l.given); err != nil { // l.given has ended, so this does not wait
			l.unhandled.Add(n)
			return n
		}
		n++
	}
}

// Refuse counts and reports a message that did not decode. e is nil if not even its envelope did.
// An ErrExpired counts as such.
func (l *Loop) Refuse(ctx context.Context, m socket.Msg, e *codec.Envelope, err error) {
	if errors.Is(err, patterns.ErrExpired) {
		l.expired.Add(1)
		l.Report(ctx, "expire", m, e, err)
		return
	}
	l.malformed.Add(1)
	l.Report(ctx, "decode", m, e, err)
}

// Settle counts how a handler ended, and reports an error.
func (l *Loop) Settle(ctx context.Context, m socket.Msg, e *codec.Envelope, err error) {
	if err == nil {
		l.handled.Add(1)
		return
	}
	l.failed.Add(1)
	l.Report(ctx, "handle", m, e, err)
}

// Report tells the hook what could not be done.
func (l *Loop) Report(ctx context.Context, op string, m socket.Msg, e *codec.Envelope, err error) {
	peer := ""
	if m.Peer() != nil {
		peer = m.Peer().Address()
	}
	l.onError(ctx, patterns.NewError(op, e, peer, err))
}

// Counts returns the counters.
func (l *Loop) Counts() patterns.Counts {
	inHand, handled := l.counts()
	return patterns.Counts{
		Handled:    handled,
		Failed:     l.failed.Load(),
		Malformed:  l.malformed.Load(),
		Expired:    l.expired.Load(),
		Unhandled:  l.unhandled.Load(),
		Unanswered: l.unanswered.Load(),
		InHand:     inHand,
	}
}
