//go:build unix

package pushpull_test

import (
	"syscall"
	"testing"
	"time"
)

// BenchmarkRatio compares typed messages to those of the sockets below, by the processor time that both ends take, in turns: x-of-plain is the part of the plain
// rate that typed ones have.
func BenchmarkRatio(b *testing.B) {
	send, plain := typed(b), bare(b)
	const batch = 5000
	var with, without time.Duration
	for b.Loop() {
		without += spent(func() { plain(batch) })
		with += spent(func() { send(batch) })
	}
	b.ReportMetric(float64(without)/float64(with), "x-of-plain")
	b.ReportMetric(float64(with.Nanoseconds())/float64(b.N)/batch, "cpu-ns/typed")
	b.ReportMetric(float64(without.Nanoseconds())/float64(b.N)/batch, "cpu-ns/plain")
}

// spent returns the processor time of this process that f takes.
func spent(f func()) time.Duration {
	before := used()
	f()
	return used() - before
}

func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // which cannot fail for this process
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
