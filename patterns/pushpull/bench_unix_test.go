//go:build unix

package pushpull_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/meshmq/meshmq/codec"
)

// BenchmarkRatio compares typed messages to those of the sockets below, in turns: x-of-plain is the part of the plain rate that typed ones have by the processor
// time that both ends take, rate-x-of-plain the part by the clock, in the fastest 5,000 of each: those that others on the machine disturb least. Plain messages are
// the 100 bytes that a typed one carries; x-of-frames compares with plain messages of what a typed one is on the wire, its envelope included.
// `go test -run '^$' -bench Ratio -benchtime 300x ./patterns/pushpull`; wanted is 0.5. It fails when it is less than
// half of that, by processor time.
func BenchmarkRatio(b *testing.B) {
	stencil, err := codec.NewStencil(&codec.Envelope{Type: "parcel"}, codec.Msgpack, nil)
	must(b, err)
	frame, err := stencil.Append(nil, codec.ID{}, codec.ID{}, parcel{make([]byte, 100)})
	must(b, err)
	send, plain, framed := typed(b), bare(b, make([]byte, 100)), bare(b, frame)
	const batch, wanted = 5000, 0.5
	var with, without, same spending
	for b.Loop() {
		same.on(func() { framed(batch) })
		without.on(func() { plain(batch) })
		with.on(func() { send(batch) })
	}
	ratio := float64(without.cpu) / float64(with.cpu)
	if ratio < wanted/2 && with.cpu > time.Second/100 { // or what others do would decide
		b.Fatalf("typed messages have %.2f of the rate of plain ones, want at least %.2f", ratio, wanted/2)
	}
	b.ReportMetric(ratio, "x-of-plain")
	b.ReportMetric(float64(same.cpu)/float64(with.cpu), "x-of-frames")
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
