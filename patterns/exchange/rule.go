package exchange

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/pubsub"
)

// ErrRule is the error for a malformed rule or binding. It names it.
var ErrRule = errors.New("malformed rule")

// Rule says which messages a binding is for. Functions of this package make them; the zero Rule is malformed. Rules are plain values, and may be part of others.
type Rule struct {
	text  string
	err   error
	match func(m *Message) bool // called by several goroutines at once
}

// String returns the rule as it was made.
func (r Rule) String() string { return r.text }

// rule returns a Rule that is malformed if err is not nil.
func rule(match func(*Message) bool, err error, name string, args ...any) Rule {
	texts := make([]string, len(args))
	for i, a := range args {
		texts[i] = fmt.Sprintf("%q", fmt.Sprint(a))
		if r, ok := a.(Rule); ok {
			texts[i] = r.text
		}
	}
	r := Rule{text: name + "(" + strings.Join(texts, ", ") + ")", match: match}
	if err != nil {
		r.err = fmt.Errorf("%w %.200s: %w", ErrRule, r.text, err)
	}
	return r
}

var (
	errNone = errors.New("want at least one")
	errNil  = errors.New("want a function")
)

// Direct matches messages whose topic is one of those given, as a direct exchange does.
func Direct(topics ...string) Rule {
	topics = slices.Clone(topics)
	err := atLeastOne(topics)
	for _, topic := range topics {
		err = errors.Join(err, pubsub.CheckTopic(topic))
	}
	return rule(func(m *Message) bool { return slices.Contains(topics, m.Topic) }, err, "Direct", anys(topics)...)
}

// Fanout matches every message, as a fanout exchange does.
func Fanout() Rule { return rule(func(*Message) bool { return true }, nil, "Fanout") }

// Topic matches messages whose topic the pattern stands for, as a topic exchange does. Patterns are those of package pubsub: '*' is one level, '>' the rest.
func Topic(pattern string) Rule {
	return rule(func(m *Message) bool { return m.Topic != "" && pubsub.Match(pattern, m.Topic) }, pubsub.CheckPattern(pattern), "Topic", pattern)
}

// HeadersAll matches messages that have all of the headers, as a headers exchange with x-match all does. One with an empty value stands for any value.
func HeadersAll(headers ...codec.Header) Rule {
	headers = slices.Clone(headers)
	return rule(func(m *Message) bool {
		for i := range headers {
			if !has(m, &headers[i]) {
				return false
			}
		}
		return true
	}, checkHeaders(headers), "HeadersAll", anys(headers)...)
}

// HeadersAny matches messages that have one of the headers or more, as a headers exchange with x-match any does. One with an empty value stands for any value.
func HeadersAny(headers ...codec.Header) Rule {
	headers = slices.Clone(headers)
	return rule(func(m *Message) bool {
		for i := range headers {
			if has(m, &headers[i]) {
				return true
			}
		}
		return false
	}, checkHeaders(headers), "HeadersAny", anys(headers)...)
}

func has(m *Message, h *codec.Header) bool {
	value, ok := m.Header(h.Key)
	return ok && (h.Value == "" || h.Value == value)
}

func checkHeaders(headers []codec.Header) error {
	err := atLeastOne(headers)
	for i, h := range headers {
		if h.Key == "" {
			err = errors.Join(err, fmt.Errorf("header %d has no key", i+1))
		}
	}
	return err
}

// Type matches messages of one of the types.
func Type(names ...string) Rule {
	names = slices.Clone(names)
	return rule(func(m *Message) bool { return slices.Contains(names, m.typeName()) }, named(names), "Type", anys(names)...)
}

// Key matches messages with one of the keys.
func Key(keys ...string) Rule {
	keys = slices.Clone(keys)
	return rule(func(m *Message) bool { return slices.Contains(keys, m.Key) }, named(keys), "Key", anys(keys)...)
}

// Value matches messages whose value is a T, or a pointer to one, for which f returns true: content decides. f is called by several goroutines at once; one that panics is an
// error of Route. The name is for people.
func Value[T any](name string, f func(v T) bool) Rule {
	return rule(func(m *Message) bool {
		switch v := m.Value.(type) {
		case T:
			return f(v)
		case *T:
			return v != nil && f(*v)
		}
		return false
	}, function(f == nil), "Value", name)
}

// Func matches messages for which f returns true. It is as with Value.
func Func(name string, f func(m *Message) bool) Rule {
	return rule(f, function(f == nil), "Func", name)
}

// And matches messages that all of the rules match.
func And(rules ...Rule) Rule {
	rules = slices.Clone(rules)
	return rule(func(m *Message) bool {
		for i := range rules {
			if !rules[i].match(m) {
				return false
			}
		}
		return true
	}, sound(rules), "And", anys(rules)...)
}

// Or matches messages that one of the rules matches, or more.
func Or(rules ...Rule) Rule {
	rules = slices.Clone(rules)
	return rule(func(m *Message) bool {
		for i := range rules {
			if rules[i].match(m) {
				return true
			}
		}
		return false
	}, sound(rules), "Or", anys(rules)...)
}

// Not matches messages that the rule does not match.
func Not(r Rule) Rule {
	return rule(func(m *Message) bool { return !r.match(m) }, sound([]Rule{r}), "Not", r)
}

// check returns what is wrong with a rule, of which the zero Rule says nothing itself.
func (r Rule) check() error {
	if r.match == nil && r.err == nil {
		return fmt.Errorf("%w: the zero Rule matches nothing", ErrRule)
	}
	return r.err
}

func sound(rules []Rule) error {
	err := atLeastOne(rules)
	for _, r := range rules {
		err = errors.Join(err, r.check())
	}
	return err
}

func atLeastOne[T any](s []T) error {
	if len(s) == 0 {
		return errNone
	}
	return nil
}

func named(names []string) error {
	if slices.Contains(names, "") {
		return errors.New("one of them is empty")
	}
	return atLeastOne(names)
}

func function(missing bool) error {
	if missing {
		return errNil
	}
	return nil
}

func anys[T any](s []T) []any {
	out := make([]any, len(s))
	for i := range s {
		out[i] = s[i]
	}
	return out
}
