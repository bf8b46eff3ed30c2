package meshmq

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/meshmq/meshmq"

// layers lists the top-level folders and which others each may import. Imports go down only.
var layers = map[string][]string{
	"transport": {},
	"codec":     {},
	"discovery": {},
	"socket":    {"transport"},
	"patterns":  {"socket", "transport", "codec"},
	"examples":  {"patterns", "socket", "transport", "codec", "discovery"},
	"cmd":       {"patterns", "socket", "transport", "codec", "discovery", "examples"},
}

var ofSocket = []string{"golang.org/x/crypto", "golang.org/x/net", "golang.org/x/sys", "github.com/gobwas/ws", "github.com/gobwas/httphead"}

var ofPatterns = append([]string{"github.com/vmihailenco/msgpack/v5", "github.com/vmihailenco/tagparser/v2"}, ofSocket...)

// dependencies lists, by folder, the modules that what users import may bring along. A folder without
// an entry of its own goes by the one it lies in; the kits for tests (...test) may use what they like.
var dependencies = map[string][]string{
	"transport":      {"golang.org/x/crypto", "golang.org/x/net", "golang.org/x/sys", "github.com/gobwas/ws", "github.com/gobwas/httphead"},
	"codec":          {"github.com/vmihailenco/msgpack/v5", "github.com/vmihailenco/tagparser/v2"},
	"discovery":      {},
	"discovery/dns":  {"github.com/miekg/dns", "golang.org/x/net", "golang.org/x/sys"},
	"discovery/mdns": {"github.com/hashicorp/mdns", "github.com/miekg/dns", "golang.org/x/net", "golang.org/x/sys"},
	"socket":         ofSocket,
	// The client of NATS; nobody else has it. Its server is in a module of its own, with the tests.
	"socket/spool/jetstream": append([]string{
		"github.com/nats-io/nats.go", "github.com/nats-io/nkeys", "github.com/nats-io/nuid", "github.com/klauspost/compress", "golang.org/x/text",
	}, ofSocket...),
	"patterns": ofPatterns,
	// The circuit breaker.
	"patterns/middleware": append([]string{"github.com/sony/gobreaker/v2"}, ofPatterns...),
	"patterns/reqrep":     append([]string{"github.com/sony/gobreaker/v2"}, ofPatterns...),
	"patterns/exchange":   append([]string{"github.com/sony/gobreaker/v2"}, ofPatterns...), // it routes to reqrep, too
	"patterns/monitor":    append([]string{"github.com/sony/gobreaker/v2"}, ofPatterns...), // it is a service of reqrep
	// The API of OpenTelemetry, with what it logs by. Nobody else has it; its SDK is for tests and examples.
	"patterns/tracing": append([]string{
		"go.opentelemetry.io/otel", "go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel/metric", "go.opentelemetry.io/otel/log", "go.opentelemetry.io/auto/sdk",
		"github.com/go-logr/logr", "github.com/go-logr/stdr", "github.com/cespare/xxhash/v2",
	}, ofPatterns...),
	// The client of Prometheus, likewise.
	"patterns/metrics": append([]string{
		"github.com/prometheus/client_golang", "github.com/prometheus/client_model", "github.com/prometheus/common", "github.com/prometheus/procfs",
		"github.com/beorn7/perks", "github.com/cespare/xxhash/v2", "github.com/munnerz/goautoneg", "google.golang.org/protobuf",
	}, ofPatterns...),
	// The vocabulary of go-zeromq, and what its package imports.
	"socket/zmq4compat": append([]string{"github.com/go-zeromq/zmq4", "golang.org/x/sync", "golang.org/x/text"}, ofSocket...),
}

// pure lists packages and the standard packages that would end their purity: connections, goroutines
// that wait for each other. (time has Duration, a mere value; the clock is looked for in review.)
var pure = map[string][]string{
	"transport/zmtp":        {"context", "net", "os", "sync"},
	"socket/internal/route": {"context", "net", "os", "sync", "time"},
	"socket/internal/ack":   {"context", "net", "os", "sync", "time"},
}

// listed is what `go list` says of one package, tests excluded.
type listed struct {
	ImportPath string
	Standard   bool
	Module     *struct{ Path string }
	Imports    []string
	Deps       []string
	CgoFiles   []string
}

func listPackages(t *testing.T) map[string]listed {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Module,Imports,Deps,CgoFiles", "./...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	packages := make(map[string]listed)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages[p.ImportPath] = p
	}
}

// within returns the path of a package inside this module, and whether it is one.
func within(importPath string) (string, bool) {
	if importPath == modulePath {
		return "", true
	}
	return strings.CutPrefix(importPath, modulePath+"/")
}

func topFolder(path string) string {
	top, _, _ := strings.Cut(path, "/")
	return top
}

func TestImportsGoDownOnly(t *testing.T) {
	t.Parallel()
	packages := listPackages(t)
	for _, p := range packages {
		path, ours := within(p.ImportPath)
		if !ours || path == "" {
			continue
		}
		folder := topFolder(path)
		below, known := layers[folder]
		assert.True(t, known, "%s: the top-level folders are fixed", path)
		for _, imported := range p.Imports {
			target, ours := within(imported)
			if ours && topFolder(target) != folder {
				assert.Contains(t, below, topFolder(target), "%s imports %s", path, target)
			}
		}
	}
	assert.NotEmpty(t, packages[modulePath+"/socket"].Imports, "go list saw no imports of socket")
}

func TestDependenciesStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	packages := listPackages(t)
	for _, p := range packages {
		path, ours := within(p.ImportPath)
		if !ours {
			continue
		}
		assert.Empty(t, p.CgoFiles, "%s uses cgo", path)
		allowed, limited := allowedModules(path)
		if !limited || strings.HasSuffix(path, "test") {
			continue
		}
		for _, dep := range p.Deps {
			if m := packages[dep].Module; m != nil && m.Path != modulePath {
				assert.Contains(t, allowed, m.Path, "%s depends on %s", path, dep)
			}
		}
	}
}

// allowedModules returns the entry of dependencies for the nearest folder around path.
func allowedModules(path string) (modules []string, limited bool) {
	for path != "" {
		if modules, limited = dependencies[path]; limited {
			return modules, true
		}
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
	}
	return nil, false
}

func TestPurePackagesStayPure(t *testing.T) {
	t.Parallel()
	packages := listPackages(t)
	for path, banned := range pure {
		p, there := packages[modulePath+"/"+path]
		require.True(t, there, path)
		for _, imported := range p.Imports {
			assert.False(t, slices.Contains(banned, imported), "%s imports %s", path, imported)
		}
	}
	for _, imported := range packages[modulePath+"/socket/internal/route"].Imports {
		_, ours := within(imported)
		assert.False(t, ours, "the routing parts import nothing of ours, but %s", imported)
	}
}
