package monitor

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/meshmq/meshmq/codec"
)

// modulePath is ours.
const modulePath = "github.com/meshmq/meshmq"

// processStarted is near enough to when the process began: packages come to life before main.
var processStarted = time.Now()

// thisProcess returns what stays the same.
func thisProcess(name string) Process {
	host, _ := os.Hostname() // for people to read
	p := Process{
		ID: codec.NewID().String(), Name: clip(name), Host: clip(host), PID: os.Getpid(), Started: processStarted.Round(0),
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return p
	}
	p.Module, p.Version = clip(build.Main.Path), clip(build.Main.Version)
	for _, m := range build.Deps {
		if m.Path == modulePath {
			p.Mesh = clip(m.Version)
		}
	}
	return p
}

// now returns p with what changes. It stops nothing, as runtime.ReadMemStats would.
func (p Process) now() Process {
	p.Procs, p.Goroutines = runtime.GOMAXPROCS(0), runtime.NumGoroutine()
	all := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
	}
	metrics.Read(all)
	value := func(i int) uint64 {
		if all[i].Value.Kind() != metrics.KindUint64 { // a runtime that has it no more
			return 0
		}
		return all[i].Value.Uint64()
	}
	p.Memory, p.Heap = value(0)-value(1), value(2)
	return p
}
