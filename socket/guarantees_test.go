package socket_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGuarantees: each test that GUARANTEES.md names is there, and each of its sentences names one or another page.
func TestGuarantees(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("GUARANTEES.md")
	require.NoError(t, err)
	there := make(map[string]bool)
	for _, dir := range []string{".", "spool"} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		require.NoError(t, err)
		for _, file := range files {
			code, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, match := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(code, -1) {
				there[string(match[1])] = true
			}
		}
	}
	names := regexp.MustCompile(`\bTest[A-Z]\w+`)
	assert.Greater(t, len(names.FindAll(page, -1)), 40)
	for _, name := range names.FindAll(page, -1) {
		assert.True(t, there[string(name)], "%s is not there", name)
	}
	for _, claim := range regexp.MustCompile(`(?m)^- .*`).FindAllString(string(page), -1) {
		assert.Regexp(t, `\bTest[A-Z]|\.md`, claim, "a claim without a test")
	}
}
