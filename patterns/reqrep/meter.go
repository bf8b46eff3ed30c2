package reqrep

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// meter measures the calls of one method. Any number of goroutines may use it.
type meter struct {
	errors atomic.Uint64
	inHand atomic.Int64
	most   atomic.Int64 // nanoseconds
	times  [buckets]atomic.Uint64
	pace   pace
}

// A bucket of a meter is an eighth of a power of two of microseconds wide; the last one, from 1.2 hours on, has no end.
const (
	eighths = 8
	buckets = 32 * eighths
)

func (m *meter) begin() { m.inHand.Add(1) }

func (m *meter) end(began time.Time, o outcome) {
	took := time.Since(began)
	m.inHand.Add(-1)
	if o.bad != nil || o.err != nil {
		m.errors.Add(1)
	}
	m.times[bucketOf(took)].Add(1)
	m.pace.note(took)
	for old := m.most.Load(); int64(took) > old && !m.most.CompareAndSwap(old, int64(took)); old = m.most.Load() {
	}
}

// bucketOf returns the bucket of a time: the first eight have one microsecond each, then each eight have twice as much as those before.
func bucketOf(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < eighths {
		return int(us)
	}
	power := bits.Len64(us) - 4 // us>>power is 8 to 15
	return min((power+1)*eighths+int(us>>power)-eighths, buckets-1)
}

// limitOf returns the time at which a bucket ends.
func limitOf(bucket int) time.Duration {
	power := max(bucket/eighths-1, 0)
	first := bucket - power*eighths
	return time.Duration(first+1) << power * time.Microsecond
}

func (m *meter) stats() MethodStats {
	var counts [buckets]uint64
	s := MethodStats{InHand: m.inHand.Load(), Errors: m.errors.Load(), Max: time.Duration(m.most.Load())}
	for i := range counts {
		counts[i] = m.times[i].Load()
		s.Calls += counts[i]
	}
	s.P50, s.P90, s.P99 = s.quantile(&counts, 0.5), s.quantile(&counts, 0.9), s.quantile(&counts, 0.99)
	return s
}

// quantile returns a time that the share q of calls did not exceed.
func (s *MethodStats) quantile(counts *[buckets]uint64, q float64) time.Duration {
	rest := uint64(q * float64(s.Calls))
	for i, n := range counts {
		if n > rest {
			return min(limitOf(i), s.Max)
		}
		rest -= n
	}
	return s.Max
}
