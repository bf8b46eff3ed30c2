package sockettest

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// run stands in for a testing.M.
type run func() int

func (r run) Run() int { return r() }

// These tests are not parallel: the goroutines of others would be taken for leaks.

func TestLeakCheckPasses(t *testing.T) {
	stay := make(chan struct{})
	defer close(stay)
	go func() { <-stay }() // was there before, so it is not the run's
	var out bytes.Buffer
	code := leakCheck(run(func() int {
		// Ends a moment after the tests, which is in time.
		go func() { <-time.After(20 * time.Millisecond) }()
		return 0
	}), Timeout, &out)
	assert.Zero(t, code)
	assert.Empty(t, out.String())
}

func TestLeakCheckFindsALeak(t *testing.T) {
	stay := make(chan struct{})
	defer close(stay)
	var out bytes.Buffer
	code := leakCheck(run(func() int {
		go leakedOnPurpose(stay)
		return 0
	}), time.Millisecond, &out)
	assert.Equal(t, 1, code)
	assert.Contains(t, out.String(), "goroutines left after the tests: 1\n")
	assert.Contains(t, out.String(), "leakedOnPurpose")
}

func leakedOnPurpose(stay <-chan struct{}) { <-stay }

func TestLeakCheckKeepsTheExitCode(t *testing.T) {
	stay := make(chan struct{})
	defer close(stay)
	var out bytes.Buffer
	code := leakCheck(run(func() int {
		go leakedOnPurpose(stay)
		return 2
	}), Timeout, &out)
	assert.Equal(t, 2, code, "failed tests speak for themselves")
	assert.Empty(t, out.String())
}
