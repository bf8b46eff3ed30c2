package spool_test

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

// TestFaultPlan: each test that FAULTS.md names is there, in this package, in the sockets', in that of their links or in that with servers, and each of its rows is either tested or says why not.
func TestFaultPlan(t *testing.T) {
	t.Parallel()
	plan, err := os.ReadFile("FAULTS.md")
	require.NoError(t, err)
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	above, err := filepath.Glob("../*_test.go")
	require.NoError(t, err)
	servers, err := filepath.Glob("jetstream/servertest/*_test.go")
	require.NoError(t, err)
	links, err := filepath.Glob("../internal/link/*_test.go")
	require.NoError(t, err)
	files = slices.Concat(files, above, servers, links)
	there := make(map[string]bool)
	for _, file := range files {
		code, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, match := range regexp.MustCompile(`(?m)^func (\w+)\(`).FindAllSubmatch(code, -1) {
			there[string(match[1])] = true
		}
	}
	named := regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`).FindAll(plan, -1)
	assert.Greater(t, len(named), 50)
	for _, name := range named {
		assert.True(t, there[string(name)], "%s is not there", name)
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (.+) \| (.+) \|$`).FindAllSubmatch(plan, -1)
	assert.Equal(t, 46, len(rows))
	for i, row := range rows {
		assert.Equal(t, strconv.Itoa(i+1), string(row[1]))
		assert.Regexp(t, `\bTest[A-Z]|^not here: |patterns`, string(row[3]), "row %d", i+1)
	}
}
