package pubsub

import (
	"cmp"
	"slices"
	"strings"
)

// roster has the subscriptions of a Subscriber by their patterns, level by level, so that an event finds those that it is for however many there are. The
// zero roster is empty. It has no lock.
//
//	orders --- eu --- created     orders.eu.created
//	   |        +---- *           orders.eu.*
//	   +------ >                  orders.>
type roster struct {
	top     node
	n       int
	joined  uint64              // subscriptions that ever were: each has its number
	filters map[string]int      // how many have each filter
	lengths [maxTopic + 2]int32 // how many have a filter of this length, the end of a topic with it
}

// node stands for what the levels that lead to it stand for.
type node struct {
	levels    map[string]*node // by what comes next
	any       *node            // '*' comes next
	here, all []*Subscription  // patterns that end here, and here with '>'
}

func (r *roster) add(sub *Subscription) {
	r.joined++
	sub.number = r.joined
	n, last := r.top.walk(sub.pattern)
	if last {
		n.all = append(n.all, sub)
	} else {
		n.here = append(n.here, sub)
	}
	if r.filters == nil {
		r.filters = map[string]int{}
	}
	r.n++
	r.filters[sub.filter]++
	r.lengths[len(sub.filter)]++
}

// walk returns the node of a pattern, which it makes if need be, and whether '>' comes behind it.
func (n *node) walk(pattern string) (at *node, last bool) {
	for more := true; more; {
		var level string
		level, pattern, more = strings.Cut(pattern, ".")
		if level == ">" {
			return n, true
		}
		next := n.next(level)
		if next == nil {
			next = new(node)
			if level == "*" {
				n.any = next
			} else {
				if n.levels == nil {
					n.levels = map[string]*node{}
				}
				n.levels[level] = next
			}
		}
		n = next
	}
	return n, false
}

func (n *node) next(level string) *node {
	if level == "*" {
		return n.any
	}
	return n.levels[level]
}

func (r *roster) remove(sub *Subscription) {
	r.top.remove(sub, sub.pattern)
	r.n--
	r.lengths[len(sub.filter)]--
	if r.filters[sub.filter]--; r.filters[sub.filter] == 0 {
		delete(r.filters, sub.filter)
	}
}

// remove takes sub out of what is below n, by the rest of its pattern, and reports whether there is nothing left.
func (n *node) remove(sub *Subscription, pattern string) (empty bool) {
	level, rest, more := strings.Cut(pattern, ".")
	is := func(s *Subscription) bool { return s == sub }
	if level == ">" {
		n.all = slices.DeleteFunc(n.all, is)
	} else {
		next, gone := n.next(level), false
		if more {
			gone = next.remove(sub, rest)
		} else {
			next.here = slices.DeleteFunc(next.here, is)
			gone = next.empty()
		}
		if gone && level == "*" {
			n.any = nil
		} else if gone {
			delete(n.levels, level)
		}
	}
	return n.empty()
}

func (n *node) empty() bool {
	return len(n.levels) == 0 && n.any == nil && len(n.here) == 0 && len(n.all) == 0
}

// match appends those whose patterns stand for topic, in the order in which they subscribed.
func (r *roster) match(to []*Subscription, topic string) []*Subscription {
	to = r.top.match(to, topic)
	if len(to) > 1 {
		slices.SortFunc(to, func(a, b *Subscription) int { return cmp.Compare(a.number, b.number) })
	}
	return to
}

func (n *node) match(to []*Subscription, topic string) []*Subscription {
	to = append(to, n.all...)
	level, rest, more := strings.Cut(topic, ".")
	for _, next := range [...]*node{n.levels[level], n.any} {
		switch {
		case next == nil:
		case more:
			to = next.match(to, rest)
		default:
			to = append(to, next.here...)
		}
	}
	return to
}

// covers reports whether somebody's filter lets all pass that begins with common, or all of the topic that is common.
func (r *roster) covers(common string) bool {
	for n, some := range r.lengths[:len(common)+1] {
		if some > 0 && r.filters[common[:n]] > 0 {
			return true
		}
	}
	return r.filters[common+topicEnd] > 0
}
