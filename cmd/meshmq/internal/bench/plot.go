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

// CheckPlot returns what is wrong with the name of a file to plot into.
func CheckPlot(file string) error {
	switch ext := strings.ToLower(filepath.Ext(file)); ext {
	case ".svg", ".png":
		return nil
	default:
		return fmt.Errorf("plot into %.80q: want a name that ends in .svg or .png", file)
	}
}

// Plot draws the medians over the size of messages into a file: rates if there are any, else percentiles of latency. Both scales are
// logarithmic.
func Plot(file, title string, all []Result) error {
	name, lines := "messages a second", rates(all)
	if len(lines) == 0 {
		name, lines = "round trip, us", latencies(all)
	}
	xTicks, yTicks := sizeTicks(all), decadeTicks(lines)
	c := chart.Chart{
		Title: title, Width: 900, Height: 560,
		TitleStyle: chart.Style{FontSize: 11, Padding: chart.Box{Top: 4}}, // the legend is below it
		Background: chart.Style{Padding: chart.Box{Top: 70, Left: 20, Right: 40, Bottom: 20}},
		XAxis:      chart.XAxis{Name: "size of a message", Ticks: xTicks},
		YAxis:      chart.YAxis{Name: name, Ticks: yTicks, AxisType: chart.YAxisSecondary},
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

// sizeTicks marks the sizes that were measured.
func sizeTicks(all []Result) (ticks []chart.Tick) {
	for _, r := range Medians(all) {
		x := logOf(float64(r.Size))
		if !slices.ContainsFunc(ticks, func(t chart.Tick) bool { return t.Value == x }) {
			ticks = append(ticks, chart.Tick{Value: x, Label: FormatSize(r.Size)})
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

func rates(all []Result) (lines []chart.ContinuousSeries) {
	for _, r := range Medians(all) {
		if r.Times == nil {
			lines = addPoint(lines, r.Pattern, r.Size, r.Rate)
		}
	}
	return lines
}

func latencies(all []Result) (lines []chart.ContinuousSeries) {
	for _, r := range Medians(all) {
		if r.Times != nil {
			lines = addPoint(lines, "p50", r.Size, r.Times.P50)
			lines = addPoint(lines, "p99", r.Size, r.Times.P99)
			lines = addPoint(lines, "p99.9", r.Size, r.Times.P999)
		}
	}
	return lines
}

func addPoint(lines []chart.ContinuousSeries, name string, size int, y float64) []chart.ContinuousSeries {
	i := slices.IndexFunc(lines, func(l chart.ContinuousSeries) bool { return l.Name == name })
	if i < 0 {
		i = len(lines)
		lines = append(lines, chart.ContinuousSeries{Name: name})
	}
	lines[i].XValues = append(lines[i].XValues, logOf(float64(size)))
	lines[i].YValues = append(lines[i].YValues, logOf(y))
	return lines
}
