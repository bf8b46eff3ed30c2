package route

import (
	"bytes"
	"slices"
	"strings"
)

// node is one node of a compressed radix trie; the topic it stands for is the prefixes from the root down
// to it. Children are told apart by their first byte alone, which index repeats in the order of kids: a
// search in it is one vectorised scan of at most 256 bytes, fast for two children and for all of them.
//
//	root ─ "order." ─┬─ "new"  (pipes 1, 2)           index of "order." is "nc"
//	                 └─ "cancel" (pipe 2) ─ "led" (pipe 3)
//
// Invariant: a node other than the root has a non-empty prefix, and subscribers or at least two children.
// There are therefore fewer than two nodes for each topic. A node keeps its identity for as long as it has
// subscribers, whatever is split or joined around it. No function recurses: a peer chooses how deep the
// trie is (GHSA-qq65).
type node[P comparable] struct {
	parent *node[P]
	prefix string
	index  []byte
	kids   []*node[P]
	subs   []*slot[P] // who subscribed to exactly this topic
}

// step returns the child of n that lies on the way of rest, and what of rest is left after it; nil if
// there is none.
func (n *node[P]) step(rest []byte) (*node[P], []byte) {
	if len(rest) == 0 {
		return nil, nil
	}
	i := bytes.IndexByte(n.index, rest[0])
	if i < 0 {
		return nil, nil
	}
	kid := n.kids[i]
	size := len(kid.prefix)
	if len(rest) < size || string(rest[:size]) != kid.prefix {
		return nil, nil
	}
	return kid, rest[size:]
}

// find returns the node of exactly this topic below n, or nil.
func (n *node[P]) find(topic []byte) *node[P] {
	for n != nil && len(topic) > 0 {
		n, topic = n.step(topic)
	}
	return n
}

// insert returns the node of topic below n, and makes it if need be. The caller gives it a subscriber.
func (n *node[P]) insert(topic []byte) *node[P] {
	for len(topic) > 0 {
		i := bytes.IndexByte(n.index, topic[0])
		if i < 0 {
			kid := &node[P]{prefix: string(topic)}
			n.attach(kid)
			return kid
		}
		n = n.kids[i]
		same := commonPrefix(n.prefix, topic)
		if same < len(n.prefix) {
			n = n.split(same)
		}
		topic = topic[same:]
	}
	return n
}

// split puts a new node above n that takes the first at bytes of its prefix, and returns it.
func (n *node[P]) split(at int) *node[P] {
	head := &node[P]{prefix: strings.Clone(n.prefix[:at])}
	n.parent.replace(n, head)
	// Cloned, as above, so that a short rest does not keep a long topic in memory.
	n.prefix = strings.Clone(n.prefix[at:])
	head.attach(n)
	return head
}

// prune restores the invariant after n lost its last subscriber: a leaf goes, and a node that only leads
// to one other is joined with it. Taking out a leaf may leave its parent as such a node, but no more.
func (n *node[P]) prune() {
	for n.parent != nil && len(n.subs) == 0 && len(n.kids) < 2 {
		parent := n.parent
		if len(n.kids) == 1 {
			kid := n.kids[0]
			kid.prefix = n.prefix + kid.prefix
			parent.replace(n, kid)
			return
		}
		parent.detach(n)
		n = parent
	}
}

// attach makes kid a child of n.
func (n *node[P]) attach(kid *node[P]) {
	kid.parent = n
	n.index = append(n.index, kid.prefix[0])
	n.kids = append(n.kids, kid)
}

// replace puts kid, which begins with the same byte, where old was.
func (n *node[P]) replace(old, kid *node[P]) {
	kid.parent = n
	n.kids[bytes.IndexByte(n.index, old.prefix[0])] = kid
}

// detach takes the child out.
func (n *node[P]) detach(kid *node[P]) {
	i := bytes.IndexByte(n.index, kid.prefix[0])
	n.index = removeAt(n.index, i)
	n.kids = removeAt(n.kids, i)
}

// topic spells the topic of n out into buf, which grows if need be.
func (n *node[P]) topic(buf []byte) []byte {
	size := 0
	for m := n; m != nil; m = m.parent {
		size += len(m.prefix)
	}
	buf = slices.Grow(buf[:0], size)[:size]
	for m := n; m != nil; m = m.parent {
		size -= len(m.prefix)
		copy(buf[size:], m.prefix)
	}
	return buf
}

// commonPrefix returns how many bytes a and b share at their beginning.
func commonPrefix(a string, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// removeAt removes s[i] by moving the last element there. It gives memory back once three quarters of it
// lie idle, so that what is kept follows what is subscribed and not what once was.
func removeAt[E any](s []E, i int) []E {
	last := len(s) - 1
	s[i] = s[last]
	clear(s[last:])
	s = s[:last]
	switch {
	case last == 0:
		return nil
	case last <= cap(s)/4:
		return append(make([]E, 0, last), s...) // exactly: a clone may round up to as much as before
	}
	return s
}
