package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/cmd/meshmq/internal/watch"
)

const topHelp = `top shows the processes that let themselves be looked at (package patterns/monitor, or --monitor of a socket verb), their sockets and logs:

  PEERS     connected, of those that are sought where that is more
  IN/s      messages received a second, OUT/s sent
  QUEUE     messages waiting to be written, INBOX read and waiting for the application
  UNACKED   sent and not acknowledged
  PENDING   messages in the spool that peers are behind, those that wait for their time among them; OLDEST how old the first of them is
  DEAD      messages given up, FAILED handlers and deliveries that failed, DROPS messages dropped or missed, REFUSED peers and subscriptions

What got worse has an exclamation mark, counters for 10 seconds. A process that went away is shown as gone for 10 minutes. Rates are differences, so that the first
table comes --interval after the first answer. On a terminal it is a live screen: q quits, left and right sort, up and down scroll, p shows peers and durable
subscriptions. Elsewhere it prints a table each --interval, and with --json an object for each process, with all that it tells.
Where --timeout ends it the exit code is 4 if nobody has answered, and 3 if --count was not reached.`

// topFlags are those of top.
type topFlags struct {
	lookFlags
	count  int
	json   bool
	layout watch.Layout
}

func newTop() *cobra.Command {
	var f topFlags
	cmd := &cobra.Command{
		Use:   "top [-c ENDPOINT]...",
		Short: "Watch processes, their sockets and what is stuck",
		Long:  topHelp,
		Example: `  meshmq top
  meshmq top -c tcp://127.0.0.1:5570 --count 1 --peers
  meshmq top -c mdns://meshmq-monitor --interface lo --json | jq '.process.name, .sockets[].drops'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			if !f.json && onTerminal(cmd) {
				return look(cmd, &f.lookFlags, io.Discard, func(l *looking) error { return l.live(&f) })
			}
			return look(cmd, &f.lookFlags, cmd.ErrOrStderr(), func(l *looking) error { return l.print(cmd.OutOrStdout(), &f) })
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.VarP((*number)(&f.count), "count", "n", "end after `N` tables")
	flags.BoolVar(&f.json, "json", false, "print a JSON object for each process each time, one a line")
	flags.StringVar(&f.layout.Sort, "sort", "name", "sort by `COLUMN`: "+strings.Join(watch.SortNames(), ", "))
	_ = cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(watch.SortNames(), cobra.ShellCompDirectiveNoFileComp))
	flags.BoolVar(&f.layout.Parts, "peers", false, "show peers and durable subscriptions")
	return cmd
}

func (f *topFlags) check(cmd *cobra.Command) error {
	if !slices.Contains(watch.SortNames(), f.layout.Sort) {
		return usage(cmd, "--sort %.40q: want one of %s", f.layout.Sort, strings.Join(watch.SortNames(), ", "))
	}
	return f.lookFlags.check(cmd)
}

// print writes tables, or objects, until there were enough.
func (l *looking) print(w io.Writer, f *topFlags) error {
	printed := 0
	err := l.each(false, func(v watch.View) (bool, error) {
		if err := f.write(w, v, printed > 0); err != nil {
			return false, written(err)
		}
		printed++
		return printed != f.count, nil
	})
	return l.enough(f, err)
}

// enough takes the end of time for a good one, if somebody answered and nothing more was asked for.
func (l *looking) enough(f *topFlags, err error) error {
	if errors.Is(err, errTimeout) && l.seen && f.count == 0 {
		return nil
	}
	return err
}

// write writes how things stand, behind an empty line if something was written before.
func (f *topFlags) write(w io.Writer, v watch.View, again bool) error {
	if !f.json {
		if again {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		return watch.WriteTable(w, v, f.layout)
	}
	for _, p := range v.Processes {
		line, err := marshal(p)
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\n", line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
