package bench

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The patterns that can be measured.
const (
	Throughput = "throughput"
	Latency    = "latency"
	Fanout     = "fanout"
	Fanin      = "fanin"
	Requests   = "requests"
	Routing    = "router"
	Workers    = "workers"
	Topics     = "topics"
	Dropping   = "dropping"
	Stalled    = "stalled"
	Idle       = "idle"
)

// Patterns lists them in the order in which they are measured.
var Patterns = []string{Throughput, Latency, Fanout, Fanin, Requests, Routing, Workers, Topics, Dropping, Stalled, Idle}

// Usual are those that are measured unless others are asked for.
var Usual = Patterns[:6]

// Transports lists what can be measured over.
var Transports = []string{"tcp", "ipc", "inproc", "ws"}

// Config says what to measure: each pattern with each combination of what a Load has.
type Config struct {
	Patterns      []string
	Transport     string
	Sizes         []int         // bytes of each frame
	Frames        []int         // of each message
	Peers         []int         // of the patterns that have many
	Subscriptions []int         // of topics
	Duration      time.Duration // of each measurement, after a tenth of it to warm up
	Rounds        int           // measurements of each kind; they take turns
	Rate          int           // requests a second of latency
	InFlight      int           // messages that each DEALER of router has on their way
	Curve         bool          // seal everything with CURVE
	OneProcess    bool          // both sides in this process, as always over inproc

	Self     string     // this program, to run the far side
	Progress func(Step) // called before each measurement
	Stderr   io.Writer  // what the far side says
}

// Step is one measurement to come.
type Step struct {
	Pattern string
	Load
	Round    int
	Done, Of int // measurements
}

// String is what is to be measured.
func (s Step) String() string { return s.Pattern + ", " + s.Load.String() }

// maxRate is what the clock can tell apart, and more than one connection answers.
const maxRate = 1_000_000

// shared is whether both sides are in this process.
func (c *Config) shared() bool { return c.OneProcess || c.Transport == "inproc" }

// Check returns what is wrong with the configuration.
func (c *Config) Check() error {
	for _, p := range c.Patterns {
		if !slices.Contains(Patterns, p) {
			return fmt.Errorf("unknown pattern %.40q: want %s", p, strings.Join(Patterns, ", "))
		}
	}
	if !slices.Contains(Transports, c.Transport) {
		return fmt.Errorf("unknown transport %.40q: want %s", c.Transport, strings.Join(Transports, ", "))
	}
	for _, least := range []struct {
		name string
		of   []int
	}{
		{"--rounds", []int{c.Rounds}}, {"--in-flight", []int{c.InFlight}}, {"patterns", []int{len(c.Patterns)}},
		{"--frames", c.Frames}, {"--peers", c.Peers}, {"--subscriptions", c.Subscriptions},
	} {
		if len(least.of) == 0 {
			return fmt.Errorf("%s: none, want at least 1", least.name)
		}
		if n := slices.Min(least.of); n < 1 {
			return fmt.Errorf("%s: %d, want at least 1", least.name, n)
		}
	}
	for _, p := range c.Patterns {
		if n := slices.Min(c.Peers); p == Stalled && n < 2 {
			return fmt.Errorf("--peers: %d, want at least 2 for %s", n, p)
		}
	}
	if len(c.Sizes) == 0 {
		return errors.New("--size: none, want at least 1")
	}
	if size, frames := slices.Max(c.Sizes), slices.Max(c.Frames); frames > maxSize/max(1, size) {
		return fmt.Errorf("%d frames of %s: want at most %s for a message", frames, FormatSize(size), FormatSize(maxSize))
	}
	if c.Rate < 1 || c.Rate > maxRate {
		return fmt.Errorf("--rate: %d, want 1 to %d", c.Rate, maxRate)
	}
	if c.Duration < 10*time.Millisecond {
		return fmt.Errorf("--duration: %s, want at least 10ms", c.Duration)
	}
	return nil
}

// spareFiles is how many files a process has open besides one for each peer: standard ones, pipes, the listener, the poller, with a few to spare.
const spareFiles = 20

// checkFiles returns which pattern has more peers than a process may have files open.
func (c *Config) checkFiles(limit int) error {
	if c.Transport == "inproc" {
		return nil
	}
	for _, pattern := range c.Patterns {
		for _, l := range c.loads(pattern) {
			need := l.Peers
			if c.shared() {
				need *= 2 // both ends of each connection
			}
			if need += spareFiles; l.Peers > 0 && need > limit {
				return fmt.Errorf("%s, %s: a process needs %d open files and may have %d: raise that (ulimit -n) or have fewer peers", pattern, l, need, limit)
			}
		}
	}
	return nil
}

// units are those of sizes, in any case; the longer ones first, since kib ends in b.
var units = []struct {
	name string
	n    int
}{{"kib", 1 << 10}, {"mib", 1 << 20}, {"k", 1 << 10}, {"m", 1 << 20}, {"b", 1}, {"", 1}}

// maxSize is what a message may have at most by default.
const maxSize = 64 << 20

// ParseSize reads a size such as 100, 1KiB or 16MiB.
func ParseSize(s string) (int, error) {
	for _, u := range units {
		number, ok := strings.CutSuffix(strings.ToLower(strings.TrimSpace(s)), u.name)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil || n < 0 || n > maxSize/u.n {
			break
		}
		return n * u.n, nil
	}
	return 0, fmt.Errorf("size %.40q: want bytes such as 100, 1KiB or 16MiB, at most 64MiB", s)
}

// FormatSize writes a size as people say it.
func FormatSize(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}

// Way is how both sides are connected.
type Way struct {
	Transport  string `json:"transport"`
	Curve      bool   `json:"curve,omitempty"`
	OneProcess bool   `json:"one_process,omitempty"` // not told over inproc
}

// String says all of it.
func (w Way) String() string {
	s := w.Transport
	if w.Curve {
		s += " with CURVE"
	}
	if w.OneProcess {
		s += " in one process"
	}
	return s
}

// Way is how both sides are to be connected.
func (c *Config) Way() Way { return Way{c.Transport, c.Curve, c.OneProcess && c.Transport != "inproc"} }

// Result is one measurement.
type Result struct {
	Pattern string `json:"pattern"`
	Way
	Load
	Round     int     `json:"round"`
	Rate      float64 `json:"msgs_per_second"`
	Bytes     float64 `json:"bytes_per_second"`
	Times     *Times  `json:"round_trip_us,omitempty"`  // latency, idle
	Collector *Shares `json:"gc_percent,omitempty"`     // not of latency and idle
	Memory    float64 `json:"bytes_per_peer,omitempty"` // idle, unless the memory of both sides is in one
}

// Shares are parts of the time of the processors that went to the garbage collector, in percent.
type Shares struct {
	Near float64 `json:"near"`
	Far  float64 `json:"far"`
}

// ErrLost is the error of a measurement in which messages or answers are missing.
var ErrLost = errors.New("messages are missing")
