package examples_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery/mdns"
)

// programs are built once, by TestMain, into this folder.
var programs string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "examples")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		programs = dir
		mains, err := filepath.Glob("*/main.go")
		if err != nil {
			panic(err)
		}
		args := []string{"build", "-o", dir + string(filepath.Separator)}
		for _, main := range mains {
			args = append(args, "./"+filepath.Dir(main))
		}
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			panic(string(out))
		}
		return m.Run()
	}())
}

// run runs an example and returns the lines it prints.
func run(t *testing.T, name string, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	cmd := exec.CommandContext(ctx, filepath.Join(programs, name), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	require.NoError(t, err, "%s\n%s%s", name, &out, &errs)
	assert.Empty(t, errs.String())
	return strings.Split(strings.TrimSpace(out.String()), "\n")
}

func TestPushPull(t *testing.T) {
	t.Parallel()
	lines := run(t, "push-pull")
	require.Len(t, lines, 8)
	assert.Regexp(t, `^desk: open at tcp://127\.0\.0\.1:\d+$`, lines[0])
	assert.Equal(t, "desk: closed", lines[7])
	anna, ben := with(lines, "anna: packed order "), with(lines, "ben: packed order ")
	assert.Len(t, anna, 3)
	assert.Len(t, ben, 3)
	assert.ElementsMatch(t, []string{"1", "2", "3", "4", "5", "6"}, append(anna, ben...))
}

// with returns what follows the prefix in the lines that have it.
func with(lines []string, prefix string) (rest []string) {
	for _, line := range lines {
		if s, ok := strings.CutPrefix(line, prefix); ok {
			rest = append(rest, s)
		}
	}
	return rest
}

func TestRequestReply(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{
		"customer: a tea, please", "service:  3.50",
		"customer: a coffee, please", "service:  4.20",
		"customer: a cocoa, please", "service:  we have none",
		"no peer: true - timeout: true",
	}, run(t, "request-reply"))
}

func TestPublishSubscribe(t *testing.T) {
	t.Parallel()
	lines := run(t, "publish-subscribe")
	assert.Equal(t, []string{"temperature.berlin is 12", "temperature.oslo is 4"}, with(lines, "thermometer: "))
	assert.Equal(t, []string{"wind.oslo is 12"}, with(lines, "sailor: "))
	assert.Len(t, with(lines, "archive: "), 4)
	assert.Equal(t, "station: 10 readings delivered, 0 dropped", lines[len(lines)-1])
}

func TestEmbedding(t *testing.T) {
	t.Parallel()
	lines := run(t, "embedding")
	assert.Equal(t, []string{"got invoice 1 for anna", "got invoice 2 for ben"}, with(lines, "customer: "))
	assert.Equal(t, []string{"a customer connected", "a customer disconnected", "served 2 requests, error: <nil>"}, with(lines, "billing: "))
}

func TestTypedPatterns(t *testing.T) {
	t.Parallel()
	lines := run(t, "typed-patterns")
	assert.Equal(t, []string{"ordered tea - number 1", "ordered coffee - number 2", "refused with code empty_order - say what you want"}, with(lines, "customer: "))
	assert.Equal(t, []string{
		"orders.tea.packed number 1 told by the worker",
		"orders.coffee.packed number 2 told by the worker",
	}, with(lines, "board: "))
	assert.Equal(t, "closed: 3 requests, 2 jobs, 2 events", lines[len(lines)-1])
}

func TestLANDiscovery(t *testing.T) {
	t.Parallel()
	lo := loopback(t)
	if err := mdns.Probe(t.Context(), lo); err != nil {
		require.Empty(t, os.Getenv("CI"), "multicast on loopback is wanted here: %v", err)
		t.Skip("no multicast on the loopback interface: ", err)
	}
	lines := run(t, "lan-discovery", "-iface", lo)
	require.Len(t, lines, 5)
	assert.Equal(t, "order-desk: found two workers", lines[0])
	anna, ben := with(lines, "anna: packed order "), with(lines, "ben: packed order ")
	assert.Len(t, anna, 2)
	assert.Len(t, ben, 2)
	assert.ElementsMatch(t, []string{"1", "2", "3", "4"}, append(anna, ben...))
}

// loopback returns the name of the loopback interface.
func loopback(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	require.NoError(t, err)
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			return i.Name
		}
	}
	t.Fatal("no loopback interface")
	return ""
}

func TestPythonPeer(t *testing.T) {
	t.Parallel()
	python := pyzmq(t)
	for _, args := range [][]string{{"-python", python}, nil} { // named, and found
		lines := run(t, "python-peer", args...)
		require.Len(t, lines, 5)
		answers := regexp.MustCompile(`^go: (.+)\?  python \(ZMTP 3\.[01]\): (.+)$`)
		for i, want := range [][2]string{{"tea", "3.50"}, {"coffee", "4.20"}, {"cocoa", "we have none"}, {"go home", "bye"}} {
			match := answers.FindStringSubmatch(lines[i])
			require.NotNil(t, match, lines[i])
			assert.Equal(t, want[:], match[1:])
		}
		assert.Equal(t, "python ended, error: <nil>", lines[4])
	}
}

// pyzmq returns a Python that has it. Where CI is true there must be one.
func pyzmq(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import zmq").Run() == nil {
			return python
		}
	}
	const reason = "neither /usr/bin/python3 nor python3 can import zmq: install python3-zmq"
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
	return ""
}

func TestExamplesAreShort(t *testing.T) {
	t.Parallel()
	mains, err := filepath.Glob("*/main.go")
	require.NoError(t, err)
	tests, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	var tested strings.Builder
	for _, path := range tests {
		source, err := os.ReadFile(path)
		require.NoError(t, err)
		tested.Write(source)
	}
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	for _, path := range mains {
		source, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Contains(t, tested.String(), strconv.Quote(filepath.Base(filepath.Dir(path))), "each is run by a test here")
		assert.Contains(t, string(readme), "`"+filepath.Base(filepath.Dir(path))+"` ", "README.md says what it is about")
		assert.LessOrEqual(t, bytes.Count(source, []byte("\n")), 85, path)
		assert.Contains(t, string(source), "go run ./examples/"+filepath.Base(filepath.Dir(path)), "%s says how it is run", path)
	}
}
