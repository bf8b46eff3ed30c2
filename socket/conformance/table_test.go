package conformance

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write CONFORMANCE.md")

const tablePath = "../../CONFORMANCE.md"

// CONFORMANCE.md says what the tests of this package say, and every test of this package is in it.
func TestTable(t *testing.T) {
	t.Parallel()
	all, problems := collect(t)
	require.Empty(t, problems)
	require.Empty(t, missing(all))
	want := render(all)
	if *update {
		require.NoError(t, os.WriteFile(tablePath, want, 0o644))
		return
	}
	have, err := os.ReadFile(tablePath)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, have), "CONFORMANCE.md is out of date; run: go test ./socket/conformance -run TestTable -update")
}

// requirement is one line of the table.
type requirement struct {
	source string // "RFC" or "Behaviour"
	number int
	part   string // the socket type or topic, empty if the sentence is of the whole
	text   string

	test, file string // what proves it
	offset     int    // of the test in the file
	line       int    // of the sentence among those of the test, or in notapplicable.txt
	transports string
	differs    string // why, if we do otherwise
	without    string // why nothing proves it
}

const (
	passes        = "passes"
	differs       = "differs on purpose"
	notApplicable = "not applicable"
)

func (r requirement) verdict() string {
	switch {
	case r.without != "":
		return notApplicable
	case r.differs != "":
		return differs
	}
	return passes
}

var (
	requirementLine = regexp.MustCompile(`^(RFC|Behaviour) (\d+)(?:, ([^:]+))?: (.+)$`)
	testName        = regexp.MustCompile(`^Test(RFC|Behaviour)(\d+)_\w+$`)
)

// collect returns what the tests prove and what notapplicable.txt excuses, and what is wrong with either.
func collect(t *testing.T) (all []requirement, problems []string) {
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	functions := map[string]*ast.FuncDecl{}
	fset := token.NewFileSet()
	for _, file := range files {
		tree, err := parser.ParseFile(fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
				functions[fn.Name.Name] = fn
			}
		}
	}
	for name, fn := range functions {
		if !strings.HasPrefix(name, "Test") || name == "TestMain" || name == "TestTable" {
			continue
		}
		proven, err := parseTest(name, fn.Doc.Text())
		if err != nil {
			problems = append(problems, err.Error())
		}
		for i := range proven {
			proven[i].line = i
			at := fset.Position(fn.Pos())
			proven[i].file, proven[i].offset = at.Filename, at.Offset
			proven[i].transports = transportsOf(functions, name)
		}
		all = append(all, proven...)
	}
	excused, wrong := readNotApplicable(t)
	all, problems = append(all, excused...), append(problems, wrong...)
	slices.SortFunc(all, compare)
	slices.Sort(problems)
	return all, problems
}

// sentences is how many lines of each RFC say MUST or SHALL, what they say of the words themselves aside.
var sentences = map[int]int{23: 40, 27: 39, 28: 41, 29: 44, 30: 17, 31: 10, 37: 48, 41: 31, 45: 2, 48: 27, 49: 22, 51: 18, 52: 14}

// behaviours is how many behaviours of libzmq's tests are known, by number.
const behaviours = 95

// missing returns what nobody has tested or excused.
func missing(all []requirement) (problems []string) {
	have := map[string]int{}
	for _, r := range all {
		have[fmt.Sprint(r.source, " ", r.number)]++
	}
	for n := range behaviours {
		if name := fmt.Sprint("Behaviour ", n+1); have[name] == 0 {
			problems = append(problems, name+" has no test")
		}
	}
	for rfc, want := range sentences {
		if name := fmt.Sprint("RFC ", rfc); have[name] < want {
			problems = append(problems, fmt.Sprintf("%s has %d requirements, want one for each of its %d sentences", name, have[name], want))
		}
	}
	return problems
}

func compare(a, b requirement) int {
	return cmp.Or(-cmp.Compare(a.source, b.source), cmp.Compare(a.number, b.number), cmp.Compare(a.part, b.part),
		cmp.Compare(a.without, b.without), cmp.Compare(a.file, b.file), cmp.Compare(a.offset, b.offset), cmp.Compare(a.line, b.line))
}

// parseTest returns what a test proves, by its comment: a paragraph of requirements, and perhaps one that says why we differ.
func parseTest(name, doc string) (proven []requirement, err error) {
	parts := testName.FindStringSubmatch(name)
	if parts == nil {
		return nil, fmt.Errorf("%s: want a name such as TestRFC28_REQ_RoundRobin or TestBehaviour18_RouterMandatory", name)
	}
	paragraphs := strings.Split(strings.TrimSpace(doc), "\n\n")
	for _, line := range strings.Split(paragraphs[0], "\n") {
		if found := requirementLine.FindStringSubmatch(line); found != nil {
			number, _ := strconv.Atoi(found[2])
			proven = append(proven, requirement{source: found[1], number: number, part: found[3], text: found[4], test: name})
		} else if len(proven) > 0 {
			proven[len(proven)-1].text += " " + line
		} else {
			return nil, fmt.Errorf("%s: want a comment that begins like %q", name, "RFC 28, REQ: SHALL ...")
		}
	}
	number, _ := strconv.Atoi(parts[2])
	named := func(r requirement) bool { return r.source == parts[1] && r.number == number }
	if !slices.ContainsFunc(proven, named) {
		return nil, fmt.Errorf("%s: its comment has no line on %s %s", name, parts[1], parts[2])
	}
	for _, paragraph := range paragraphs[1:] {
		if why, ok := strings.CutPrefix(paragraph, "Differs: "); ok {
			for i := range proven {
				proven[i].differs = strings.ReplaceAll(why, "\n", " ")
			}
		}
	}
	return proven, nil
}

