package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Times are percentiles of round trips in microseconds.
type Times struct {
	P50     float64 `json:"p50"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
	P999    float64 `json:"p99.9"`
	Max     float64 `json:"max"`
	Samples int64   `json:"samples"` // round trips
}

// trips are the round trips so far.
type trips struct{ hist *hdrhistogram.Histogram }

func newTrips() trips { return trips{hdrhistogram.New(1, int64(time.Minute), 3)} }

func (t trips) record(d time.Duration) { _ = t.hist.RecordValue(int64(d)) }

func (t trips) times() *Times {
	at := func(percent float64) float64 { return float64(t.hist.ValueAtQuantile(percent)) / 1e3 }
	return &Times{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(t.hist.Max()) / 1e3, Samples: t.hist.TotalCount()}
}
