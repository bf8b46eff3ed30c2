// Perturb writes an overlay for go test, in which each statement of the packages given that locks, signals or waits may be held up before it: rarely for as long
// as a busy machine holds a thread up. Orders of events that hardly ever come about do then.
//
//	go run .ci/perturb/main.go OUT DIR...
package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// holdUp goes into each package. It sleeps without a word to the runtime, whose clock stands still in bubbles of testing/synctest.
const holdUp = `

import (
	"math/rand/v2"
	"runtime"
	"syscall"
	"time"
)

func perturb() {
	most := time.Duration(0)
	switch n := rand.Uint32N(1 << 14); {
	case n == 0:
		most = 120 * time.Millisecond
	case n < 16:
		most = 3 * time.Millisecond
	case n < 96:
		most = 100 * time.Microsecond
	case n < 1600:
		runtime.Gosched()
	}
	if most > 0 {
		t := syscall.NsecToTimespec(rand.Int64N(int64(most)))
		_ = syscall.Nanosleep(&t, nil)
	}
}
`

// calls are the methods before which something may come in between.
var calls = strings.Fields("Lock Unlock TryLock Load Store Swap CompareAndSwap Add Broadcast Signal Wait Reset Stop Read Write TryRead TryWrite Fill Interrupt SetReadDeadline Done Err kick wake wakeAll wakeLocked")

func main() {
	log.SetFlags(0)
	out, replace := os.Args[1], map[string]string{}
	for _, dir := range os.Args[2:] {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		check(err)
		name := ""
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			var text string
			name, text = rewrite(path)
			replace[path] = write(out, len(replace), text)
		}
		replace[filepath.Join(dir, "perturb_overlay.go")] = write(out, len(replace), "package "+name+holdUp)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	check(err)
	check(os.WriteFile(filepath.Join(out, "overlay.json"), overlay, 0o600))
}

func write(out string, number int, text string) (path string) {
	path = filepath.Join(out, strconv.Itoa(number)+".go")
	check(os.WriteFile(path, []byte(text), 0o600))
	return path
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// rewrite returns the name of a file's package, and its text with the calls.
func rewrite(path string) (name, text string) {
	source, err := os.ReadFile(path)
	check(err)
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, source, parser.ParseComments)
	check(err)
	var places []int
	ast.Inspect(file, func(n ast.Node) bool {
		for _, s := range statements(n) {
			if waits(s) {
				places = append(places, set.Position(s.Pos()).Offset)
			}
		}
		return true
	})
	slices.Sort(places)
	var b strings.Builder
	last := 0
	for _, place := range places {
		b.Write(source[last:place])
		b.WriteString("perturb(); ")
		last = place
	}
	b.Write(source[last:])
	return file.Name.Name, b.String()
}

func statements(n ast.Node) []ast.Stmt {
	switch n := n.(type) {
	case *ast.BlockStmt:
		return n.List
	case *ast.CaseClause:
		return n.Body
	case *ast.CommClause:
		return n.Body
	}
	return nil
}

// waits reports whether a statement, without the blocks in it, has something to do with other goroutines.
func waits(s ast.Stmt) (found bool) {
	switch s.(type) {
	case *ast.LabeledStmt, *ast.DeclStmt, *ast.CaseClause, *ast.CommClause:
		return false
	}
	ast.Inspect(s, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit, *ast.BlockStmt:
			return false
		case *ast.SendStmt, *ast.SelectStmt, *ast.GoStmt:
			found = true
		case *ast.UnaryExpr:
			found = found || n.Op == token.ARROW
		case *ast.CallExpr:
			switch called := n.Fun.(type) {
			case *ast.SelectorExpr:
				found = found || slices.Contains(calls, called.Sel.Name)
			case *ast.Ident:
				found = found || called.Name == "signal" || called.Name == "close"
			}
		}
		return true
	})
	return found
}
