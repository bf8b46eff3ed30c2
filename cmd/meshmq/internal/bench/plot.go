package bench

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wcharczuk/go-chart/v2"
)

// CheckPlot returns what is wrong with the name of a file to plot into, or with drawing what is to be measured: there is one axis.
func (c *Config) CheckPlot(file string) error {
	if ext := strings.ToLower(filepath.Ext(file)); ext != ".svg" && ext != ".png" {
		return fmt.Errorf("plot into %.80q: want a name that ends in .svg or .png", file)
	}
	var all []Result
	for _, pattern := range c.Patterns {
		for _, l := range c.loads(pattern) {
			all = append(all, Result{Pattern: pattern, Load: l})
		}
	}
	if found := varied(all); len(found) > 1 {
		return fmt.Errorf("both %s and %s vary: want several values of one of them", found[0].name, found[1].name)
	}
	return nil
}

// Plot draws the medians over what varies into a file, over the size of messages if nothing does: rates if there are any, else percentiles of
// latency. Both scales are logarithmic.
func Plot(file, title string, all []Result) error {
	all = Medians(all)
	over := append(varied(all), axes[0])[0]
	all = along(over, all)
	name, lines := "messages a second", rates(all, over)
	if len(lines) == 0 {
		name, lines = "round trip, us", latencies(all, over)
	}
	xTicks, yTicks := ticks(all, over), decadeTicks(lines)
	c := chart.Chart{
		Title: title, Width: 900, Height: 560,
		TitleStyle: chart.Style{FontSize: 11, Padding: chart.Box{Top: 4}}, // the legend is below it
		Background: chart.Style{Padding: chart.Box{Top: 70, Left: 20, Right: 40, Bottom: 20}},
		XAxis:      chart.XAxis{Name: over.name, Ticks: xTicks},
		YAxis:      chart.YAxis{Name: name, Ticks: yTicks, AxisType: chart.YAxisSecondary},

		YAxisSecondary: chart.YAxis{Style: chart.Hidden()}, // nothing is drawn over it
	}
	for _, l := range lines {
		l.Style = chart.Style{StrokeWidth: 2, DotWidth: 3}
		c.Series = append(c.Series, l)
	}
	c.Elements = []chart.Renderable{chart.LegendThin(&c)}
	format := chart.SVG
	if strings.EqualFold(filepath.Ext(file), ".png") {
		format = chart.PNG
	}
	if err := save(file, func(w io.Writer) error { return c.Render(format, w) }); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	return nil
}

// CheckWritable returns why a plot cannot be written, before everything is measured for it. A file that is there stays as it is.
func CheckWritable(file string) error {
	_, missing := os.Stat(file)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	if err := f.Close(); err != nil || missing == nil {
		return err
	}
	return os.Remove(file)
}

func save(file string, write func(io.Writer) error) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// ticks marks what was measured.
func ticks(all []Result, over axis) (ticks []chart.Tick) {
	for _, r := range all {
		x := logOf(float64(over.of(r.Load)))
		if !slices.ContainsFunc(ticks, func(t chart.Tick) bool { return t.Value == x }) {
			ticks = append(ticks, chart.Tick{Value: x, Label: over.format(over.of(r.Load))})
		}
	}
	if len(ticks) == 1 { // an axis needs a length
		x := ticks[0].Value
		ticks = append(ticks, chart.Tick{Value: x - 1}, chart.Tick{Value: x + 1})
	}
	slices.SortFunc(ticks, func(a, b chart.Tick) int { return cmp.Compare(a.Value, b.Value) })
	return ticks
}

// decadeTicks marks 1, 2 and 5 in each power of ten that the lines reach.
func decadeTicks(lines []chart.ContinuousSeries) (ticks []chart.Tick) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, l := range lines {
		low, high = min(low, slices.Min(l.YValues)), max(high, slices.Max(l.YValues))
	}
	for decade := math.Floor(low); decade <= math.Ceil(high); decade++ {
		for _, step := range []float64{1, 2, 5} {
			value := step * math.Pow(10, decade)
			if math.Log10(2.5*value) < low || math.Log10(value/2.5) >= high {
				continue
			}
			ticks = append(ticks, chart.Tick{Value: math.Log10(value), Label: grouped(value)})
		}
	}
	return ticks
}

// logOf is the place of a value on a logarithmic scale, which has none for zero.
func logOf(v float64) float64 { return math.Log10(max(v, 1)) }

func rates(all []Result, over axis) (lines []chart.ContinuousSeries) {
	for _, r := range all {
		if r.Times == nil {
			lines = addPoint(lines, r.Pattern, over.of(r.Load), r.Rate)
		}
	}
	return lines
}

func latencies(all []Result, over axis) (lines []chart.ContinuousSeries) {
	several := slices.ContainsFunc(all, func(r Result) bool { return r.Pattern != all[0].Pattern })
	for _, r := range all {
		of := ""
		if several {
			of = r.Pattern + " "
		}
		x := over.of(r.Load)
		lines = addPoint(lines, of+"p50", x, r.Times.P50)
		lines = addPoint(lines, of+"p99", x, r.Times.P99)
		lines = addPoint(lines, of+"p99.9", x, r.Times.P999)
	}
	return lines
}

// LeftOut are the patterns whose latencies are not in a plot, because there are rates.
func LeftOut(all []Result) (patterns []string) {
	for _, r := range all {
		if r.Times != nil && !slices.Contains(patterns, r.Pattern) {
			patterns = append(patterns, r.Pattern)
		}
	}
	if !slices.ContainsFunc(all, func(r Result) bool { return r.Times == nil }) {
		return nil
	}
	return patterns
}

func addPoint(lines []chart.ContinuousSeries, name string, x int, y float64) []chart.ContinuousSeries {
	if y == 0 { // not known
		return lines
	}
	i := slices.IndexFunc(lines, func(l chart.ContinuousSeries) bool { return l.Name == name })
	if i < 0 {
		i = len(lines)
		lines = append(lines, chart.ContinuousSeries{Name: name})
	}
	lines[i].XValues = append(lines[i].XValues, logOf(float64(x)))
	lines[i].YValues = append(lines[i].YValues, logOf(y))
	return lines
}
