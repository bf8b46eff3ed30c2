package watch_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"github.com/stretchr/testify/assert"

	"github.com/meshmq/meshmq/cmd/meshmq/internal/watch"
	"github.com/meshmq/meshmq/patterns/monitor"
)

func quiet() string { return "" }

// shown is a screen of that size, after these messages.
func shown(width, height int, msgs ...tea.Msg) watch.Screen {
	var m tea.Model = watch.NewScreen(watch.Layout{}, quiet)
	for _, msg := range append([]tea.Msg{tea.WindowSizeMsg{Width: width, Height: height}}, msgs...) {
		m, _ = m.Update(msg)
	}
	return m.(watch.Screen)
}

func press(code rune) tea.Msg { return tea.KeyPressMsg{Code: code, Text: textOf(code)} }

func textOf(code rune) string {
	if code < utf8.RuneSelf {
		return string(code)
	}
	return ""
}

// What a person sees, with styles as they are sent: what got worse is bold and red, with an exclamation mark, and who is gone is faint.
func TestScreen(t *testing.T) {
	t.Parallel()
	visible := func(s string) string { return strings.ReplaceAll(s, "\x1b", "^") + "\n" }
	golden(t, "screen.txt", visible(shown(120, 24, rounds()).Render()))
	golden(t, "screen-peers.txt", visible(shown(120, 30, rounds(), press('p'), press(tea.KeyLeft), press(tea.KeyLeft)).Render()))
	golden(t, "screen-small.txt", visible(shown(60, 12, rounds(), press(tea.KeyDown)).Render()))
	golden(t, "screen-empty.txt", visible(shown(60, 12).Render()))
}

var sgr = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// However small the terminal is, nothing is beyond its edges, and scrolling stops at the ends.
func TestScreenFits(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{1, 1}, {5, 3}, {20, 8}, {80, 10}, {300, 100}} {
		var msgs []tea.Msg
		for range 50 {
			msgs = append(msgs, press(tea.KeyDown))
		}
		text := shown(size[0], size[1], append([]tea.Msg{rounds(), press('p')}, msgs...)...).Render()
		lines := strings.Split(sgr.ReplaceAllString(text, ""), "\n")
		assert.LessOrEqual(t, len(lines), size[1])
		for _, l := range lines {
			assert.LessOrEqual(t, utf8.RuneCountInString(l), size[0], "%q", l)
		}
	}
	end := []tea.Msg{rounds()}
	for range 50 {
		end = append(end, press(tea.KeyDown))
	}
	assert.Contains(t, shown(120, 12, end...).Render(), "journal log", "the last row is there at the end")
	assert.Contains(t, shown(120, 12, append(end, press(tea.KeyHome))...).Render(), "tcp://carl:1 (silent)")
}

// q ends it in order, and ^C as an interrupt.
func TestScreenKeys(t *testing.T) {
	t.Parallel()
	_, cmd := shown(80, 24).Update(press('q'))
	assert.Equal(t, tea.QuitMsg{}, cmd())
	_, cmd = shown(80, 24).Update(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl})
	assert.Equal(t, tea.InterruptMsg{}, cmd())
	first := shown(80, 24, press(tea.KeyLeft)).Render()
	assert.Contains(t, first, "sorted by refused", "round the end")
	assert.Contains(t, shown(80, 24, press(tea.KeyLeft), press(tea.KeyRight)).Render(), "sorted by name")
}

// A monitor that lies in each text controls no terminal.
func TestScreenShowsNoControlCharacters(t *testing.T) {
	t.Parallel()
	evil := "\x1b]0;owned\x07\r\n\u009b2J\u202e"
	s := monitor.Snapshot{
		Process: monitor.Process{ID: evil, Name: evil, Host: evil},
		Sockets: []monitor.Socket{{Name: evil, Type: evil, Peers: []monitor.Peer{{Endpoint: evil, Address: evil, Identity: evil, User: evil}},
			Spool: &monitor.Spool{Durables: []monitor.Durable{{Name: evil}}}}},
		Logs:    []monitor.Log{{Name: evil, Consumers: []monitor.Consumer{{Name: evil}}}},
		Trouble: []monitor.Trouble{{Socket: evil, Kind: evil, Text: evil}},
	}
	var tracker watch.Tracker
	v := tracker.Note(noon, []watch.Answer{{Endpoint: evil, Connected: true, Snapshot: s}})
	harmless(t, shown(200, 50, v, press('p')).Render())
}

// harmless fails if a terminal would do more than print text in styles.
func harmless(t testing.TB, text string) {
	t.Helper()
	text = strings.ReplaceAll(sgr.ReplaceAllString(text, ""), "\n", "")
	assert.Equal(t, text, strings.Map(func(r rune) rune {
		if r != ' ' && !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text))
}