// transportsOf tells which transports a test runs over, by what it and the functions it calls say.
func transportsOf(functions map[string]*ast.FuncDecl, test string) string {
	said := map[string]bool{} // identifiers, and the transports in strings
	var look func(name string)
	look = func(name string) {
		fn := functions[name]
		if said[name] || fn == nil || fn.Body == nil || slices.Contains(kit, name) {
			said[name] = true
			return
		}
		said[name] = true
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				look(n.Name)
			case *ast.BasicLit:
				for _, transport := range transports {
					said[transport] = said[transport] || n.Value == strconv.Quote(transport) || strings.Contains(n.Value, transport+"://")
				}
			}
			return true
		})
	}
	look(test)
	switch {
	case said["eachTransport"]:
		return "tcp, inproc"
	case said["Listen"] || said["Unused"]: // of sockettest
		said["tcp"] = true
	}
	said["tcp"] = said["tcp"] && !said["ws"] && !said["wss"] // which are over TCP
	return strings.Join(slices.DeleteFunc(slices.Clone(transports), func(s string) bool { return !said[s] }), ", ")
}

var transports = []string{"tcp", "ipc", "inproc", "ws", "wss"}

// kit lists functions that mention transports without using them.
var kit = []string{"eachTransport", "fresh", "unbound"}

func readNotApplicable(t *testing.T) (excused []requirement, problems []string) {
	text, err := os.ReadFile("notapplicable.txt")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, " | ")
		if len(fields) != 3 {
			problems = append(problems, fmt.Sprintf("notapplicable.txt: %q: want where | sentence | why", line))
			continue
		}
		found := requirementLine.FindStringSubmatch(fields[0] + ": " + fields[1])
		if found == nil || strings.TrimSpace(fields[2]) == "" {
			problems = append(problems, fmt.Sprintf("notapplicable.txt: %q: want it to begin like %q, and a reason", line, "RFC 37, PAIR | "))
			continue
		}
		number, _ := strconv.Atoi(found[2])
		excused = append(excused, requirement{source: found[1], number: number, part: found[3], text: found[4], without: fields[2], line: len(excused)})
	}
	return excused, problems
}

const introduction = `# Conformance

What the ZeroMQ RFCs demand (their sentences with MUST or SHALL, in our words) and what users know from libzmq (its tests, as
numbered behaviours), each with the test that proves it. The tests are in [socket/conformance](socket/conformance) and look at sockets from
outside: through the public API, and through the bytes on the wire.

    go test ./socket/conformance

Continuous integration runs every test that is named here, so *passes* is true as long as it is green. *Differs on purpose* means that we do
otherwise, and the test shows what; *not applicable* means that there is nothing to test, for the reason given. This file is made from the comments of the
tests, by ` + "`go test ./socket/conformance -run TestTable -update`" + `; the same test fails when it is not up to date.

`

// titles are the names of the RFCs.
var titles = map[int]string{
	23: "ZMTP 3.0", 24: "PLAIN", 26: "CURVE", 27: "ZAP", 28: "REQ, REP, DEALER, ROUTER", 29: "PUB, SUB, XPUB, XSUB", 30: "PUSH, PULL", 31: "PAIR", 37: "ZMTP 3.1",
	41: "CLIENT, SERVER", 45: "ZWS 2.0", 48: "RADIO, DISH", 49: "SCATTER, GATHER", 51: "PEER", 52: "CHANNEL",
}

// render writes the table.
func render(all []requirement) []byte {
	var b bytes.Buffer
	b.WriteString(introduction)
	writeTotals(&b, all)
	last := ""
	for _, r := range all {
		title := "Behaviours of libzmq's tests"
		if r.source == "RFC" {
			title = fmt.Sprintf("RFC %d: %s", r.number, titles[r.number])
		}
		if title != last {
			fmt.Fprintf(&b, "\n## %s\n\n| | requirement | verdict | test | over |\n|---|---|---|---|---|\n", title)
			last = title
		}
		writeRow(&b, r)
	}
	return b.Bytes()
}

func writeTotals(b *bytes.Buffer, all []requirement) {
	type key struct{ source, verdict string }
	totals := map[key]int{}
	for _, r := range all {
		totals[key{r.source, r.verdict()}]++
	}
	fmt.Fprintf(b, "| | %s | %s | %s |\n|---|---|---|---|\n", passes, differs, notApplicable)
	for _, source := range []string{"RFC", "Behaviour"} {
		name := map[string]string{"RFC": "sentences of RFCs", "Behaviour": "behaviours"}[source]
		fmt.Fprintf(b, "| %s | %d | %d | %d |\n", name, totals[key{source, passes}], totals[key{source, differs}], totals[key{source, notApplicable}])
	}
}

func writeRow(b *bytes.Buffer, r requirement) {
	where, verdict, test := r.part, r.verdict(), ""
	if r.source == "Behaviour" {
		where = strconv.Itoa(r.number)
	}
	if why := r.differs + r.without; why != "" {
		verdict += ": " + why
	}
	if r.test != "" {
		test = fmt.Sprintf("[%s](socket/conformance/%s)", r.test, r.file)
	}
	cells := []string{where, r.text, verdict, test, r.transports}
	for i := range cells {
		cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
	}
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}
