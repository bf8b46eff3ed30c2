package socket

import (
	"context"
	"fmt"
	"sync"

	"github.com/meshmq/meshmq/socket/internal/link"
	"github.com/meshmq/meshmq/socket/internal/route"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// fanout is the sending half of PUB and XPUB: a copy of each message for every peer with a subscription to a prefix
// of its first frame (RFC 29); and of RADIO, where it is a subscription to all of that frame (RFC 48).
type fanout struct {
	c     *core
	exact bool                                    // a topic is not a prefix
	show  func(p *pipe, topic []byte, first byte) // has XPUB's Recv return a subscription; called with mu held, in order

	mu      sync.Mutex // guards the fields below
	topics  route.Topics[*pipe]
	wait    waitq   // Send with WithNoDrop
	matched []*pipe // reused by each Send, as are parts and small
	parts   [][]byte
	small   []byte
	changed chan struct{} // closed and replaced when subscriptions change
	err     error         // the socket is closed
}

func (f *fanout) init(c *core) { f.c, f.changed = c, make(chan struct{}) }

// inlineFlushes is to how many subscribers the caller of Send writes itself when their queues are long; the others'
// pumps do it. With more, the caller would be kept too long.
const inlineFlushes = 8

// Send sends one message to every subscriber whose subscriptions match its first frame. It copies the frames. It does
// not block: for a subscriber whose queue is full the message is dropped and counted (DropFull);
// without a subscriber it goes nowhere, which is not a drop (RFC 29). With WithNoDrop it blocks while a matching subscriber's
// queue is full, until ctx ends (ErrFull).
func (f *fanout) Send(ctx context.Context, frames ...[]byte) error {
	if err := f.c.usable(); err != nil {
		return &Error{Op: "send", Err: err}
	}
	size, err := f.c.sizeOf(frames)
	if err != nil {
		return err
	}
	f.mu.Lock()
	for {
		if f.err != nil {
			f.mu.Unlock()
			return &Error{Op: "send", Err: f.err}
		}
		f.matchLocked(frames[0])
		if !f.c.cfg.noDrop || f.roomForAll(size) {
			break
		}
		if err := ctx.Err(); err != nil {
			f.mu.Unlock()
			return &Error{Op: "send", Err: &blocked{ErrFull, err}}
		}
		w := f.wait.add()
		f.mu.Unlock()
		if err := f.wait.wait(ctx, &f.mu, w); err != nil {
			return &Error{Op: "send", Err: &blocked{ErrFull, err}}
		}
		f.mu.Lock()
	}
	var flush [inlineFlushes]*pipe
	n := f.distribute(frames, size, &flush)
	f.mu.Unlock()
	for _, p := range flush[:n] {
		p.out.Flush()
	}
	return nil
}

// matchLocked finds who is to get a message of this topic.
func (f *fanout) matchLocked(topic []byte) {
	if f.exact {
		f.matched = f.topics.AppendExact(f.matched[:0], topic)
	} else {
		f.matched = f.topics.AppendMatch(f.matched[:0], topic)
	}
}

// roomForAll reports whether every matched subscriber has room; if not, room will be called. f.mu is held.
func (f *fanout) roomForAll(size int) bool {
	for _, p := range f.matched {
		if p.out.Full(size) {
			return false
		}
	}
	return true
}

// distribute queues the message at every matched subscriber and returns those to be written to by the caller.
func (f *fanout) distribute(frames [][]byte, size int, flush *[inlineFlushes]*pipe) (n int) {
	single := len(f.matched) == 1
	if !single && len(f.matched) > 0 {
		f.parts, f.small = link.Encode(f.parts, f.small, frames)
	}
	for _, p := range f.matched {
		var took, full bool
		if single {
			took, full = p.out.Append(nil, frames, size)
		} else {
			took, full = p.out.AppendEncoded(f.parts, size)
		}
		switch {
		case !took:
			f.c.drop(p, DropFull, 1)
		case full && n < len(flush):
			flush[n] = p
			n++
		case full:
			p.out.Wake()
		}
	}
	clear(f.parts) // large bodies belong to the queues now
	return n
}

func (f *fanout) room(*pipe) {
	f.mu.Lock()
	f.wait.wakeAll()
	f.mu.Unlock()
}

func (f *fanout) stopSending(err error) {
	f.mu.Lock()
	f.err = err
	f.wait.wakeAll()
	f.mu.Unlock()
}

// command takes the subscriptions of ZMTP 3.1 peers.
func (f *fanout) command(p *pipe, name, data []byte) {
	switch string(name) {
	case zmtp.CommandSubscribe:
		f.subscribe(p, data, true)
	case zmtp.CommandCancel:
		f.subscribe(p, data, false)
	}
}

// subscribe adds or removes a peer's subscription, and shows the first of a topic and the last, with WithVerbose all. A peer that asks too
// much is disconnected.
func (f *fanout) subscribe(p *pipe, topic []byte, added bool) {
	if len(topic) > maxTopic {
		p.kill(errLongTopic(len(topic)))
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !added {
		if last, known := f.topics.Unsubscribe(p, topic); last && known {
			f.showLocked(p, topic, 0)
		}
	} else if f.topics.Held(p) >= maxTopics {
		p.kill(errManyTopics)
	} else if f.topics.Subscribe(p, topic) || f.c.cfg.verbose {
		f.showLocked(p, topic, 1)
	}
	f.changedLocked()
}

func (f *fanout) showLocked(p *pipe, topic []byte, first byte) {
	if f.show != nil {
		f.show(p, topic, first)
	}
}

// remove cancels a peer's subscriptions.
func (f *fanout) remove(p *pipe) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.topics.RemovePipe(p, func(topic []byte) { f.showLocked(p, topic, 0) })
	f.changedLocked()
	f.wait.wakeAll()
}

func (f *fanout) changedLocked() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// WaitSubscribers blocks until at least n connected peers have a subscription that matches topic, so that a message
// sent then reaches all of them. For a Radio, topic is a group that they joined.
func (f *fanout) WaitSubscribers(ctx context.Context, topic string, n int) error {
	if err := f.c.usable(); err != nil {
		return &Error{Op: "wait for subscribers", Err: err}
	}
	for {
		f.mu.Lock()
		f.matchLocked([]byte(topic))
		have, changed := len(f.matched), f.changed
		f.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &Error{Op: "wait for subscribers", Err: &blocked{fmt.Errorf("%w: %d of %d subscribed to %q", ErrNoPeer, have, n, topic), ctx.Err()}}
		case <-f.c.closed:
			return &Error{Op: "wait for subscribers", Err: ErrClosed}
		}
	}
}
