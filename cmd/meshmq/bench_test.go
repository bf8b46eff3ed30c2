package main

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
	assert.Empty(t, r.stdout)
}
