package meshmq

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	fuzzFunc = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	fuzzRow  = regexp.MustCompile("(?m)^\\| [^|]+ \\| `([^`|]+)` (Fuzz\\w+) \\| [0-9,]+ \\|$")
)

// The table of SECURITY.md says of each fuzz target how many inputs found nothing, and each has some of them in testdata/fuzz.
func TestFuzzTargets(t *testing.T) {
	t.Parallel()
	var targets, rows []string
	require.NoError(t, filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range fuzzFunc.FindAllSubmatch(b, -1) {
			folder := filepath.Dir(path)
			targets = append(targets, filepath.ToSlash(folder)+" "+string(m[1]))
			inputs, _ := os.ReadDir(filepath.Join(folder, "testdata", "fuzz", string(m[1])))
			assert.NotEmpty(t, inputs, "%s %s has no inputs", folder, m[1])
		}
		return err
	}))
	page, err := os.ReadFile("SECURITY.md")
	require.NoError(t, err)
	for _, m := range fuzzRow.FindAllSubmatch(page, -1) {
		rows = append(rows, string(m[1])+" "+string(m[2]))
	}
	slices.Sort(targets)
	slices.Sort(rows)
	assert.Equal(t, targets, rows)
}
