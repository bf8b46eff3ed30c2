package socket_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGuarantees: each sentence of GUARANTEES.md, and each claim in its table, ends with tests that are there, or with the page that has more.
func TestGuarantees(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("GUARANTEES.md")
	require.NoError(t, err)
	present := slices.Concat(testsIn(t, "socket"), testsIn(t, "socket/internal/link"), testsIn(t, "socket/spool"), testsIn(t, "socket/spool/jetstream"), testsIn(t, "socket/spool/jetstream/servertest"))
	all := claims(string(page))
	assert.Greater(t, len(all), 90)
	shown := regexp.MustCompile(`\(((Test\w+(, )?)+|.*\.md\)?)\)$`)
	for _, claim := range all {
		assert.Regexp(t, shown, claim, "a claim without a test")
	}
	for _, test := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(page), -1) {
		assert.Contains(t, present, test)
	}
	assert.Less(t, strings.Count(string(page), "\n"), 120, "it is to be one page")
}

// TestGuarantees_Claims: what has no test is found, wherever it stands.
func TestGuarantees_Claims(t *testing.T) {
	t.Parallel()
	page := "# Title\n\nNot a claim.\n\n## Part\n\n| A | B |\n|---|---|\n| row | one (TestA); two |\n\n- *Label:* three\n  goes on (TestB). `Msg.Mark` four. Five.\n"
	assert.Equal(t, []string{"one (TestA)", "two", "*Label:* three goes on (TestB)", "`Msg.Mark` four", "Five"}, claims(page))
}

// claims returns the sentences of all parts but the first, and what the cells of tables say, a piece each; first rows and first columns say what that is about.
func claims(page string) (all []string) {
	_, page, _ = strings.Cut(page, "\n## ")
	page = regexp.MustCompile(`(?m)^## .*$`).ReplaceAllString("## "+page, "")
	ends := regexp.MustCompile("[.] [A-Z`]")
	for _, block := range regexp.MustCompile(`\n\n+|\n- `).Split(page, -1) {
		block = strings.TrimPrefix(strings.TrimSpace(block), "- ")
		if strings.HasPrefix(block, "|") {
			for _, row := range strings.Split(block, "\n")[2:] {
				for _, cell := range strings.Split(strings.Trim(row, "| "), " | ")[1:] {
					all = append(all, strings.Split(cell, ";")...)
				}
			}
			continue
		}
		text := strings.Join(strings.Fields(block), " ")
		for end := ends.FindStringIndex(text); end != nil; end = ends.FindStringIndex(text) {
			all, text = append(all, text[:end[0]]), text[end[1]-1:]
		}
		all = append(all, strings.TrimSuffix(text, "."))
	}
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return slices.DeleteFunc(all, func(claim string) bool { return claim == "" })
}
