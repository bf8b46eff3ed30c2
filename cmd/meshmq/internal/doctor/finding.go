package doctor

import (
	"fmt"
	"strings"
	"unicode"
)

// State is how bad a Finding is.
type State int

// The states, from good to bad.
const (
	Pass State = iota
	Warn
	Fail
)

// String is the state as it is printed.
func (s State) String() string { return [...]string{"PASS", "WARN", "FAIL"}[s] }

// Finding is what one check has found.
type Finding struct {
	State   State
	Subject string // what was looked at
	Found   string
	Advice  string // what to do about it; empty if nothing is to be done
}

// String is the finding in one line of printable text, whatever a peer had to say.
func (f Finding) String() string {
	s := fmt.Sprintf("%v  %s  %s", f.State, f.Subject, f.Found)
	if f.Advice != "" {
		s += "; " + f.Advice
	}
	return printable(s)
}

// printable replaces what a terminal could take for a command.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func pass(subject, format string, args ...any) Finding {
	return Finding{Pass, subject, fmt.Sprintf(format, args...), ""}
}

func warn(subject, advice, format string, args ...any) Finding {
	return Finding{Warn, subject, fmt.Sprintf(format, args...), advice}
}

func fail(subject, advice, format string, args ...any) Finding {
	return Finding{Fail, subject, fmt.Sprintf(format, args...), advice}
}

// unknown is for what this system does not tell.
func unknown(subject string) Finding { return pass(subject, "not known: this system does not tell") }
