package socket

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// command takes the subscriptions of ZMTP 3.1 peers.
func (f *fanout) command(p *pipe, name, data []byte) {
	switch string(name) {
	case zmtp.CommandSubscribe:
		f.subscribe(p, data, true)
	case zmtp.CommandCancel:
		f.subscribe(p, data, false)
	}
}

// subscribe adds or removes a peer's subscription, with WithManual only to what it asked for. It shows the first of a topic and the
// last, and others where the options say so. A peer that asks too much is disconnected.
func (f *fanout) subscribe(p *pipe, topic []byte, added bool) {
	cfg := &f.c.cfg
	if err := cfg.longTopic(len(topic)); err != nil && !f.exact {
		p.kill(err)
		return
	}
	if added && f.c.cfg.topicAuthorizer != nil && !p.permits(topic) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.peers[p.peer.Load()] != p { // Disconnect has let go of it
		return
	}
	if added {
		if err := f.asksTooMuchLocked(p, topic); err != nil {
			p.kill(err)
			return
		}
	}
	all := cfg.manual || cfg.verboser
	switch {
	case added && cfg.manual:
		f.asked.Subscribe(p, topic)
		f.showLocked(p, topic, 1)
	case added:
		if f.addLocked(p, topic) || all || cfg.verbose {
			f.showLocked(p, topic, 1)
		}
	case cfg.manual:
		if _, known := f.asked.Unsubscribe(p, topic); known {
			f.showLocked(p, topic, 0)
		}
	default:
		if last, known := f.takeLocked(p, topic); known && (last || all) {
			f.showLocked(p, topic, 0)
		}
	}
}

// asksTooMuchLocked bounds what a peer may be subscribed to, and what is to be shown when it leaves.
func (f *fanout) asksTooMuchLocked(p *pipe, topic []byte) error {
	cfg, topics := &f.c.cfg, &f.topics
	if cfg.manual {
		topics = &f.asked
	}
	held := topics.Held(p)
	if cfg.manual || cfg.verboser {
		held = topics.Total(p)
	}
	if err := cfg.manyTopics(held); err != nil {
		return err
	}
	return cfg.largeTopics(topics.Bytes(p) + len(topic))
}

// addLocked subscribes a peer to topic, and reports whether it is the first.
func (f *fanout) addLocked(p *pipe, topic []byte) (first bool) {
	held := f.topics.Held(p)
	var news []*lastValue
	if f.last != nil {
		news = f.last.newsLocked(p, topic)
	}
	first = f.topics.Subscribe(p, topic)
	if d := p.durable.Load(); d != nil {
		d.subscribe(topic, true)
	}
	if f.topics.Held(p) > held {
		f.reportLocked(Subscribed, p, topic)
		f.changedLocked()
		f.welcomeLocked(p, topic)
		if f.last != nil {
			f.last.sendLocked(p, news)
		}
	}
	return first
}

// takeLocked takes a subscription back. It reports whether it was the last of topic, and whether the peer had it.
func (f *fanout) takeLocked(p *pipe, topic []byte) (last, known bool) {
	held := f.topics.Held(p)
	last, known = f.topics.Unsubscribe(p, topic)
	if d := p.durable.Load(); d != nil && known {
		d.subscribe(topic, false)
	}
	if f.topics.Held(p) < held {
		f.reportLocked(Unsubscribed, p, topic)
		f.changedLocked()
	}
	return last, known
}

// welcomeLocked sends the welcome message to a peer that has just subscribed to it.
func (f *fanout) welcomeLocked(p *pipe, topic []byte) {
	welcome := f.c.cfg.welcome
	if welcome == nil || p.durable.Load() != nil || !bytes.HasPrefix(welcome[0], topic) {
		return
	}
	if _, had := f.greeted[p]; had {
		return
	}
	f.greeted[p] = struct{}{}
	if took, _ := p.queueBeside(welcome, (Msg{Frames: welcome}).Size()); !took {
		p.overflow()
	}
	p.out.Wake()
}

