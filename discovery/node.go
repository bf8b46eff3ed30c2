package discovery

import (
	"context"
	"sync"
)

// Node announces and follows services for one program. Its methods may be called from any
// goroutine.
type Node struct {
	reg    Registry
	name   string
	ctx    context.Context // of all that the Node started; ends at Close
	cancel context.CancelFunc

	mu        sync.Mutex // guards the fields below
	closed    bool
	own       map[string]bool // IDs of announced instances, never followed
	withdraws []func()
	followers []*Follower
}

// NewNode returns a Node that works through reg, which it does not own: close reg after the
// Node. Name is the Name of each instance it announces; it may be empty.
func NewNode(reg Registry, name string) *Node {
	n := &Node{reg: reg, name: name, own: make(map[string]bool)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// Announce makes it known that service is offered at endpoint, as returned by Bind, until
// withdraw or Close is called.
func (n *Node) Announce(service, endpoint string, meta map[string]string) (withdraw func(), err error) {
	in := Instance{ID: NewID(), Service: service, Name: n.name, Endpoints: []string{endpoint}, Meta: meta}
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil, ErrClosed
	}
	n.own[in.ID] = true // before Announce: a Follower of ours may see it at once
	n.mu.Unlock()

	withdraw, err = n.reg.Announce(n.ctx, in)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed { // meanwhile: n.ctx has ended, so the registry is withdrawing it already
		return nil, ErrClosed
	}
	n.withdraws = append(n.withdraws, withdraw)
	return withdraw, nil
}

// Follow keeps target connected to all instances of service but this Node's own, until the
// Follower or the Node is closed. See the function Follow.
func (n *Node) Follow(service string, target Connector, opts ...FollowOption) (*Follower, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	notOwn := WithFilter(func(in Instance) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return !n.own[in.ID]
	})
	f, err := Follow(n.ctx, n.reg, service, target, append([]FollowOption{notOwn}, opts...)...)
	if err != nil {
		return nil, err
	}
	n.followers = append(n.followers, f)
	return f, nil
}

// Close stops following, withdraws what was announced, and returns when watchers have been told
// and all goroutines have ended. Connections of followed sockets stay as they are.
func (n *Node) Close() error {
	n.mu.Lock()
	n.closed = true
	followers, withdraws := n.followers, n.withdraws
	n.mu.Unlock()

	n.cancel() // all at once: each withdraw takes a registry's time to say goodbye
	for _, f := range followers {
		f.Close()
	}
	for _, withdraw := range withdraws {
		withdraw()
	}
	return nil
}
