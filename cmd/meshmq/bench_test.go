package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/cmd/meshmq/internal/bench"
)

// TestBench has the far side in a process of its own.
func TestBench(t *testing.T) {
	t.Parallel()
	patterns := []string{"throughput", "latency", "fanout", "fanin", "requests", "router", "workers", "topics", "dropping", "stalled", "idle"}
	args := append([]string{"bench", "--size", "100", "--duration", "20ms", "--rounds", "1", "--peers", "2", "--json"}, patterns...)
	measured := lines(ok(t, args...))
	require.Len(t, measured, len(patterns))
	for i, pattern := range patterns {
		var r struct {
			Pattern string
			Rate    float64 `json:"msgs_per_second"`
		}
		require.NoError(t, json.Unmarshal([]byte(measured[i]), &r))
		assert.Equal(t, pattern, r.Pattern)
		assert.Positive(t, r.Rate)
	}
}

func TestBenchInterrupt(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	p := start(t, "bench", "throughput", "--duration", "1h", "--size", "100")
	p.says("1/3: throughput, 100 B")
	p.signal(os.Interrupt)
	r := p.wait()
	assert.Equal(t, 130, r.code, r.stderr)
	assert.Contains(t, r.stderr, "interrupted (interrupt): 0 measured\n")
	assert.Empty(t, r.stdout)
}

// TestBenchInterruptPrintsWhatWasMeasured: in each format.
func TestBenchInterruptPrintsWhatWasMeasured(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	for format, want := range map[string]string{
		"--markdown=false": "│ latency", "--markdown": "| latency |", "--json": `{"pattern":"latency"`, "--csv": "\nlatency,", "--benchstat": "BenchmarkLatency/",
	} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			plot := filepath.Join(t.TempDir(), "part.svg")
			p := start(t, "bench", "latency", "--one-process", "--duration", "10ms", "--rounds", "1000000", "--size", "100", "--plot", plot, format)
			p.says("2/1000000: latency, 100 B")
			p.signal(os.Interrupt)
			r := p.wait()
			assert.Equal(t, 130, r.code, r.stderr)
			assert.Regexp(t, `interrupted \(interrupt\): [1-9]\d* measured\n$`, r.stderr)
			assert.Contains(t, r.stdout, want)
			assert.FileExists(t, plot)
		})
	}
}

// TestBenchPlotUnwritable: what cannot be written is not measured for.
func TestBenchPlotUnwritable(t *testing.T) {
	t.Parallel()
	r := meshmq(t, "bench", "latency", "--duration", "10ms", "--rounds", "1", "--size", "1", "--plot", filepath.Join(t.TempDir(), "no", "folder.svg"))
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "plot: open")
	assert.NotContains(t, r.stderr, "1/1")
}

// TestBenchPlotSaysWhatIsNotInIt: rates and latencies have different axes.
func TestBenchPlotSaysWhatIsNotInIt(t *testing.T) {
	t.Parallel()
	args := []string{"bench", "latency", "throughput", "--one-process", "--duration", "10ms", "--rounds", "1", "--size", "1", "--plot"}
	r := meshmq(t, append(args, filepath.Join(t.TempDir(), "rates.svg"))...)
	assert.Zero(t, r.code)
	assert.Contains(t, r.stderr, "latency is not in the plot, which is of rates\n")
}

// TestBenchBar is full where all was measured, and never done where not.
func TestBenchBar(t *testing.T) {
	t.Parallel()
	draw := func(err error, steps int) string {
		var out bytes.Buffer
		var cfg bench.Config
		stop := showBar(&out, &cfg)
		for i := range steps {
			cfg.Progress(bench.Step{Pattern: bench.Fanin, Done: i, Of: 12})
		}
		stop(err)
		return out.String()
	}
	assert.Regexp(t, `fanin.*done!.*\[12 in`, draw(nil, 12))
	failed := draw(errors.New("any"), 3)
	assert.NotContains(t, failed, "done!")
	assert.Regexp(t, `fanin.*fail!.*\[2 in`, failed)
	assert.Empty(t, strings.TrimSpace(draw(errors.New("any"), 0)))
}
