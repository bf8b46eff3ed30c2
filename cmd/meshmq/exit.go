package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// The exit codes. Programs rely on them; exitHelp tells people.
const (
	exitOK        = 0
	exitError     = 1
	exitUsage     = 2
	exitTimeout   = 3
	exitNoPeer    = 4
	exitRemote    = 5
	exitCheck     = 6
	exitInterrupt = 128 + 2 // as shells report a program that SIGINT ended
)

const exitHelp = `Exit codes:
  0    done
  1    error: a port in use, a peer that went away before it answered, lost messages
  2    usage: unknown verb or flag, malformed endpoint, unknown scheme, wrong number of arguments
  3    --timeout struck first (or --wait, before --count messages had come)
  4    the same, and no peer was ever connected
  5    the other side reports that it failed
  6    a check failed: numbers that do not add up, messages of the wrong size, a damaged spool, what doctor FAILs
  130  interrupted: what was queued was handed over, a summary printed; a second interrupt ends at once`

// failure is an error that knows the exit code it stands for.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// fail returns a failure in words.
func fail(code int, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}

// usage returns a failure of the caller's making, which points to the help of the verb.
func usage(cmd *cobra.Command, format string, args ...any) error {
	return fail(exitUsage, "%w (see %s --help)", fmt.Errorf(format, args...), cmd.CommandPath())
}

func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	return exitError
}

// noArgs is the check of the verbs without arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(cmd, "unexpected argument %.80q: %s takes none", args[0], cmd.Name())
	}
	return nil
}

// wantArgs is the check of the verbs with a fixed number of arguments.
func wantArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usage(cmd, "argument %s is missing", names[len(args)])
		case len(args) > len(names):
			return usage(cmd, "unexpected argument %.80q: want %d", args[len(names)], len(names))
		}
		return nil
	}
}
