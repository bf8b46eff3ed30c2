//go:build unix

package pushpull_test

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkRatio compares typed messages to those of the sockets below, in turns: x-of-plain is the part of the plain rate that typed ones have by the processor
// time that both ends take, rate-x-of-plain the part by the clock, in the fastest 5,000 of each: those that others on the machine disturb least.
// `go test -run '^$' -bench Ratio -benchtime 300x ./patterns/pushpull`; wanted is 0.5.
func BenchmarkRatio(b *testing.B) {
	send, plain := typed(b), bare(b)
	const batch = 5000
	var with, without spending
	for b.Loop() {
		without.on(func() { plain(batch) })
		with.on(func() { send(batch) })
	}
	b.ReportMetric(float64(without.cpu)/float64(with.cpu), "x-of-plain")
	b.ReportMetric(float64(without.fastest)/float64(with.fastest), "rate-x-of-plain")
	b.ReportMetric(float64(with.cpu.Nanoseconds())/float64(b.N)/batch, "cpu-ns/typed")
	b.ReportMetric(float64(without.cpu.Nanoseconds())/float64(b.N)/batch, "cpu-ns/plain")
	b.ReportMetric(batch/with.fastest.Seconds(), "typed/s")
}

// spending is the processor time of all that was done, and the time that the fastest of it took.
type spending struct{ cpu, fastest time.Duration }

func (s *spending) on(f func()) {
	cpu, began := used(), time.Now()
	f()
	if took := time.Since(began); s.fastest == 0 || took < s.fastest {
		s.fastest = took
	}
	s.cpu += used() - cpu
}

func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // which cannot fail for this process
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
