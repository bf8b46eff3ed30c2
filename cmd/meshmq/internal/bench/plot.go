package bench

import (
	"fmt"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
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
	p := plot.New()
	p.Title.Text = title
	p.X.Label.Text = "size of a message"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = sizeTicks(all), plot.LogTicks{Prec: -1}
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	p.Y.Label.Text = "messages a second"
	lines := rates(all)
	if len(lines) == 0 {
		p.Y.Label.Text = "round trip, us"
		lines = latencies(all)
	}
	var args []any
	for _, l := range lines {
		args = append(args, l.name, l.points)
	}
	if err := plotutil.AddLinePoints(p, args...); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	if err := p.Save(20*vg.Centimeter, 13*vg.Centimeter, file); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	return nil
}

// sizeTicks marks the sizes that were measured.
func sizeTicks(all []Result) (ticks plot.ConstantTicks) {
	marked := map[int]bool{}
	for _, r := range all {
		if !marked[r.Size] {
			marked[r.Size] = true
			ticks = append(ticks, plot.Tick{Value: float64(max(r.Size, 1)), Label: FormatSize(r.Size)})
		}
	}
	return ticks
}

// line is one curve.
type line struct {
	name   string
	points plotter.XYs
}

func rates(all []Result) (lines []line) {
	for _, r := range Medians(all) {
		if r.Times == nil {
			lines = addPoint(lines, r.Pattern, r.Size, r.Rate)
		}
	}
	return lines
}

func latencies(all []Result) (lines []line) {
	for _, r := range Medians(all) {
		if r.Times != nil {
			lines = addPoint(lines, "p50", r.Size, r.Times.P50)
			lines = addPoint(lines, "p99", r.Size, r.Times.P99)
			lines = addPoint(lines, "p99.9", r.Size, r.Times.P999)
		}
	}
	return lines
}

func addPoint(lines []line, name string, size int, y float64) []line {
	point := plotter.XY{X: float64(max(size, 1)), Y: max(y, 1e-3)} // zero has no logarithm
	for i := range lines {
		if lines[i].name == name {
			lines[i].points = append(lines[i].points, point)
			return lines
		}
	}
	return append(lines, line{name, plotter.XYs{point}})
}
