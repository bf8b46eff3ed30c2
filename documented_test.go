package meshmq

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// source is what the files of one folder declare.
type source struct {
	exported []ast.Decl
	pkg      string
	examples map[string]bool // by what they are of
}

// sources reads the packages below a folder that users import.
func sources(t *testing.T, root string) map[string]*source {
	t.Helper()
	found := map[string]*source{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (d.Name() == "testdata" || d.Name() == "internal" || strings.HasPrefix(d.Name(), "_") || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		dir := filepath.Dir(path)
		if found[dir] == nil {
			found[dir] = &source{examples: map[string]bool{}}
		}
		return found[dir].read(path)
	})
	require.NoError(t, err)
	return found
}

func (s *source) read(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	test := strings.HasSuffix(path, "_test.go")
	for _, decl := range file.Decls {
		f, isFunc := decl.(*ast.FuncDecl)
		switch {
		case !test:
			s.pkg = file.Name.Name
			s.exported = append(s.exported, decl)
		case isFunc && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Example"):
			of, _, _ := strings.Cut(strings.TrimPrefix(f.Name.Name, "Example"), "_")
			s.examples[of] = true
		}
	}
	return nil
}

// constructs reports whether a function is one by which users get what they work with: its first result is a pointer to a type of its package, or its name says so.
func constructs(f *ast.FuncDecl) bool {
	if f.Recv != nil || !f.Name.IsExported() || f.Type.Results == nil {
		return false
	}
	if strings.HasPrefix(f.Name.Name, "New") || strings.HasPrefix(f.Name.Name, "Open") {
		return true
	}
	to, ok := f.Type.Results.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	name := to.X
	if index, ok := name.(*ast.IndexExpr); ok { // of type parameters
		name = index.X
	}
	local, ok := name.(*ast.Ident)
	return ok && local.IsExported()
}

func TestPatternsShowEachConstructor(t *testing.T) {
	t.Parallel()
	constructors := 0
	for dir, s := range sources(t, "patterns") {
		for _, decl := range s.exported {
			if f, ok := decl.(*ast.FuncDecl); ok && constructs(f) {
				constructors++
				assert.True(t, s.examples[f.Name.Name], "%s: want an Example%s", dir, f.Name.Name)
			}
		}
	}
	assert.Greater(t, constructors, 15)
}

func TestExportedNamesAreDocumented(t *testing.T) {
	t.Parallel()
	names := 0
	for _, root := range []string{"codec", "discovery", "patterns", "socket", "transport"} {
		for dir, s := range sources(t, root) {
			for _, decl := range s.exported {
				names += documented(t, dir, decl)
			}
		}
	}
	assert.Greater(t, names, 500)
}

// documented checks one declaration, and returns how many exported names it has.
func documented(t *testing.T, dir string, decl ast.Decl) (names int) {
	t.Helper()
	check := func(id *ast.Ident, docs ...*ast.CommentGroup) {
		if !id.IsExported() {
			return
		}
		names++
		said := false
		for _, doc := range docs {
			said = said || strings.TrimSpace(doc.Text()) != ""
		}
		assert.True(t, said, "%s: %s has no comment", dir, id.Name)
	}
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if decl.Recv == nil || exportedType(decl.Recv.List[0].Type) {
			check(decl.Name, decl.Doc)
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				check(spec.Name, decl.Doc, spec.Doc, spec.Comment)
			case *ast.ValueSpec:
				for _, id := range spec.Names {
					check(id, decl.Doc, spec.Doc, spec.Comment)
				}
			}
		}
	}
	return names
}

// exportedType reports whether the receiver of a method is one that users see.
func exportedType(e ast.Expr) bool {
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}
