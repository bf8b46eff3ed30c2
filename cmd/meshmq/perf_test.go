package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
)

const throughputLines = `^message size: 100 \[B\]\nmessage count: 5000\nmean throughput: \d+ \[msg/s\]\nmean throughput: \d+\.\d{3} \[Mb/s\]\n$`

func TestPerfThroughput(t *testing.T) {
	t.Parallel()
	ep := sockettest.Unused(t) // perf does not say what it binds
	local := start(t, "perf", "local_thr", ep, "100", "5000")
	assert.Empty(t, ok(t, "perf", "remote_thr", ep, "100", "5000"))
	r := local.wait()
	assert.Zero(t, r.code, r.stderr)
	assert.Regexp(t, throughputLines, r.stdout)
}

func TestPerfLatency(t *testing.T) {
	t.Parallel()
	ep := sockettest.Unused(t)
	local := start(t, "perf", "local_lat", ep, "0", "200")
	out := ok(t, "perf", "remote_lat", ep, "0", "200")
	assert.Regexp(t, `^message size: 0 \[B\]\nroundtrip count: 200\naverage latency: \d+\.\d{3} \[us\]\n$`, out)
	r := local.wait()
	assert.Zero(t, r.code, r.stderr)
	assert.Empty(t, r.stdout)
}

func TestPerfFanout(t *testing.T) {
	t.Parallel()
	ep := sockettest.Unused(t)
	pub := start(t, "perf", "pub", ep, "100", "5000", "3")
	first, second := start(t, "perf", "sub", ep, "100", "5000"), start(t, "perf", "sub", ep, "100", "5000")
	assert.Regexp(t, throughputLines, ok(t, "perf", "sub", ep, "100", "5000"))
	assert.Regexp(t, throughputLines, first.wait().stdout)
	assert.Regexp(t, throughputLines, second.wait().stdout)
	assert.Zero(t, pub.wait().code)
}

// TestPerfCheck: a message of another size is exit code 6.
func TestPerfCheck(t *testing.T) {
	t.Parallel()
	ep := sockettest.Unused(t)
	local := start(t, "perf", "local_thr", ep, "100", "10")
	remote := start(t, "perf", "remote_thr", ep, "99", "10")
	r := local.wait()
	assert.Equal(t, 6, r.code, r.stderr)
	assert.Contains(t, r.stderr, "message 1 has 1 frames of 99 bytes together, want one of 100")
	assert.Empty(t, r.stdout)
	remote.wait()
}

func TestPerfInterrupt(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	ep := sockettest.Unused(t)
	local := start(t, "perf", "local_thr", ep, "1", "10")
	push := start(t, "push", "-c", ep, "--count", "3", "x")
	require.Zero(t, push.wait().code) // so local is up
	local.signal(os.Interrupt)
	assert.Equal(t, 130, local.wait().code)
}
