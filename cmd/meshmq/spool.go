package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket/spool"
)

func newSpool() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "spool ls|cat|verify|repair|dead|replay|purge|stats DIR",
		Short: "Look into a spool, verify it, repair it, deal with dead letters",
		Long: `spool is for the directory that a durable socket keeps its messages in (push --spool DIR). ls, stats, cat and dead only look
and may be used while a program has the spool open. verify, repair, replay and purge need it for themselves: they end with
exit code 1 and name the process that has it. On a disk that is mounted read-only, such as a snapshot, all but repair, replay and purge work. None of them makes a spool where there is none.

A spool that is damaged is exit code 6; one of another version, owner or kind, a file, and none at all are 1.`,
		Example: `  meshmq spool ls outbox
  meshmq spool cat outbox --from 17 --count 1 --json
  meshmq spool verify outbox || meshmq spool repair outbox
  meshmq spool dead outbox && meshmq spool replay outbox 3 7-9`,
		Args: cobra.ArbitraryArgs,
		RunE: unknownVerb,
	}
	cmd.AddCommand(newSpoolLs(), newSpoolStats(), newSpoolCat(), newSpoolVerify(), newSpoolRepair(), newSpoolDead(), newSpoolReplay(), newSpoolPurge())
	return cmd
}

// spoolFailure turns an error of package spool into one line that says what to do, with its exit code.
func spoolFailure(ctx context.Context, dir string, err error) error {
	switch cause := context.Cause(ctx); {
	case err == nil:
		return nil
	case isSignal(cause) && isContext(err):
		return fail(exitInterrupt, "%w", cause)
	case errors.As(err, new(*failure)):
		return err
	case errors.Is(err, spool.ErrDamaged):
		return fail(exitCheck, "%w", err)
	case errors.Is(err, fs.ErrNotExist) && isMissing(dir):
		return fmt.Errorf("spool %q: there is no such directory: name the one given to --spool", dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: be the user whose spool it is, and let the directory have mode 0700, its files 0600", err)
	}
	return err
}

// isMissing reports whether the directory itself is what is not there, rather than a file of it that went.
func isMissing(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// spoolDir is the check of the verbs whose only argument is a spool.
var spoolDir = wantArgs("DIR")

// completeSpool lets the shell complete a directory, once.
func completeSpool(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// ownConsumer is how the consumer is called that every queue has, and which has no name.
const ownConsumer = "-"

// addConsumer registers --consumer, completed from the spool that has been named.
func addConsumer(cmd *cobra.Command, name *string, what string) {
	cmd.Flags().StringVar(name, "consumer", "", what)
	_ = cmd.RegisterFlagCompletionFunc("consumer", func(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		if len(args) > 0 {
			s, _ := spool.Inspect(args[0])
			for _, c := range s.Consumers {
				names = append(names, cmp.Or(c.Name, ownConsumer))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// viewSpool shows do the spool in dir as it is on disk.
func viewSpool(cmd *cobra.Command, dir string, do func(v *spool.View) error) error {
	v, err := spool.OpenView(dir)
	if err == nil {
		err = errors.Join(do(v), v.Close())
	}
	return spoolFailure(cmd.Context(), dir, err)
}

// hasMessages is an error for a window: its records are marks.
func hasMessages(dir string, k spool.Kind) error {
	if k != spool.Queue && k != spool.Topic {
		return fmt.Errorf("spool %s is a %v: it has no messages to deal with", dir, k)
	}
	return nil
}

// openSpool opens the spool in dir, which must be there, as what it is, and closes it after do.
func openSpool(cmd *cobra.Command, dir string, o spool.Options, do func(l *spool.Log) error) error {
	s, err := spool.Inspect(dir)
	switch {
	case err != nil:
		return spoolFailure(cmd.Context(), dir, err)
	case s.Holder != nil:
		return fmt.Errorf("spool %s: %w", dir, s.Holder)
	}
	if err := hasMessages(dir, s.Kind); err != nil {
		return err
	}
	o.Kind, o.Full = s.Kind, spool.Reject
	if s.Kind == spool.Queue {
		o.Retention = spool.Retention{}
	}
	l, err := spool.Open(dir, o)
	if err == nil {
		err = errors.Join(do(l), l.Close())
	}
	return spoolFailure(cmd.Context(), dir, err)
}

// numbers are those of messages that were chosen: FROM to TO, both included.
type numbers struct {
	text     string
	from, to uint64
	found    bool // one of them was
}

// parseNumbers reads N, FROM-TO and FROM-.
func parseNumbers(cmd *cobra.Command, args []string) (all []numbers, err error) {
	for _, a := range args {
		low, high, isRange := strings.Cut(a, "-")
		n := numbers{text: a}
		var err1, err2 error
		n.from, err1 = strconv.ParseUint(low, 10, 64)
		n.to = n.from
		if isRange {
			if n.to = math.MaxUint64; high != "" {
				n.to, err2 = strconv.ParseUint(high, 10, 64)
			}
		}
		if err1 != nil || err2 != nil || n.from == 0 || n.to < n.from {
			return nil, usage(cmd, "%.40q: want numbers from 1, such as 7, 3-9 or 12-", a)
		}
		all = append(all, n)
	}
	return all, nil
}

// chosen reports whether n is among those chosen, and notes that it was found; all are chosen if none was.
func chosen(all []numbers, n uint64) bool {
	is := len(all) == 0
	for i := range all {
		if c := &all[i]; c.from <= n && n <= c.to {
			c.found, is = true, true
		}
	}
	return is
}

// apart returns the numbers chosen such that none is there twice.
func apart(all []numbers) (merged []numbers) {
	for _, n := range slices.SortedFunc(slices.Values(all), func(a, b numbers) int { return cmp.Compare(a.from, b.from) }) {
		if last := len(merged) - 1; last >= 0 && n.from <= merged[last].to {
			merged[last].to = max(merged[last].to, n.to)
		} else {
			merged = append(merged, n)
		}
	}
	return merged
}

// noLetters is an error for those chosen of which no dead letter has one.
func noLetters(all []numbers) error {
	if none := unfound(all); none != "" {
		return fmt.Errorf("no dead letter has number %.200s: meshmq spool dead lists them", none)
	}
	return nil
}

// noMessages is an error for those chosen of which no message has had one.
func noMessages(all []numbers) error {
	if none := unfound(all); none != "" {
		return fmt.Errorf("no message has number %.200s: meshmq spool ls says which there are", none)
	}
	return nil
}

// unfound lists those chosen that were not found.
func unfound(all []numbers) string {
	var none []string
	for _, n := range all {
		if !n.found {
			none = append(none, n.text)
		}
	}
	return strings.Join(none, ", ")
}

// place is the value of a flag that says where in a spool to begin.
type place struct {
	text string
	spool.Start
}

func (p *place) String() string { return p.text }
func (p *place) Type() string   { return "PLACE" }

// Set takes beginning, end, a number, a time, or how long ago.
func (p *place) Set(text string) error {
	p.text = text
	n, err := strconv.ParseUint(text, 10, 64)
	ago, errAgo := time.ParseDuration(text)
	at, errAt := time.Parse(time.RFC3339Nano, text)
	switch {
	case text == "beginning":
		p.Start = spool.Beginning()
	case text == "end":
		p.Start = spool.End()
	case err == nil && n > 0:
		p.Start = spool.At(n)
	case errAgo == nil && ago >= 0 && err != nil:
		p.Start = spool.Since(time.Now().Add(-ago))
	case errAt == nil:
		p.Start = spool.Since(at)
	default:
		return errors.New("want beginning, end, a number from 1, a time such as 2026-01-31T15:04:05Z, or how long ago, such as 90m")
	}
	return nil
}

// instant is how times are written.
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
