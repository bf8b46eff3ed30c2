package bench

import (
	"fmt"
	"io"
	"slices"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// WriteTable writes the medians for people, and where the curves are steepest.
func WriteTable(w io.Writer, all []Result) error {
	return writeTable(w, all, table.Writer.Render, "")
}

// WriteMarkdown writes the same as Markdown.
func WriteMarkdown(w io.Writer, all []Result) error {
	return writeTable(w, all, table.Writer.RenderMarkdown, "- ")
}

func writeTable(w io.Writer, all []Result, render func(table.Writer) string, bullet string) error {
	all = Medians(all)
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.SuppressEmptyColumns()
	header := table.Row{"pattern", "over", "frames", "subscriptions", "in flight", "asked/s", "size", "msg/s", "ns each", "MB/s", "p50 us", "p90 us", "p99 us", "p99.9 us", "max us", "GC % near", "GC % far", "B each peer"}
	t.AppendHeader(header)
	several := slices.ContainsFunc(all, func(r Result) bool { return r.Frames > 1 })
	for _, r := range all {
		t.AppendRow(r.row(several))
	}
	var right []table.ColumnConfig
	for n := range header[1:] {
		right = append(right, table.ColumnConfig{Number: n + 2, Align: text.AlignRight})
	}
	t.SetColumnConfigs(right)
	if _, err := fmt.Fprintln(w, render(t)); err != nil {
		return err
	}
	before := "\n"
	for _, s := range steepestSteps(all) {
		if _, err := fmt.Fprintf(w, "%s%s%s\n", before, bullet, s); err != nil {
			return err
		}
		before = ""
	}
	return nil
}

// row leaves empty what was not measured and what is as usual, and frames where none has several.
func (r *Result) row(frames bool) table.Row {
	name, over, count, subscriptions, inFlight, asked, each := r.Pattern, "", "", "", "", "", ""
	if usual := (Way{Transport: "tcp"}); r.Way != usual {
		over = r.Way.String()
	}
	if r.Peers > 0 {
		name += " " + thousands(r.Peers)
	}
	if frames {
		count = thousands(r.Frames)
	}
	if r.Subscriptions > 0 {
		subscriptions = thousands(r.Subscriptions)
	}
	if r.InFlight > 1 {
		inFlight = thousands(r.InFlight)
	}
	if r.unusual() {
		asked = thousands(r.Asked)
	}
	if r.Times == nil {
		each = grouped(r.cost())
	}
	row := table.Row{name, over, count, subscriptions, inFlight, asked, FormatSize(r.Size), grouped(r.Rate), each, fmt.Sprintf("%.1f", r.Bytes/1e6)}
	times, shares, memory := []any{"", "", "", "", ""}, []any{"", ""}, ""
	if t := r.Times; t != nil {
		for i, us := range t.all() {
			if us > 0 {
				times[i] = fmt.Sprintf("%.1f", us)
			}
		}
	}
	if s := r.Collector; s != nil {
		shares = []any{fmt.Sprintf("%.1f", s.Near), fmt.Sprintf("%.1f", s.Far)}
	}
	if r.Memory > 0 {
		memory = grouped(r.Memory)
	}
	return append(append(append(row, times...), shares...), memory)
}

// steepestSteps says for each pattern where its cost grows most, if one thing varies.
func steepestSteps(all []Result) (steps []string) {
	over := varied(all)
	if len(over) != 1 {
		return nil
	}
	a := over[0]
	for len(all) > 0 {
		pattern := all[0].Pattern
		others := func(r Result) bool { return r.Pattern != pattern }
		line := slices.DeleteFunc(slices.Clone(all), others)
		all = slices.DeleteFunc(slices.Clone(all), func(r Result) bool { return !others(r) })
		if from, to, power := steepest(a, line); from.Rate > 0 {
			x, y := a.of(from.Load), a.of(to.Load)
			steps = append(steps, fmt.Sprintf("%s, %s: steepest from %s to %s: x%.2f the time for a message at x%.3g, power %.2f",
				pattern, a.name, a.format(x), a.format(y), to.cost()/from.cost(), float64(y)/float64(x), power))
		}
	}
	return steps
}
