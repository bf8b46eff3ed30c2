package demo

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// books are the reports of all processes.
type books struct {
	desk, price, auditor report
	workers              []report
	parcels              parcelBooks
}

// print writes the tables, and returns ErrCheck with what is wrong if the numbers do not add up.
func (b *books) print(w io.Writer) error {
	var received, asked, published, sum uint64
	waits, latency := newHistogram(), newHistogram()
	t := newTable(w, "peer", "orders out", "orders in", "quotes out", "quotes in", "events out", "events in")
	t.AppendRow(orderRow(b.desk))
	published = b.desk.Published
	for _, r := range b.workers {
		received, asked, published, sum = received+r.Received, asked+r.Asked, published+r.Published, sum+r.Sum
		merge(waits, r.Waits)
		merge(latency, r.Latency)
		t.AppendRow(orderRow(r))
	}
	t.AppendRow(orderRow(b.price))
	t.AppendRow(orderRow(b.auditor))
	t.AppendSeparator()
	t.AppendRow(table.Row{"total", b.desk.Sent, received, asked, b.price.Answered, published, b.auditor.Heard})
	t.AppendRow(table.Row{"lost", "", lost(b.desk.Sent, received), "", lost(asked, b.price.Answered), "", lost(published, b.auditor.Heard)})
	t.Render()
	fmt.Fprintf(w, "orders  %.0f a second, paced at %d\n", float64(b.desk.Sent)/max(b.desk.Seconds, 1e-9), pace)
	fmt.Fprintf(w, "orders  from desk to worker %s\n", percentiles(waits))
	fmt.Fprintf(w, "quotes  there and back      %s\n", percentiles(latency))
	b.parcels.print(w)
	return errors.Join(b.check(received, asked, published, sum, uint64(min(waits.TotalCount(), latency.TotalCount()))), b.parcels.check())
}

// newTable returns one of numbers, but for the first column.
func newTable(w io.Writer, header ...any) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.SetStyle(table.StyleLight)
	t.Style().Format = table.FormatOptions{}
	t.AppendHeader(header)
	var columns []table.ColumnConfig
	for i := range header[1:] {
		columns = append(columns, table.ColumnConfig{Number: i + 2, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	return t
}

// newHistogram returns one for what takes from 1 us to a minute, in ns, to three digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1000, int64(time.Minute), 3) }

// merge adds an encoded histogram. One that does not decode is found by check, which compares the totals.
func merge(into *hdrhistogram.Histogram, encoded []byte) {
	if h, err := hdrhistogram.Decode(encoded); err == nil {
		into.Merge(h)
	}
}

func percentiles(h *hdrhistogram.Histogram) string {
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	return fmt.Sprintf("p50 %.0f us, p90 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us", us(h.ValueAtQuantile(50)),
		us(h.ValueAtQuantile(90)), us(h.ValueAtQuantile(99)), us(h.ValueAtQuantile(99.9)), us(h.Max()))
}

func orderRow(r report) table.Row {
	return row(r.Name, r.Sent, r.Received, r.Asked, r.Answered, r.Published, r.Heard)
}

// row leaves out what a peer has nothing to do with.
func row(name string, counts ...uint64) table.Row {
	cells := table.Row{name}
	for _, n := range counts {
		if n == 0 {
			cells = append(cells, "")
			continue
		}
		cells = append(cells, n)
	}
	return cells
}

// lost is negative where more arrived than was sent.
func lost(out, in uint64) int64 { return int64(out) - int64(in) }

func (b *books) check(received, asked, published, sum, timed uint64) error {
	var a audit
	a.equal("orders sent and received", b.desk.Sent, received)
	a.equal("checksums of orders sent and received", b.desk.Sum, sum)
	a.equal("quotes asked for and answered", asked, b.price.Answered)
	a.equal("orders and quotes timed", asked, timed)
	a.equal("orders received and quoted", received, asked)
	a.equal("events published and heard", published, b.auditor.Heard)
	for _, r := range b.workers {
		a.equal("failures of "+r.Name, 0, r.Failed)
		a.that(r.Received > 0, "%s received no orders", r.Name)
	}
	a.that(b.desk.Sent > 0, "nothing was sent")
	return errors.Join(a...)
}

// audit collects what does not add up.
type audit []error

func (a *audit) that(ok bool, format string, args ...any) {
	if !ok {
		*a = append(*a, fmt.Errorf("%w: %s", ErrCheck, fmt.Sprintf(format, args...)))
	}
}

func (a *audit) equal(what string, out, in uint64) { a.that(out == in, "%s: %d and %d", what, out, in) }
