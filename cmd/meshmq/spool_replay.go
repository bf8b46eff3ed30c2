package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket/spool"
)

func newSpoolReplay() *cobra.Command {
	var rate, count int
	var asNew bool
	cmd := &cobra.Command{
		Use:   "replay DIR [NUMBER|FROM-TO...]",
		Short: "Put dead letters back into their spool",
		Long: `replay puts dead letters, all or those of the numbers named, back into the spool, behind all that is in it, and removes them from
the dead. A number that no letter has, or a range in which there is none, is exit code 1; the others are put back all the same. It prints the number of each letter, a TAB, and the number that its message has now, when that is on disk. They are sent
when a program opens the spool. Receivers are told the place that each had at first: one that remembers it as handled (pull --window) drops it, one that refused it
gets it again. What one durable subscription of a topic gave up goes to all of them: those that have handled it and remember
nothing get it once more. With --as-new they are new messages to all. A replay that is killed may leave messages of its
last moment in both places, never in neither.`,
		Example: `  meshmq spool replay outbox
  meshmq spool replay outbox 3 7-9 --rate 100`,
		Args:              wantDir,
		ValidArgsFunction: completeSpool,
		RunE: func(cmd *cobra.Command, args []string) error {
			which, err := parseNumbers(cmd, args[1:])
			if err != nil {
				return err
			}
			return openSpool(cmd, args[0], spool.Options{}, func(l *spool.Log) error {
				r := replay{cmd: cmd, which: which, count: count, asNew: asNew}
				if rate > 0 {
					r.pause = time.Second / time.Duration(rate)
				}
				return r.run(l)
			})
		},
	}
	cmd.Flags().Var((*number)(&rate), "rate", "put back at most `N` messages a second")
	cmd.Flags().VarP((*number)(&count), "count", "n", "stop after `N` letters")
	cmd.Flags().BoolVar(&asNew, "as-new", false, "send them as new messages, also to who has handled them")
	return cmd
}

// replay is one run of the verb.
type replay struct {
	cmd   *cobra.Command
	which []numbers
	count int
	asNew bool
	pause time.Duration
	done  int
}

func (r *replay) run(l *spool.Log) error {
	dead, err := l.Dead()
	if err != nil {
		return err
	}
	err = r.letters(r.cmd.Context(), dead)
	fmt.Fprintf(r.cmd.ErrOrStderr(), "%s put back, %d dead\n", messages(int64(r.done)), dead.Len())
	if err == nil && (r.count == 0 || r.done < r.count) {
		err = noLetters(r.which)
	}
	return err
}

func (r *replay) letters(ctx context.Context, dead *spool.Dead) error {
	for letter, err := range dead.Letters() {
		gap, isGap := errors.AsType[*spool.Gap](err)
		switch {
		case isGap:
			fmt.Fprintln(r.cmd.ErrOrStderr(), "dead letters:", gap)
			continue
		case err != nil:
			return err
		case !chosen(r.which, letter.Number):
			continue
		case r.done > 0 && r.pause > 0 && !pause(ctx, r.pause), ctx.Err() != nil:
			return ctx.Err()
		}
		if r.asNew {
			letter.Origin = 0
		}
		n, err := dead.Replay(context.WithoutCancel(ctx), letter)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(r.cmd.OutOrStdout(), "%d\t%d\n", letter.Number, n); err != nil {
			return written(err)
		}
		if r.done++; r.done == r.count {
			return nil
		}
	}
	return nil
}
