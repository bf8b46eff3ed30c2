package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var totals = regexp.MustCompile(`│ total +│ +(\d+) │ +(\d+) │ +(\d+) │ +(\d+) │ +(\d+) │ +(\d+) │`)

var parcels = regexp.MustCompile(`│ different parcels +│ +8000 │ +│ +│ +8000 │ +│\n│ lost +│ +│ +│ +│ +0 │`)

// tempFolder has the programs under test make their temporary files in a folder of their own.
func tempFolder(t *testing.T) (dir string) {
	dir = t.TempDir()
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} { // Unix, Windows
		t.Setenv(name, dir)
	}
	return dir
}

// TestDemo runs the whole business, with mDNS where possible, and with the directory.
func TestDemo(t *testing.T) {
	for name, args := range map[string][]string{
		"default":   {"demo"},
		"directory": {"demo", "--registry", "dir:" + t.TempDir()},
	} {
		t.Run(name, func(t *testing.T) {
			temp := tempFolder(t)
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
			assert.Regexp(t, parcels, r.stdout)
			assert.Contains(t, r.stderr, "killed with SIGKILL, 4000 parcels into its work")
			assert.Empty(t, files(t, temp), "left behind")
		})
	}
}

// TestDemoInterrupt: 130, and no process is left, since each holds standard error open, and no file.
func TestDemoInterrupt(t *testing.T) {
	skipWithoutSignals(t)
	temp := tempFolder(t)
	demo := start(t, "demo", "--registry", "dir:"+t.TempDir())
	demo.says("orders flow")
	demo.signal(os.Interrupt)
	r := demo.wait()
	assert.Equal(t, 130, r.code, r.stderr)
	assert.Empty(t, r.stdout)
	assert.Empty(t, files(t, temp), "left behind")
}

func files(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	return entries
}

// TestDemoOrphans: a process of the demo ends when its parent is gone, however that went.
func TestDemoOrphans(t *testing.T) {
	t.Parallel()
	registry := "dir:" + t.TempDir()
	for _, role := range []string{"auditor", "price", "worker", "desk", "packer", "shipper", "carrier"} {
		peer := start(t, "demo-peer", role, "--name", role, "--run", "test", "--registry", registry, "--spool", filepath.Join(t.TempDir(), "spool"))
		if slices.Contains([]string{"auditor", "price", "packer", "carrier"}, role) { // the others wait for each other
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
