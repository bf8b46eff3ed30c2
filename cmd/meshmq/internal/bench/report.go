package bench

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Medians returns one result for each kind of measurement, in the order in which they first came: every figure is
// the median of those of the rounds.
func Medians(all []Result) []Result {
	type kind struct {
		pattern string
		Way
		Load
	}
	var order []kind
	rounds := map[kind][]Result{}
	for _, r := range all {
		k := kind{r.Pattern, r.Way, r.Load}
		if rounds[k] == nil {
			order = append(order, k)
		}
		rounds[k] = append(rounds[k], r)
	}
	medians := make([]Result, 0, len(order))
	for _, k := range order {
		rs := rounds[k]
		m := rs[0]
		m.Round = 0
		m.Rate = median(rs, func(r Result) float64 { return r.Rate })
		m.Bytes = median(rs, func(r Result) float64 { return r.Bytes })
		m.Memory = median(rs, func(r Result) float64 { return r.Memory })
		if m.Times != nil {
			m.Times = medianTimes(rs)
		}
		if m.Collector != nil {
			m.Collector = &Shares{
				Near: median(rs, func(r Result) float64 { return r.Collector.Near }),
				Far:  median(rs, func(r Result) float64 { return r.Collector.Far }),
			}
		}
		medians = append(medians, m)
	}
	return medians
}

func median(rs []Result, of func(Result) float64) float64 {
	values := make([]float64, len(rs))
	for i, r := range rs {
		values[i] = of(r)
	}
	slices.SortFunc(values, cmp.Compare)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// grouped writes a number with its thousands set apart.
func grouped(f float64) string {
	s := strconv.FormatInt(int64(f+0.5), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// WriteJSON writes every measurement as a line.
func WriteJSON(w io.Writer, all []Result) error {
	enc := json.NewEncoder(w)
	for _, r := range all {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// WriteCSV writes every measurement as a row.
func WriteCSV(w io.Writer, all []Result) error {
	out := csv.NewWriter(w)
	rows := [][]string{{
		"pattern", "transport", "size", "peers", "round", "msgs_per_second", "bytes_per_second", "p50_us", "p90_us", "p99_us", "p99.9_us", "max_us",
		"frames", "subscriptions", "gc_percent_near", "gc_percent_far", "bytes_per_peer", "in_flight", "rate", "curve", "one_process", // newer columns are last
	}}
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', 3, 64) }
	known := func(us float64) string {
		if us == 0 {
			return ""
		}
		return number(us)
	}
	for _, r := range all {
		row := []string{r.Pattern, r.Transport, strconv.Itoa(r.Size), strconv.Itoa(r.Peers), strconv.Itoa(r.Round), number(r.Rate), number(r.Bytes)}
		if r.Times == nil {
			row = append(row, "", "", "", "", "")
		} else {
			for _, us := range r.Times.all() {
				row = append(row, known(us))
			}
		}
		row = append(row, strconv.Itoa(r.Frames), strconv.Itoa(r.Subscriptions))
		if r.Collector == nil {
			row = append(row, "", "")
		} else {
			row = append(row, number(r.Collector.Near), number(r.Collector.Far))
		}
		row = append(row, number(r.Memory), strconv.Itoa(r.InFlight), strconv.Itoa(r.Asked), strconv.FormatBool(r.Curve), strconv.FormatBool(r.OneProcess))
		rows = append(rows, row)
	}
	return out.WriteAll(rows)
}

// WriteBenchstat writes every measurement as a line of a Go benchmark, which benchstat compares with those of another run. A name has what is not as
// usual.
func WriteBenchstat(w io.Writer, all []Result) error {
	for _, r := range all {
		name := "Benchmark" + strings.ToUpper(r.Pattern[:1]) + r.Pattern[1:] + "/" + r.Transport
		if r.Curve {
			name += "/curve"
		}
		if r.OneProcess {
			name += "/one-process"
		}
		if r.Peers > 0 {
			name += fmt.Sprintf("/peers=%d", r.Peers)
		}
		if r.Frames > 1 {
			name += fmt.Sprintf("/frames=%d", r.Frames)
		}
		if r.Subscriptions > 0 {
			name += fmt.Sprintf("/subscriptions=%d", r.Subscriptions)
		}
		if r.InFlight > 1 {
			name += fmt.Sprintf("/in-flight=%d", r.InFlight)
		}
		if r.unusual() {
			name += fmt.Sprintf("/rate=%d", r.Asked)
		}
		line := fmt.Sprintf("%s/size=%d 1 %.2f ns/op %.2f MB/s", name, r.Size, 1e9/r.Rate, r.Bytes/1e6)
		if r.Times != nil {
			line = fmt.Sprintf("%s/size=%d 1 %.0f p50-ns/op", name, r.Size, r.Times.P50*1e3)
			if r.Times.P99 > 0 {
				line += fmt.Sprintf(" %.0f p99-ns/op", r.Times.P99*1e3)
			}
			line += fmt.Sprintf(" %.0f max-ns/op", r.Times.Max*1e3)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}
