// Command meshmq makes peers of a mesh from a shell: it sends, receives, asks, answers, finds services,
// measures, and shows a small mesh at work. See meshmq --help.
//
// # How a verb runs
//
// Each verb has a file of its own. A socket verb checks all it was given before it does anything (what is
// wrong there ends with exit code 2), then runs in a session, which opens the socket, binds and connects it,
// ends its context at --timeout or an interrupt, and, when the verb is done, hands over what is still
// queued and turns what happened into an exit code.
//
//	flags, arguments, standard input --> input.go --> socket --> output.go --> standard output
//	                                                    |
//	                                                    +-- events.go --> standard error
//
// # Goroutines
//
//	who                 started by     ended by                     awaited by
//	signals             interrupts     return of run                run
//	lines               readLines      end of input                 nobody: a read of standard input
//	                                                                cannot be woken; the process ends
//	sending             converse       its context                  converse
//	those of sockets and registries    session.finish               session.finish
//	a monitor           watched.open   session.finish               session.finish
//	polling, serving    top, dash      the end of their context     the same, and look closes what they ask with
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the whole program: it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := interrupts()
	defer stop()
	return execute(ctx, args, stdin, stdout, stderr)
}

// execute is run with a context that stands for the interrupts.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil {
		// One line, whatever was wrapped into it.
		line := strings.Join(strings.Fields(err.Error()), " ")
		fmt.Fprintf(stderr, "%s: %s\n", cmd.CommandPath(), line)
	}
	return exitCode(err)
}
