package watch

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Layout says which rows are shown, and in which order.
type Layout struct {
	Sort  string // one of SortNames; empty for names
	Parts bool   // show peers and durable subscriptions
}

func (l Layout) column() column {
	return column(max(slices.Index(SortNames(), l.Sort), 0) - 1)
}

// cell is what stands in a row and a column.
type cell struct {
	text  string
	style string
	left  bool // text, not a number
}

// The styles of cells, as terminals have them.
const (
	plain = ""
	bold  = "\x1b[1m"
	faint = "\x1b[2m"
	alarm = "\x1b[1;31m"
	reset = "\x1b[m"
)

// sorted returns the processes in the order of the layout.
func (v View) sorted(l Layout) []*Process {
	all, by := slices.Clone(v.Processes), l.column()
	if by < 0 {
		return all
	}
	most := func(p *Process) (n float64) {
		for _, it := range p.items(-1, false) {
			n = max(n, it.values[by])
		}
		return n
	}
	slices.SortStableFunc(all, func(a, b *Process) int { return cmp.Compare(most(b), most(a)) })
	return all
}

// heads are the names of columns.
func heads(first ...string) []cell {
	var row []cell
	for _, name := range first {
		row = append(row, cell{name, bold, true})
	}
	for c, a := range about {
		name := strings.ToUpper(a.name)
		if c := column(c); c == in || c == out {
			name += "/s"
		}
		row = append(row, cell{name, bold, false})
	}
	return row
}

// cells are those of an item. What changed for the worse has an exclamation mark, for those who see no colours.
func (p *Process) cells(it item) []cell {
	style := plain
	if p.State != Up {
		style = faint
	}
	row := []cell{{strings.TrimSpace(it.name + " " + it.kind), style, true}}
	if it.part {
		row[0].text = "  " + row[0].text
	}
	for c, a := range about {
		text, style := a.text(it.values[c]), style
		if column(c) == peers && it.wanted > it.values[c] {
			text = fmt.Sprintf("%.0f/%.0f", it.values[c], it.wanted)
		}
		if !it.part && !p.marks[it.key+" "+a.name].IsZero() {
			text, style = text+"!", alarm
		}
		row = append(row, cell{text, style, false})
	}
	return row
}

// WriteTable writes a row for each socket, with the name of its process, and a head.
func WriteTable(w io.Writer, v View, l Layout) error {
	rows := [][]cell{heads("PROCESS", "SOCKET")}
	for _, p := range v.sorted(l) {
		first := cell{cmp.Or(p.Process.Name, p.Endpoint), plain, true}
		if p.State != Up {
			first.text += " (" + p.State + ")"
		}
		items := p.items(l.column(), l.Parts)
		if len(items) == 0 {
			items = []item{{name: "-"}}
		}
		for _, it := range items {
			rows = append(rows, append([]cell{first}, p.cells(it)...))
		}
	}
	var b strings.Builder
	for _, line := range align(rows, 0) {
		b.WriteString(strings.TrimRight(line.plain(), " ") + "\n")
	}
	if v.Omitted > 0 {
		fmt.Fprintf(&b, "and %d more processes\n", v.Omitted)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// line is cells that are as wide as their columns.
type line []cell

// align makes lines of rows, of which the first is the head. If they are wider than width (0: any), they go without the columns that say nothing.
func align(rows [][]cell, width int) []line {
	wide := make([]int, len(rows[0]))
	says := make([]bool, len(rows[0]))
	for r, row := range rows {
		for i, c := range row {
			wide[i] = max(wide[i], utf8.RuneCountInString(c.text))
			says[i] = says[i] || c.left || r > 0 && c.text != "-"
		}
	}
	all := -2
	for _, w := range wide {
		all += w + 2
	}
	tight := width > 0 && all > width
	lines := make([]line, len(rows))
	for r, row := range rows {
		for i, c := range row {
			if tight && !says[i] {
				continue
			}
			gap := strings.Repeat(" ", wide[i]-utf8.RuneCountInString(c.text))
			if c.left {
				c.text += gap
			} else {
				c.text = gap + c.text
			}
			if len(lines[r]) > 0 {
				c.text = "  " + c.text
			}
			lines[r] = append(lines[r], c)
		}
	}
	return lines
}

func (l line) plain() string {
	var b strings.Builder
	for _, c := range l {
		b.WriteString(c.text)
	}
	return b.String()
}
