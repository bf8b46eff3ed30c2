package bench

import (
	"runtime"
	"runtime/metrics"
)

// spent is what a process has spent of the time of the processors, in seconds: all of it, and the garbage collector's part.
type spent struct {
	Busy      float64 `json:"busy"`
	Collector float64 `json:"collector"`
	Asked     float64 `json:"asked"` // of both, by a collection that was asked for
}

// spentNow is of the whole life of this process. The runtime sums up when it collects, so that two collections have to be asked for: the second
// says what the first has cost.
func spentNow() spent {
	first, s := collect(), collect()
	s.Asked = s.Collector - first.Collector
	return s
}

func collect() spent {
	runtime.GC()
	all := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}, {Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(all)
	return spent{Busy: all[0].Value.Float64() - all[1].Value.Float64(), Collector: all[2].Value.Float64()}
}

// share is the garbage collector's, in percent, since some time before, without the collections that s asked for.
func (s spent) share(before spent) float64 {
	busy, collector := s.Busy-before.Busy-2*s.Asked, s.Collector-before.Collector-2*s.Asked
	if busy <= 0 {
		return 0
	}
	return 100 * max(0, collector) / busy
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
