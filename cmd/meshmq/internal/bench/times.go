package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Times are percentiles of round trips in microseconds. One that fewer samples than it needs say nothing about is 0.
type Times struct {
	P50     float64 `json:"p50"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99,omitempty"`   // of 100 or more
	P999    float64 `json:"p99.9,omitempty"` // of 1000 or more
	Max     float64 `json:"max"`
	Samples int64   `json:"samples"` // round trips
}

// known returns the times without those that so many samples do not tell.
func (t Times) known() *Times {
	if t.Samples < 100 {
		t.P99 = 0
	}
	if t.Samples < 1000 {
		t.P999 = 0
	}
	return &t
}

// all are the percentiles in order, and the longest.
func (t *Times) all() []float64 { return []float64{t.P50, t.P90, t.P99, t.P999, t.Max} }

// medianTimes is of the rounds, and of as many samples as the poorest has.
func medianTimes(rs []Result) *Times {
	of := func(one func(*Times) float64) float64 {
		return median(rs, func(r Result) float64 { return one(r.Times) })
	}
	m := Times{
		P50:     of(func(t *Times) float64 { return t.P50 }),
		P90:     of(func(t *Times) float64 { return t.P90 }),
		P99:     of(func(t *Times) float64 { return t.P99 }),
		P999:    of(func(t *Times) float64 { return t.P999 }),
		Max:     of(func(t *Times) float64 { return t.Max }),
		Samples: rs[0].Times.Samples,
	}
	for _, r := range rs {
		m.Samples = min(m.Samples, r.Times.Samples)
	}
	return m.known()
}

// longest is what takes longer counts as.
const longest = time.Minute

// trips are the round trips so far.
type trips struct{ hist *hdrhistogram.Histogram }

func newTrips() trips { return trips{hdrhistogram.New(1, int64(longest), 3)} }

func (t trips) record(d time.Duration) { _ = t.hist.RecordValue(int64(min(d, longest))) }

func (t trips) times() *Times {
	at := func(percent float64) float64 { return float64(t.hist.ValueAtQuantile(percent)) / 1e3 }
	return Times{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(t.hist.Max()) / 1e3, Samples: t.hist.TotalCount()}.known()
}
