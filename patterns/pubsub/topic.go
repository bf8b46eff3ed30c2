package pubsub

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrTopic is the error for a malformed topic or pattern.
var ErrTopic = errors.New("malformed topic")

// maxTopic is the most bytes of a topic: as long as names in an envelope, and more than people read.
const maxTopic = 255

// CheckTopic returns what is wrong with a topic: it is up to 255 bytes of levels between dots, such as orders.eu.created. A level is
// one or more printable characters other than blanks, '*' and '>'.
func CheckTopic(topic string) error {
	if common(topic) {
		return nil
	}
	for level := range strings.SplitSeq(topic, ".") {
		if strings.ContainsAny(level, "*>") {
			return fmt.Errorf("%w %.60q: wildcards are for patterns", ErrTopic, topic)
		}
	}
	return CheckPattern(topic)
}

// common reports whether topic is one of printable ASCII, as nearly all are, with nothing wrong.
func common(topic string) bool {
	before := byte('.')
	for i := range len(topic) {
		c := topic[i]
		if c <= ' ' || c > '~' || c == '*' || c == '>' || c == '.' && before == '.' {
			return false
		}
		before = c
	}
	return before != '.' && len(topic) <= maxTopic
}

// CheckPattern returns what is wrong with a pattern: it is a topic in which a level may be '*', which stands for any one level,
// and the last may be '>', which stands for one or more levels.
func CheckPattern(pattern string) error {
	if len(pattern) > maxTopic {
		return fmt.Errorf("%w %.60q...: %d bytes, want at most %d", ErrTopic, pattern, len(pattern), maxTopic)
	}
	rest, more := pattern, true
	for more {
		var level string
		level, rest, more = strings.Cut(rest, ".")
		switch {
		case level == "":
			return fmt.Errorf("%w %q: empty level", ErrTopic, pattern)
		case level == ">" && more:
			return fmt.Errorf("%w %q: '>' stands for the rest, so nothing can follow it", ErrTopic, pattern)
		case level != "*" && level != ">" && strings.ContainsAny(level, "*>"):
			return fmt.Errorf("%w %q: a wildcard is a level of its own", ErrTopic, pattern)
		case !utf8.ValidString(level) || strings.ContainsFunc(level, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }):
			return fmt.Errorf("%w %q: want printable characters and no blanks", ErrTopic, pattern)
		}
	}
	return nil
}

// Match says whether pattern stands for topic. Both must be well formed.
func Match(pattern, topic string) bool {
	for {
		want, restWant, moreWant := strings.Cut(pattern, ".")
		have, restHave, moreHave := strings.Cut(topic, ".")
		if want == ">" {
			return true
		}
		if want != "*" && want != have || moreWant != moreHave {
			return false
		}
		if !moreWant {
			return true
		}
		pattern, topic = restWant, restHave
	}
}

// prefixOf returns what the topics that pattern stands for begin with: what a publisher can filter by. It may let other topics through
// (a.b lets a.bc through), and Match sorts them out.
func prefixOf(pattern string) string {
	if i := strings.IndexAny(pattern, "*>"); i >= 0 {
		return pattern[:i]
	}
	return pattern
}
