package zmq4_test

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"maps"
	"os/exec"
	"path/filepath"
	str "strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// leftOut are the names of go-zeromq that this package does not have, and why.
var leftOut = map[string]string{
	"Open":              "connections are made by sockets alone",
	"RegisterTransport": "transports are those of package transport",
}

// TestNames: every exported name of go-zeromq is here, so that a program compiles after the change of its import.
func TestNames(t *testing.T) {
	t.Parallel()
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/go-zeromq/zmq4").Output()
	require.NoError(t, err)
	theirs, ours := exported(t, str.TrimSpace(string(dir))), exported(t, ".")
	require.Contains(t, theirs, "NewPush")
	for name := range theirs {
		if _, known := leftOut[name]; known {
			assert.NotContains(t, ours, name)
			continue
		}
		assert.Contains(t, ours, name)
	}
	for name := range ours {
		assert.Contains(t, theirs, name, "nothing is added: a program could not go back")
	}
}

// exported returns the exported names of the package in a folder.
func exported(t *testing.T, dir string) map[string]struct{} {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	names := map[string]struct{}{}
	for _, file := range files {
		built, err := build.Default.MatchFile(dir, filepath.Base(file))
		require.NoError(t, err)
		if !built || str.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		for _, decl := range f.Decls {
			maps.Copy(names, declared(decl))
		}
	}
	return names
}

func declared(decl ast.Decl) map[string]struct{} {
	names := map[string]struct{}{}
	add := func(ids ...*ast.Ident) {
		for _, id := range ids {
			if id.IsExported() {
				names[id.Name] = struct{}{}
			}
		}
	}
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			add(d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				add(s.Name)
			case *ast.ValueSpec:
				add(s.Names...)
			}
		}
	}
	return names
}
