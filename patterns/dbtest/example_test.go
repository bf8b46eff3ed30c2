//go:build unix

package dbtest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExampleOutboxCrash(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "outbox-crash")
	out, err := exec.CommandContext(within(t), "go", "build", "-o", program, "./outbox-crash").CombinedOutput()
	require.NoError(t, err, string(out))
	out, err = exec.CommandContext(within(t), program).CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Equal(t, []string{
		"shop: order 1 is committed",
		"shop: order 2 is rolled back",
		"shop: dies before it has told anybody",
		"worker: packs order 1",
	}, strings.Split(strings.TrimSpace(string(out)), "\n"))
}
