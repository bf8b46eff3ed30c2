package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "bench-peer" {
		dyingPeer(os.Args[2])
	}
	sockettest.LeakCheck(m)
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"0": 0, "16": 16, "100B": 100, "1KiB": 1 << 10, "16 KiB": 16 << 10, "4K": 4 << 10, "1kib": 1 << 10, "2m": 2 << 20, "1MiB": 1 << 20, "64MiB": 64 << 20,
	} {
		got, err := ParseSize(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "KiB", "-1", "1.5", "1GiB", "65MiB", "99999999999999999999", "sixteen"} {
		_, err := ParseSize(text)
		assert.ErrorContains(t, err, "want bytes such as 100", text)
	}
	assert.Equal(t, "100 B", FormatSize(100))
	assert.Equal(t, "1 KiB", FormatSize(1024))
	assert.Equal(t, "1025 B", FormatSize(1025))
	assert.Equal(t, "2 MiB", FormatSize(2<<20))
}

func quick() *Config {
	return &Config{
		Patterns: Patterns, Transport: "inproc", Sizes: []int{0, 100}, Frames: []int{2}, Peers: []int{3}, Subscriptions: []int{100},
		Duration: 10 * time.Millisecond, Rounds: 1, Rate: 1000, InFlight: 2,
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	require.NoError(t, quick().Check())
	for want, spoil := range map[string]func(*Config){
		`unknown pattern "push": want throughput, latency, fanout, fanin, requests, router, workers, topics, dropping, stalled, idle`: func(c *Config) {
			c.Patterns = []string{"push"}
		},
		`unknown transport "udp": want tcp, ipc, inproc, ws`: func(c *Config) { c.Transport = "udp" },
		"--rounds: 0, want at least 1":                       func(c *Config) { c.Rounds = 0 },
		"--peers: -1, want at least 1":                       func(c *Config) { c.Peers = []int{5, -1} },
		"--peers: 1, want at least 2 for stalled":            func(c *Config) { c.Peers = []int{1} },
		"--frames: none, want at least 1":                    func(c *Config) { c.Frames = nil },
		"--subscriptions: 0, want at least 1":                func(c *Config) { c.Subscriptions = []int{0} },
		"--in-flight: 0, want at least 1":                    func(c *Config) { c.InFlight = 0 },
		"--rate: 0, want 1 to 1000000":                       func(c *Config) { c.Rate = 0 },
		"--rate: 2000000000, want 1 to 1000000":              func(c *Config) { c.Rate = 2e9 },
		"--size: none, want at least 1":                      func(c *Config) { c.Sizes = nil },
		"33 frames of 2 MiB: want at most 64 MiB for a message": func(c *Config) {
			c.Sizes, c.Frames = []int{2 << 20, 0}, []int{1, 33}
		},
		"--duration: 1ms, want at least 10ms": func(c *Config) { c.Duration = time.Millisecond },
	} {
		c := quick()
		spoil(c)
		assert.EqualError(t, c.Check(), want)
		assert.EqualError(t, Run(t.Context(), c, nil), want)
	}
}

// TestCheckFiles: each connection is a file, on either side.
func TestCheckFiles(t *testing.T) {
	t.Parallel()
	c := quick()
	c.Transport, c.Peers = "tcp", []int{8, 200}
	require.NoError(t, c.checkFiles(220))
	assert.EqualError(t, c.checkFiles(219), "fanout, 2 x 0 B, 200 peers: a process needs 220 open files and may have 219: raise that (ulimit -n) or have fewer peers")
	c.OneProcess = true
	assert.ErrorContains(t, c.checkFiles(220), "needs 420 open files")
	c.Transport = "inproc"
	assert.NoError(t, c.checkFiles(1))
	c.Transport, c.Patterns = "tcp", []string{Throughput}
	assert.NoError(t, c.checkFiles(1))
}

func TestRun_MeasuresEverything(t *testing.T) {
	t.Parallel()
	for _, transport := range append(slices.Clone(Transports), "curve") {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			c := quick()
			c.Transport, c.OneProcess = transport, true
			if transport == "curve" {
				c.Transport, c.Curve = "tcp", true
			}
			if transport != "inproc" { // the rest goes the same ways
				c.Patterns, c.Sizes = Usual, []int{100}
			}
			steps := 0
			c.Progress = func(s Step) {
				assert.Equal(t, steps, s.Done)
				assert.Equal(t, len(c.Sizes)*len(c.Patterns), s.Of)
				steps++
			}
			var all []Result
			require.NoError(t, Run(t.Context(), c, func(r Result) error { all = append(all, r); return nil }))
			require.Len(t, all, len(c.Sizes)*len(c.Patterns))
			for _, r := range all {
				assert.Positive(t, r.Rate, r.Pattern)
				assert.Equal(t, r.Pattern == Latency || r.Pattern == Idle, r.Times != nil)
				assert.Equal(t, r.Times == nil, r.Collector != nil)
				assert.Zero(t, r.Memory, "of the other side as well")
				if r.Collector != nil {
					assert.GreaterOrEqual(t, r.Collector.Near, 0.0)
					assert.Less(t, r.Collector.Far, 100.0)
				}
				assert.Equal(t, r.Rate*2*float64(r.Size), r.Bytes)
				if r.Times != nil {
					assert.LessOrEqual(t, r.Times.P50, r.Times.Max)
					assert.Positive(t, r.Times.P50)
				}
			}
		})
	}
}

