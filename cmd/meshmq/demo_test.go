package main

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var totals = regexp.MustCompile(`│ total +│ +(\d+) │ +(\d+) │ +(\d+) │ +(\d+) │ +(\d+) │ +(\d+) │`)

// TestDemo runs the whole business, with mDNS where possible, and with the directory.
func TestDemo(t *testing.T) {
	for name, args := range map[string][]string{
		"default":   {"demo"},
		"directory": {"demo", "--registry", "dir:" + t.TempDir()},
	} {
		t.Run(name, func(t *testing.T) {
			r := meshmq(t, args...)
			require.Zero(t, r.code, r.stderr)
			found := totals.FindStringSubmatch(r.stdout)
			require.NotNil(t, found, r.stdout)
			for i := 1; i < len(found); i += 2 {
				assert.Equal(t, found[i], found[i+1])
				n, err := strconv.Atoi(found[i])
				require.NoError(t, err)
				assert.Positive(t, n)
			}
			assert.Regexp(t, `│ lost +│ +│ +0 │ +│ +0 │ +│ +0 │`, r.stdout)
			assert.Contains(t, r.stdout, "p99.9")
			assert.NotContains(t, r.stdout, "half-way")
			assert.Contains(t, r.stderr, "half-way: worker-a leaves")
		})
	}
}

// TestDemoInterrupt: 130, and no process is left, since each holds standard error open.
func TestDemoInterrupt(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	demo := start(t, "demo", "--registry", "dir:"+t.TempDir())
	demo.says("orders flow")
	demo.signal(os.Interrupt)
	r := demo.wait()
	assert.Equal(t, 130, r.code, r.stderr)
	assert.Empty(t, r.stdout)
}

// TestDemoOrphans: a process of the demo ends when its parent is gone, however that went.
func TestDemoOrphans(t *testing.T) {
	t.Parallel()
	registry := "dir:" + t.TempDir()
	for _, role := range []string{"auditor", "price", "worker", "desk"} {
		peer := start(t, "demo-peer", role, "--name", role, "--run", "test", "--registry", registry)
		if role == "auditor" || role == "price" {
			peer.prints("ready")
		}
		require.NoError(t, peer.stdin.Close())
		assert.Contains(t, peer.wait().stdout, `"error":"`, role)
	}
}

func TestDemoUnknownRole(t *testing.T) {
	t.Parallel()
	r := meshmq(t, "demo-peer", "clown", "--run", "test", "--registry", "dir:"+t.TempDir())
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, `unknown role "clown"`)
}
