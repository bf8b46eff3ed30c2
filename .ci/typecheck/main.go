// Command typecheck reports what the compiler would say of the packages it is given, tests included, on other systems than this one: `go run .ci/typecheck/main.go darwin windows`.
// It only checks, and of what they depend on only declarations, so that it takes a tenth of the time that compiling takes which nobody runs.
package main

import (
	"fmt"
	"os"

	"golang.org/x/tools/go/packages"
)

func main() {
	failed := false
	for _, system := range os.Args[1:] {
		loaded, err := packages.Load(&packages.Config{
			Mode:  packages.NeedName | packages.NeedImports | packages.NeedDeps | packages.NeedCompiledGoFiles | packages.NeedTypes | packages.NeedTypesSizes | packages.NeedSyntax,
			Env:   append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0"),
			Tests: true,
		}, "./...")
		if err == nil && len(loaded) == 0 {
			err = fmt.Errorf("no packages")
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "typecheck: %s: %v\n", system, err)
			os.Exit(1)
		}
		failed = packages.PrintErrors(loaded) > 0 || failed
	}
	if failed {
		os.Exit(1)
	}
}
