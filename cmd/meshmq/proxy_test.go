package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startProxy starts a proxy with both sides bound.
func startProxy(t *testing.T, kind string, args ...string) (p *program, frontend, backend string) {
	t.Helper()
	p = start(t, append([]string{"proxy", "--type", kind, "--frontend", anyPort, "--backend", anyPort}, args...)...)
	return p, p.side("frontend"), p.side("backend")
}

// side returns what one side of a proxy listens on.
func (p *program) side(name string) string {
	p.t.Helper()
	return p.stderr.await(p.t, regexp.MustCompile(`(?m)^`+name+` listening (\S+)$`))[1]
}

func TestProxyQueue(t *testing.T) {
	t.Parallel()
	p, front, back := startProxy(t, "queue", "--capture", anyPort)
	capture := start(t, "sub", "-c", p.side("capture"), "--count", "2", "--json", "-v")
	capture.says("connected")
	start(t, "rep", "-c", back, "--reply", "answer") // one that leaves may take a question with it
	// The first copy goes before the subscription is known, perhaps: ask until there are two.
	for capturing := true; capturing; {
		select {
		case <-capture.done:
			capturing = false
		default:
			assert.Equal(t, "answer\n", ok(t, "req", "-c", front, "question"))
		}
	}
	got := capture.wait()
	assert.Zero(t, got.code, got.stderr)
	assert.Contains(t, got.stdout, `"answer"`)
}

// TestProxyForwarder: two of them in a row, the second connected to the first.
func TestProxyForwarder(t *testing.T) {
	t.Parallel()
	_, front, middle := startProxy(t, "forwarder")
	second := start(t, "proxy", "--type", "forwarder", "--connect-frontend", middle, "--backend", anyPort)
	sub := start(t, "sub", "-c", second.side("backend"), "--topic", "weather", "--count", "2")
	pub := start(t, "pub", "-c", front, "--topic", "weather.london", "--wait-subscribers", "1", "rain", "fog")
	assert.Equal(t, "weather.london\train\nweather.london\tfog\n", sub.wait().stdout)
	assert.Zero(t, pub.wait().code)
}

// TestProxyInterrupt: what has arrived is passed on, and summed up.
func TestProxyInterrupt(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	p, front, back := startProxy(t, "streamer", "--hwm", "10000")
	ok(t, "push", "-c", front, "--count", "5000", "x") // handed over when it ends
	pull := start(t, "pull", "-c", back, "--count", "5000")
	pull.prints("x")
	p.signal(os.Interrupt)
	r := p.wait()
	assert.Equal(t, 130, r.code, r.stderr)
	assert.Empty(t, r.stdout)
	assert.Regexp(t, `interrupted \(interrupt\): frontend 5000 in \(5000 bytes\), 0 out \(0 bytes\), backend 0 in \(0 bytes\), 5000 out \(5000 bytes\) in \S+\n$`, r.stderr)
	assert.Equal(t, strings.Repeat("x\n", 5000), pull.wait().stdout)
}

// TestProxyInterruptWithoutPeers: what nobody takes is said to be left.
func TestProxyInterruptWithoutPeers(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	for kind, sends := range map[string]string{"streamer": "push", "queue": "dealer"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p, front, _ := startProxy(t, kind, "--linger", "100ms")
			ok(t, sends, "-c", front, "1", "2", "3")
			p.signal(os.Interrupt)
			r := p.wait()
			assert.Equal(t, 130, r.code, r.stderr)
			assert.Contains(t, r.stderr, "; 3 arrived but not passed on")
		})
	}
}

func TestProxyPortInUse(t *testing.T) {
	t.Parallel()
	p, front, _ := startProxy(t, "queue")
	r := meshmq(t, "proxy", "--type", "queue", "--frontend", anyPort, "--backend", front)
	assert.Equal(t, 1, r.code, r.stderr)
	assert.Contains(t, r.stderr, front)
	require.NotNil(t, p)
}