func TestRun_MeasuresAPatternOnce(t *testing.T) {
	t.Parallel()
	c := quick()
	c.Patterns, c.Sizes = []string{Throughput, Fanin, Throughput}, []int{16, 16}
	var measured []string
	require.NoError(t, Run(t.Context(), c, func(r Result) error { measured = append(measured, r.Pattern); return nil }))
	assert.Equal(t, []string{Throughput, Fanin}, measured)
}

func TestRun_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	for _, pattern := range Patterns {
		c := quick()
		c.Patterns, c.Duration = []string{pattern}, time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		c.Progress = func(Step) { time.AfterFunc(20*time.Millisecond, cancel) }
		assert.ErrorIs(t, Run(ctx, c, nil), context.Canceled, pattern)
	}
}

// TestShare leaves out the two collections that were asked for at the end, not the third.
func TestShare(t *testing.T) {
	t.Parallel()
	before := spent{Busy: 1, Collector: 0.5, Asked: 0.1}
	assert.InDelta(t, 10, spent{Busy: 2.2, Collector: 0.8, Asked: 0.1}.share(before), 1e-9)
	assert.Zero(t, spent{Busy: 1.1, Collector: 0.6, Asked: 0.1}.share(before))
	assert.Zero(t, spent{Busy: 2, Collector: 0.6, Asked: 0.1}.share(before))
}

var tcp = Way{Transport: "tcp"}

var sample = []Result{
	{Pattern: Throughput, Way: tcp, Load: Load{Size: 16, Frames: 1}, Round: 1, Rate: 4e6, Bytes: 64e6},
	{Pattern: Fanin, Way: tcp, Load: Load{Size: 16, Frames: 1, Peers: 8}, Round: 1, Rate: 1e6, Bytes: 16e6},
	{Pattern: Latency, Way: tcp, Load: Load{Size: 16, Frames: 1}, Round: 1, Rate: 1000, Times: &Times{P50: 40, P90: 50, P99: 60.5, P999: 70, Max: 80, Samples: 1000}},
	{Pattern: Throughput, Way: tcp, Load: Load{Size: 16, Frames: 1}, Round: 2, Rate: 2e6, Bytes: 32e6},
	{Pattern: Throughput, Way: tcp, Load: Load{Size: 16, Frames: 1}, Round: 3, Rate: 5e6, Bytes: 80e6},
	{Pattern: Throughput, Way: tcp, Load: Load{Size: 1024, Frames: 1}, Round: 1, Rate: 1e6, Bytes: 1024e6},
}

