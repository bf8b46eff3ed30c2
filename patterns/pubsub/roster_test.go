package pubsub

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// words returns up to four of some levels, '>' being the last if it is among them.
func words(r *rand.Rand, levels ...string) string {
	var picked []string
	for range 1 + r.IntN(4) {
		picked = append(picked, levels[r.IntN(len(levels))])
		if picked[len(picked)-1] == ">" {
			break
		}
	}
	return strings.Join(picked, ".")
}

// A roster finds the subscriptions that Match would, in the order in which they came, while others come and go; and says of what all comes as their filters do.
func TestRoster_FindsWhatMatchWould(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var ros roster
	var all []*Subscription
	for range 3000 {
		if len(all) > 0 && r.IntN(5) < 2 {
			i := r.IntN(len(all))
			ros.remove(all[i])
			all = slices.Delete(all, i, i+1)
		} else {
			pattern := words(r, "a", "b", "ab", "*", "*", ">")
			sub := &Subscription{pattern: pattern, filter: filter(pattern, r.IntN(2) == 0)}
			all = append(all, sub)
			ros.add(sub)
		}
		topic := words(r, "a", "b", "ab", "c")
		var want []*Subscription
		for _, sub := range all {
			if Match(sub.pattern, topic) {
				want = append(want, sub)
			}
		}
		require.Equal(t, want, ros.match(nil, topic), topic)
		for _, common := range []string{topic, topic + "."} {
			require.Equal(t, slices.ContainsFunc(all, func(sub *Subscription) bool {
				return strings.HasPrefix(common, sub.filter) || common+topicEnd == sub.filter
			}), ros.covers(common), common)
		}
		require.Equal(t, len(all), ros.n)
		if len(all) > 100 {
			for len(all) > 0 {
				ros.remove(all[0])
				all = all[1:]
			}
			require.True(t, ros.top.empty(), "nothing is left of patterns that have gone")
			require.Empty(t, ros.filters)
		}
	}
}

// Topics of printable ASCII are looked at once; what that lets pass must be sound to those who look closely.
func TestCheckTopic_TheShortWayLetsNothingElsePass(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	letters := []rune("ab.. *>\x00\x7fé\u00a0~!")
	for range 20_000 {
		var b strings.Builder
		for range r.IntN(6) {
			b.WriteRune(letters[r.IntN(len(letters))])
		}
		topic := b.String()
		if sound := CheckPattern(topic) == nil && !strings.ContainsAny(topic, "*>"); common(topic) {
			require.True(t, sound, "%q", topic)
		} else if sound {
			require.Contains(t, topic, "é", "only what is not ASCII takes the long way")
		}
	}
	require.False(t, common(strings.Repeat("a", maxTopic+1)))
}
