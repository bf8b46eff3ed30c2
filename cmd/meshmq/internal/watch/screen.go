package watch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/meshmq/meshmq/patterns/monitor"
)

// shownTrouble is how many of the latest troubles have room below the table.
const shownTrouble = 5

// Screen shows a View on a terminal, as a model of bubbletea: it is sent a View whenever there is one.
type Screen struct {
	layout        Layout
	view          View
	note          func() string // what is to be said besides, empty for nothing
	width, height int
	top           int // the first row that is shown
}

var _ tea.Model = Screen{}

// NewScreen returns a Screen of nothing yet. Note is asked for a line about the connection.
func NewScreen(l Layout, note func() string) Screen {
	return Screen{layout: l, note: note, width: 80, height: 24}
}

// Init is that of tea.Model.
func (s Screen) Init() tea.Cmd { return nil }

// Update takes a View, a key or a size.
func (s Screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case View:
		s.view = msg
	case tea.WindowSizeMsg:
		s.width, s.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q", "esc":
			return s, tea.Quit
		case "ctrl+c":
			return s, tea.Interrupt
		case "left", "h":
			s.layout = s.layout.next(-1)
		case "right", "l":
			s.layout = s.layout.next(1)
		case "up", "k":
			s.top--
		case "down", "j":
			s.top++
		case "pgup":
			s.top -= s.room()
		case "pgdown":
			s.top += s.room()
		case "home":
			s.top = 0
		case "p":
			s.layout.Parts = !s.layout.Parts
		}
	}
	s.top = max(min(s.top, len(s.rows())-1-s.room()), 0)
	return s, nil
}

// View is that of tea.Model.
func (s Screen) View() tea.View {
	v := tea.NewView(s.Render())
	v.AltScreen, v.WindowTitle = true, "meshmq top"
	return v
}

// next returns the layout sorted by the next column, or with -1 by the one before.
func (l Layout) next(by int) Layout {
	names := SortNames()
	at := max(slices.Index(names, l.Sort), 0)
	l.Sort = names[(at+by+len(names))%len(names)]
	return l
}

// Render returns the screen as text, no wider and no higher than the terminal.
func (s Screen) Render() string {
	rows := s.rows()
	lines := append([]string{s.title(), ""}, rows[0])
	body := rows[1:]
	lines = append(lines, body[s.top:min(s.top+s.room(), len(body))]...)
	if len(s.view.Processes) == 0 {
		lines = append(lines, s.fit("nobody has answered yet", faint))
	}
	lines = append(lines, s.trouble()...)
	help := "q quit  left/right sort  up/down scroll  p peers"
	if said := s.note(); said != "" {
		help += "  |  " + Clean(said)
	}
	lines = append(lines, "", s.fit(help, faint))
	return strings.Join(lines[:min(len(lines), max(s.height, 1))], "\n")
}

func (s Screen) title() string { return s.fit("meshmq top  "+s.view.title(s.layout), bold) }

// title says how many processes there are.
func (v View) title(l Layout) string {
	counts := make(map[string]int)
	for _, p := range v.Processes {
		counts[p.State]++
	}
	text := fmt.Sprintf("%s  %d up", v.Time.Format(time.TimeOnly), counts[Up])
	for _, state := range []string{Silent, Gone, Absent} {
		if counts[state] > 0 {
			text += fmt.Sprintf(", %d %s", counts[state], state)
		}
	}
	if v.Omitted > 0 {
		text += fmt.Sprintf(", %d more not shown", v.Omitted)
	}
	return text + "  sorted by " + cmp.Or(l.Sort, "name")
}

// room is how many rows of the table are shown below its head: what title, trouble and help leave.
func (s Screen) room() int { return max(s.height-5-len(s.trouble()), 1) }

// rows are those of the table, its head first: of each process a line of its own, and those of its sockets.
func (s Screen) rows() []string {
	var texts []string // of processes
	table := [][]cell{heads("SOCKET")}
	for _, p := range s.view.sorted(s.layout) {
		table, texts = append(table, nil), append(texts, p.line())
		for _, it := range p.items(s.layout.column(), s.layout.Parts) {
			table = append(table, p.cells(it))
		}
	}
	processes := s.view.sorted(s.layout)
	var rows []string
	for _, l := range align(table, s.width) {
		if l != nil {
			rows = append(rows, l.styled(s.width))
			continue
		}
		style := bold
		switch processes[0].State {
		case Silent:
			style = alarm
		case Gone, Absent:
			style = faint
		}
		rows = append(rows, s.fit(texts[0], style))
		processes, texts = processes[1:], texts[1:]
	}
	return rows
}

// line says which process it is, and how it does.
func (p *Process) line() string {
	text := cmp.Or(p.Process.Name, p.Endpoint)
	if p.State != Up {
		text += " (" + p.State + ")"
	}
	if p.Seen.IsZero() {
		return text + "  " + p.Error
	}
	of := &p.Process
	if p.State != Up {
		return fmt.Sprintf("%s  %s pid %d  last seen %s", text, of.Host, of.PID, p.Seen.Format(time.TimeOnly))
	}
	return fmt.Sprintf("%s  %s pid %d  up %s  %d goroutines  %s", text, of.Host, of.PID, age(p.Snapshot.Time.Sub(of.Started).Seconds()), of.Goroutines, bytes(of.Memory))
}

func bytes(n uint64) string {
	const unit = 1 << 10
	v, i := float64(n), 0
	for ; v >= 1000 && i < 4; i++ {
		v /= unit
	}
	return fmt.Sprintf("%.3g %s", v, [...]string{"B", "KiB", "MiB", "GiB", "TiB"}[i])
}

// trouble is the latest, under an empty line.
func (s Screen) trouble() (lines []string) {
	for _, text := range s.view.trouble(min(shownTrouble, max(s.height/4, 1))) {
		lines = append(lines, s.fit(text, plain))
	}
	if len(lines) > 0 {
		lines = append([]string{""}, lines...)
	}
	return lines
}

// trouble is what went wrong anywhere, at most n, the latest first.
func (v View) trouble(n int) (lines []string) {
	type named struct {
		of string
		monitor.Trouble
	}
	var all []named
	for _, p := range v.Processes {
		for _, t := range p.Trouble {
			all = append(all, named{cmp.Or(p.Process.Name, p.Endpoint), t})
		}
	}
	slices.SortStableFunc(all, func(a, b named) int { return b.Last.Compare(a.Last) })
	for _, t := range all[:min(len(all), n)] {
		text := fmt.Sprintf("%s  %s %s: %s", t.Last.In(v.Time.Location()).Format(time.TimeOnly), t.of, t.Socket, t.Text)
		if t.Times > 1 {
			text += fmt.Sprintf(" (%d times)", t.Times)
		}
		lines = append(lines, text)
	}
	return lines
}

// fit returns text in a style, as wide as the terminal at most.
func (s Screen) fit(text, style string) string {
	return line{{text, style, true}}.styled(s.width)
}

// styled returns the line for a terminal that is so wide.
func (l line) styled(width int) string {
	var b strings.Builder
	for _, c := range l {
		text := []rune(c.text)
		text = text[:min(len(text), width)]
		width -= len(text)
		if c.style == plain || len(text) == 0 {
			b.WriteString(string(text))
			continue
		}
		b.WriteString(c.style + string(text) + reset)
	}
	return b.String()
}