func TestMedians(t *testing.T) {
	t.Parallel()
	m := Medians(sample)
	require.Len(t, m, 4)
	assert.Equal(t, Result{Pattern: Throughput, Way: tcp, Load: Load{Size: 16, Frames: 1}, Rate: 4e6, Bytes: 64e6}, m[0])
	assert.Equal(t, *sample[2].Times, *m[2].Times)
	even := Medians(sample[:4])
	assert.Equal(t, 3e6, even[0].Rate)
}

func TestReports(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, WriteTable(&out, sample))
	for _, want := range []string{"4 000 000", "fanin 8", "1 KiB", "60.5", "1024.0"} {
		assert.Contains(t, out.String(), want)
	}

	out.Reset()
	require.NoError(t, WriteJSON(&out, sample))
	var back Result
	require.NoError(t, json.Unmarshal(bytes.Split(out.Bytes(), []byte("\n"))[2], &back))
	assert.Equal(t, sample[2], back)

	out.Reset()
	require.NoError(t, WriteCSV(&out, sample))
	rows, err := csv.NewReader(&out).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1+len(sample))
	assert.Equal(t, []string{"fanin", "tcp", "16", "8", "1", "1000000.000", "16000000.000", "", "", "", "", "", "1", "0", "", "", "0.000", "0", "0", "false", "false"}, rows[2])

	out.Reset()
	require.NoError(t, WriteBenchstat(&out, sample))
	assert.Contains(t, out.String(), "BenchmarkThroughput/tcp/size=16 1 250.00 ns/op 64.00 MB/s\n")
	assert.Contains(t, out.String(), "BenchmarkFanin/tcp/peers=8/size=16 1 1000.00 ns/op")
	assert.Contains(t, out.String(), "BenchmarkLatency/tcp/size=16 1 40000 p50-ns/op 60500 p99-ns/op 80000 max-ns/op\n")
}

// TestReports_SayWhatWasMeasured: whatever may differ between two measurements does in what is said of them.
func TestReports_SayWhatWasMeasured(t *testing.T) {
	t.Parallel()
	router := Result{Pattern: Routing, Way: tcp, Load: Load{Size: 16, Frames: 1, Peers: 8, InFlight: 1}, Rate: 1e6}
	latency := Result{Pattern: Latency, Way: tcp, Load: Load{Size: 16, Frames: 1, Asked: UsualRate}, Times: &Times{P50: 40, P99: 50, Max: 60}}
	all := []Result{router, router, router, router, router, latency, latency}
	all[1].InFlight, all[2].Curve, all[3].OneProcess, all[4].Transport, all[6].Asked = 16, true, true, "ipc", 5000
	require.Len(t, Medians(all), len(all))
	for i, want := range []string{
		"Router/tcp/peers=8", "Router/tcp/peers=8/in-flight=16", "Router/tcp/curve/peers=8", "Router/tcp/one-process/peers=8", "Router/ipc/peers=8", "Latency/tcp", "Latency/tcp/rate=5000",
	} {
		var out bytes.Buffer
		require.NoError(t, WriteBenchstat(&out, all[i:i+1]))
		assert.Contains(t, out.String(), "Benchmark"+want+"/size=16 1 ")
	}
	for _, write := range []func(io.Writer, []Result) error{WriteTable, WriteMarkdown, WriteCSV, WriteBenchstat, WriteJSON} {
		said := map[string]bool{}
		for i := range all {
			var out bytes.Buffer
			require.NoError(t, write(&out, all[i:i+1]))
			said[out.String()] = true
		}
		assert.Len(t, said, len(all))
	}
	c := quick()
	assert.Equal(t, []Load{{Size: 0, Frames: 2, Peers: 3, InFlight: 2}, {Size: 100, Frames: 2, Peers: 3, InFlight: 2}}, c.loads(Routing))
	assert.Equal(t, "2 x 100 B, 5000 a second", Load{Size: 100, Frames: 2, Asked: 5000}.String())
}