// remove cancels a peer's subscriptions.
func (f *fanout) remove(p *pipe) {
	if d := p.durable.Load(); d != nil {
		d.quit()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.peers, p.peer.Load())
	delete(f.greeted, p)
	if f.last != nil {
		delete(f.last.owed, p)
	}
	clear(f.matched[:cap(f.matched)]) // it would keep p, with all its buffers, until the next Send
	f.matched = f.matched[:0]
	cfg := &f.c.cfg
	f.asked.RemovePipe(p, func(topic []byte, times int, _ bool) {
		for range times {
			f.showLocked(p, topic, 0)
		}
	})
	gone := func(topic []byte, times int, last bool) {
		f.reportLocked(Unsubscribed, p, topic)
		switch {
		case cfg.manual: // what is shown is what was asked for
		case cfg.verboser:
			for range times {
				f.showLocked(p, topic, 0)
			}
		case last:
			f.showLocked(p, topic, 0)
		}
	}
	if f.show == nil && !f.c.hub.active.Load() {
		gone = nil
	}
	f.topics.RemovePipe(p, gone)
	f.changedLocked()
}

// showLocked has XPUB's Recv return a subscription or cancellation.
func (f *fanout) showLocked(p *pipe, topic []byte, first byte) {
	if f.show != nil {
		f.show(p, topic, first)
	}
}

// reportLocked makes an event of a subscription. The hub's lock comes behind ours.
func (f *fanout) reportLocked(kind EventKind, p *pipe, topic []byte) {
	if f.c.hub.active.Load() {
		f.c.hub.emit(Event{Kind: kind, Endpoint: p.endpoint, Peer: p.peer.Load(), Topic: string(topic)})
	}
}

// changedLocked wakes who waits for subscribers, and who waits for room at one that may not be concerned any more.
func (f *fanout) changedLocked() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
	f.wait.wakeAll()
}

// grant and revoke are XPub.Grant and XPub.Revoke.
func (f *fanout) grant(peer *Peer, topics []string) error {
	return f.manage("grant", peer, topics, func(p *pipe, topic string) error {
		if err := f.c.cfg.manyTopics(f.topics.Held(p)); err != nil {
			return err
		}
		f.addLocked(p, []byte(topic))
		return nil
	})
}

func (f *fanout) revoke(peer *Peer, topics []string) error {
	return f.manage("revoke", peer, topics, func(p *pipe, topic string) error {
		if _, known := f.takeLocked(p, []byte(topic)); !known {
			return errNotSubscribed([]byte(topic))
		}
		return nil
	})
}

func (f *fanout) manage(op string, peer *Peer, topics []string, apply func(*pipe, string) error) error {
	if err := f.c.usable(); err != nil {
		return &Error{Op: op, Err: err}
	}
	if !f.c.cfg.manual {
		return &Error{Op: op, Err: fmt.Errorf("%w: without WithManual the peers decide what they are subscribed to", ErrState)}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, topic := range topics {
		p, err := f.pipeLocked(peer)
		if err == nil {
			err = f.c.cfg.longTopic(len(topic))
		}
		if err == nil {
			err = apply(p, topic)
		}
		if err != nil {
			return &Error{Op: op, Err: err}
		}
	}
	return nil
}

// TopicCount returns how many different topics subscribers have (ZMQ_TOPICS_COUNT).
func (f *fanout) TopicCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.topics.Count()
}

// Topics returns the topics that subscribers have, each once, in order. For a Radio they are groups.
func (f *fanout) Topics() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sortedTopics(f.topics.Count(), f.topics.Each)
}

// sortedTopics lists the count topics that each yields.
func sortedTopics(count int, each func(yield func(topic []byte))) []string {
	all := make([]string, 0, count)
	each(func(topic []byte) { all = append(all, string(topic)) })
	slices.Sort(all)
	return all
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
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
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
