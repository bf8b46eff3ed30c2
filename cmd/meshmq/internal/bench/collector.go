package bench

import (
	"runtime"
	"runtime/metrics"
)

// spent is what a process has spent of the time of the processors, in seconds: all of it, and the garbage collector's part.
type spent struct {
	Busy      float64 `json:"busy"`
	Collector float64 `json:"collector"`
}

// spentNow is of the whole life of this process. The runtime sums up when it collects.
func spentNow() spent {
	runtime.GC()
	all := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}, {Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(all)
	return spent{all[0].Value.Float64() - all[1].Value.Float64(), all[2].Value.Float64()}
}

// share is the garbage collector's, in percent, since some time before.
func (s spent) share(before spent) float64 {
	if s.Busy <= before.Busy {
		return 0
	}
	return 100 * (s.Collector - before.Collector) / (s.Busy - before.Busy)
}

// shares finds what the garbage collectors of both sides take while something is measured.
func (f *far) shares(r *Result, measured func() error) error {
	theirs, err := f.spent()
	if err != nil {
		return err
	}
	ours := spentNow()
	if err := measured(); err != nil {
		return err
	}
	r.Collector = &Shares{Near: spentNow().share(ours)}
	after, err := f.spent()
	r.Collector.Far = after.share(theirs)
	return err
}