func TestPlot(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "curve.svg")
	require.NoError(t, Plot(file, "all of it", sample))
	svg, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, want := range []string{"<svg", "all of it", "throughput", "1 KiB", "messages a second"} {
		assert.Contains(t, string(svg), want)
	}

	file = filepath.Join(t.TempDir(), "curve.png")
	require.NoError(t, Plot(file, "latencies", sample[2:3]))
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	_, err = png.Decode(f)
	require.NoError(t, err)

	file = filepath.Join(t.TempDir(), "frames.svg")
	require.NoError(t, Plot(file, "", growing()))
	svg, err = os.ReadFile(file)
	require.NoError(t, err)
	assert.Contains(t, string(svg), "frames of a message")

	assert.NotContains(t, string(svg), "-92233720368", "an axis that nothing is drawn over")

	assert.Error(t, Plot(filepath.Join(t.TempDir(), "no", "folder.svg"), "", sample))
}

// TestPlot_PatternsAreCurvesOfTheirOwn: percentiles of several patterns, none of which is known of too few samples.
func TestPlot_PatternsAreCurvesOfTheirOwn(t *testing.T) {
	t.Parallel()
	all := []Result{
		{Pattern: Latency, Load: Load{Size: 16}, Times: &Times{P50: 40, P99: 60}},
		{Pattern: Idle, Load: Load{Size: 16}, Times: &Times{P50: 50, P99: 70}},
	}
	var names []string
	for _, l := range latencies(all, axes[0]) {
		names = append(names, l.Name)
	}
	assert.Equal(t, []string{"latency p50", "latency p99", "idle p50", "idle p99"}, names)
	assert.Equal(t, "p50", latencies(all[:1], axes[0])[0].Name)
	assert.Equal(t, []string{"latency"}, LeftOut(sample))
	assert.Empty(t, LeftOut(sample[:2]))
	assert.Empty(t, LeftOut(all))
}

func TestCheckPlot(t *testing.T) {
	t.Parallel()
	c := quick()
	assert.NoError(t, c.CheckPlot("x.SVG"))
	assert.ErrorContains(t, c.CheckPlot("x.gif"), "want a name that ends in .svg or .png")
	c.Subscriptions = []int{1, 10}
	assert.EqualError(t, c.CheckPlot("x.svg"), "both size of a message and subscriptions vary: want several values of one of them")
	c.Patterns = []string{Throughput} // has none
	assert.NoError(t, c.CheckPlot("x.svg"))
}

// TestCheckWritable leaves no trace.
func TestCheckWritable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "old.svg")
	require.NoError(t, CheckWritable(file))
	assert.NoFileExists(t, file)
	require.NoError(t, os.WriteFile(file, []byte("old"), 0o600))
	require.NoError(t, CheckWritable(file))
	old, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "old", string(old))
	assert.ErrorContains(t, CheckWritable(filepath.Join(file, "below.svg")), "plot: ")
}

// growing are measurements of more and more frames.
func growing() (all []Result) {
	for i, frames := range []int{1, 4, 16} {
		all = append(all,
			Result{Pattern: Throughput, Load: Load{Size: 16, Frames: frames}, Rate: []float64{16e6, 8e6, 1e6}[i], Collector: &Shares{1.5, 2.5}},
			Result{Pattern: Fanin, Load: Load{Size: 16, Frames: frames, Peers: 8}, Rate: 1e6})
	}
	return all
}

// TestCurve has frames grow: a message of 4 costs twice what one of 1 does, and one of 16 eight times that.
func TestCurve(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	shuffled := growing()
	shuffled[0], shuffled[4] = shuffled[4], shuffled[0]
	require.NoError(t, WriteMarkdown(&out, shuffled))
	for _, want := range []string{
		"| throughput | 4 | 16 B | 8 000 000 | 125 | 0.0 | 1.5 | 2.5 |",
		"- throughput, frames of a message: steepest from 4 to 16: x8.00 the time for a message at x4, power 1.50\n",
		"- fanin, frames of a message: steepest from 1 to 4: x1.00 the time for a message at x4, power 0.00\n",
	} {
		assert.Contains(t, out.String(), want)
	}
	assert.NotContains(t, out.String(), "p50", "a column without values")
	for _, line := range rates(along(axes[1], shuffled), axes[1]) {
		assert.IsIncreasing(t, line.XValues)
	}
}
