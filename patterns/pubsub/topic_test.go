package pubsub

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern string
		yes, no []string
	}{
		{"a", []string{"a"}, []string{"b", "ab", "a.b"}},
		{"a.b", []string{"a.b"}, []string{"a", "a.bc", "a.b.c", "b.a"}},
		{"*", []string{"a", "abc"}, []string{"a.b"}},
		{"a.*", []string{"a.b", "a.c"}, []string{"a", "a.b.c", "b.b"}},
		{"a.*.c", []string{"a.b.c"}, []string{"a.c", "a.b.b.c", "a.b.d"}},
		{"*.b", []string{"a.b"}, []string{"a.c", "b"}},
		{">", []string{"a", "a.b.c"}, nil},
		{"a.>", []string{"a.b", "a.b.c"}, []string{"a", "ab.c"}},
		{"*.b.>", []string{"a.b.c", "x.b.c.d"}, []string{"a.b", "a.c.c"}},
	}
	for _, test := range tests {
		for _, topic := range test.yes {
			assert.True(t, Match(test.pattern, topic), "%s %s", test.pattern, topic)
		}
		for _, topic := range test.no {
			assert.False(t, Match(test.pattern, topic), "%s %s", test.pattern, topic)
		}
	}
}

func TestCheckTopicAndPattern(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{"a", "orders.eu.created", "Größe.zwölf", "a-b_c/d", strings.Repeat("x", 255)} {
		assert.NoError(t, CheckTopic(topic), topic)
		assert.NoError(t, CheckPattern(topic), topic)
	}
	for _, pattern := range []string{"*", ">", "a.*", "*.a", "a.>", "*.*.>"} {
		assert.NoError(t, CheckPattern(pattern), pattern)
		assert.ErrorIs(t, CheckTopic(pattern), ErrTopic, pattern)
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", "a b", "a\n", "\x00", "a.\xff", "a*", "a.b>", ">.a", "a.>.b", "**", strings.Repeat("x", 256)} {
		assert.ErrorIs(t, CheckTopic(bad), ErrTopic, "%q", bad)
		assert.ErrorIs(t, CheckPattern(bad), ErrTopic, "%q", bad)
	}
}

// match is Match by way of slices, to compare with.
func match(pattern, topic []string) bool {
	for i, level := range pattern {
		if level == ">" {
			return len(topic) > i
		}
		if i >= len(topic) || level != "*" && level != topic[i] {
			return false
		}
	}
	return len(pattern) == len(topic)
}

func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{{"a.*.c", "a.b.c"}, {"a.>", "a.b"}, {">", "a"}, {"*", "a.b"}, {"a..b", "a"}, {"", ""}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, topic string) {
		got := Match(pattern, topic) // must not panic, whatever comes
		if CheckPattern(pattern) != nil || CheckTopic(topic) != nil {
			return
		}
		assert.Equal(t, match(strings.Split(pattern, "."), strings.Split(topic, ".")), got)
		if got {
			assert.True(t, strings.HasPrefix(topic, prefixOf(pattern)), "the publisher must let through what matches")
		}
	})
}
