package main

import (
	"fmt"
	"strings"
)

// bars are what is wanted of live messages beside a replay: that it does not disturb live traffic. Nobody loses of the rate, but for what turns differ by, and waits are at most those of
// a machine on which something else takes every other turn.
var bars = []struct {
	what  string
	load  string
	of    func(v view) float64
	times float64
	least bool // at least so many times what it is alone; else at most
}{
	{"rate", "half of all", func(v view) float64 { return v.rate }, 0.95, true},
	{"rate", "200 k a second", func(v view) float64 { return v.rate }, 0.95, true},
	{"99 of 100 within", "20 k a second", func(v view) float64 { return v.p99 }, 2, false},
	{"99 of 100 within", "200 k a second", func(v view) float64 { return v.p99 }, 2, false},
}

// reportLive prints medians, and which of the bars are met: by the median of the ratios of neighbours.
func reportLive(turns [][][2]turn) {
	fmt.Println("\n| live messages a second | subscriber | | got a second | half within, ms | 99 of 100 | 999 of 1000 | replayed a second |\n|--:|---|---|--:|--:|--:|--:|--:|")
	for l := range loads {
		for w, kind := range watchers {
			for b, how := range []string{"alone", "beside a replay"} {
				of := func(f func(t turn) float64) float64 {
					return medianOf(turns, func(round [][2]turn) float64 { return f(round[l][b]) })
				}
				seen := func(f func(v view) float64) float64 { return of(func(t turn) float64 { return f(t.seen[w]) }) }
				fmt.Printf("| %.0f | %s | %s | %.0f | %.2f | %.2f | %.2f | %.0f |\n", of(func(t turn) float64 { return t.rate }), kind, how,
					seen(func(v view) float64 { return v.rate }), seen(func(v view) float64 { return v.p50 }), seen(func(v view) float64 { return v.p99 }),
					seen(func(v view) float64 { return v.p999 }), of(func(t turn) float64 { return t.replayed }))
			}
		}
	}
	fmt.Println("\n| replay does not disturb live traffic | wanted | plain | durable | |\n|---|---|--:|--:|---|")
	for _, bar := range bars {
		l := 0
		for loads[l].name != bar.load {
			l++
		}
		verdict, word := "met", "at most"
		if bar.least {
			word = "at least"
		}
		var got []string
		for w := range watchers {
			ratio := medianOf(turns, func(round [][2]turn) float64 { return bar.of(round[l][1].seen[w]) / bar.of(round[l][0].seen[w]) })
			if met := bar.least && ratio >= bar.times || !bar.least && ratio <= bar.times; !met {
				verdict = "not met"
			}
			got = append(got, fmt.Sprintf("%.2f", ratio))
		}
		fmt.Printf("| %s, %s | %s %g of alone | %s | %s |\n", bar.what, bar.load, word, bar.times, strings.Join(got, " | "), verdict)
	}
}

func medianOf(turns [][][2]turn, of func(round [][2]turn) float64) float64 {
	all := make([]float64, len(turns))
	for i, round := range turns {
		all[i] = of(round)
	}
	return median(all)
}
