package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket/spool"
)

// catalogue is what cat prints of a spool.
type catalogue struct {
	from     place
	to       int
	count    int
	consumer string
	all      bool
	out      output
	gaps     int
	damaged  bool
}

func newSpoolCat() *cobra.Command {
	var c catalogue
	cmd := &cobra.Command{
		Use:   "cat DIR",
		Short: "Print messages of a spool",
		Long: `cat prints messages as pull does: frames joined by a TAB, then a newline. It changes nothing. Of a queue it prints what is not
acknowledged, of a topic all that there is. Messages that are lost are told on standard error; if damage took them the exit code is 6.`,
		Example: `  meshmq spool cat outbox --count 10
  meshmq spool cat outbox --from 2h --json | jq 'select(.attempts > 0)'
  meshmq spool cat events --consumer billing --quoted`,
		Args:              spoolDir,
		ValidArgsFunction: completeSpool,
		RunE: func(cmd *cobra.Command, args []string) error {
			c.out.open(cmd.OutOrStdout())
			return viewSpool(cmd, args[0], func(v *spool.View) error {
				if err := hasMessages(args[0], v.Stats().Kind); err != nil {
					return err
				}
				if v.Stats().Kind == spool.Queue && c.consumer == ownConsumer {
					c.consumer = ""
				}
				return c.out.end(c.print(cmd, v))
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Var(&c.from, "from", "begin at `PLACE`: beginning, end, a number, a time (RFC 3339), or how long ago")
	flags.Var((*number)(&c.to), "to", "end with message number `N`")
	flags.VarP((*number)(&c.count), "count", "n", "stop after `N` messages")
	addConsumer(cmd, &c.consumer, "print what the consumer `NAME` has not acknowledged")
	flags.BoolVar(&c.all, "all", false, "print what is acknowledged and still there, too")
	cmd.MarkFlagsMutuallyExclusive("all", "consumer")
	c.out.addAs(cmd, `print a line {"frames":["text",{"b64":"..."}],"number":1,"time":"...","attempts":0} per message`)
	return cmd
}

// print prints what was chosen.
func (c *catalogue) print(cmd *cobra.Command, v *spool.View) error {
	r, err := c.reader(v)
	if err != nil {
		return err
	}
	defer r.Close()
	for n := 0; c.count == 0 || n < c.count; {
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		rec, err := r.TryNext()
		gap, isGap := errors.AsType[*spool.Gap](err)
		switch {
		case errors.Is(err, io.EOF) || c.to > 0 && (err == nil && rec.Number > uint64(c.to) || isGap && gap.From > uint64(c.to)):
			return c.verdict()
		case isGap:
			c.tell(cmd, gap)
			continue
		case err != nil:
			return err
		}
		n++
		if err := c.line(v, rec); err != nil {
			return err
		}
	}
	return c.verdict()
}

func (c *catalogue) reader(v *spool.View) (*spool.Reader, error) {
	if c.all || c.consumer == "" && v.Stats().Kind != spool.Queue {
		return v.Reader(c.from.Start), nil
	}
	r, err := v.PendingFrom(c.consumer, c.from.Start)
	if errors.Is(err, spool.ErrNoConsumer) && c.consumer == "" { // a damaged state knows none
		return v.Reader(c.from.Start), nil
	}
	return r, err
}

// tell says what is missing. A gap that begins before the first number chosen may be told, too.
func (c *catalogue) tell(cmd *cobra.Command, gap *spool.Gap) {
	c.gaps++
	c.damaged = c.damaged || gap.Damaged
	fmt.Fprintln(cmd.ErrOrStderr(), gap)
}

func (c *catalogue) verdict() error {
	if c.damaged {
		return fail(exitCheck, "messages are lost to damage: verify says where")
	}
	return nil
}

func (c *catalogue) line(v *spool.View, rec spool.Record) error {
	if !c.out.json {
		return c.out.print(rec.Frames, "", rec.Time)
	}
	return c.out.printJSON(struct {
		Frames   []jsonFrame `json:"frames"`
		Number   uint64      `json:"number"`
		Time     string      `json:"time"`
		Attempts int         `json:"attempts"`
	}{jsonFrames(rec.Frames), rec.Number, instant(rec.Time), v.Attempts(c.consumer, rec.Number)})
}

func newSpoolDead() *cobra.Command {
	var out output
	var count int
	cmd := &cobra.Command{
		Use:   "dead DIR [NUMBER|FROM-TO...]",
		Short: "List the dead letters of a spool",
		Long: `dead prints the messages that were given up, all or those of the numbers named: the number of the letter, which replay and
purge take, the number that the message had, how often it was delivered in vain, when it was given up, why, and the message, all
separated by TABs. A number that no letter has, or a range in which there is none, is exit code 1. With --json there is the consumer that gave it up as well: the name of a durable subscription, "" in a queue.`,
		Example: `  meshmq spool dead outbox
  meshmq spool dead outbox --json | jq -r .reason | sort | uniq -c`,
		Args:              wantDir,
		ValidArgsFunction: completeSpool,
		RunE: func(cmd *cobra.Command, args []string) error {
			which, err := parseNumbers(cmd, args[1:])
			if err != nil {
				return err
			}
			out.open(cmd.OutOrStdout())
			return viewSpool(cmd, args[0], func(v *spool.View) error {
				return out.end(printLetters(cmd, v.Letters(), &out, which, count))
			})
		},
	}
	cmd.Flags().VarP((*number)(&count), "count", "n", "stop after `N` letters")
	out.addAs(cmd, `print a line {"frames":[...],"number":1,"origin":7,"consumer":"","attempts":5,"time":"...","dead":"...","reason":"..."} per letter`)
	return cmd
}

func printLetters(cmd *cobra.Command, letters iter.Seq2[spool.Letter, error], out *output, which []numbers, count int) error {
	n, damaged := 0, false
	for l, err := range letters {
		gap, isGap := errors.AsType[*spool.Gap](err)
		switch {
		case isGap:
			damaged = damaged || gap.Damaged
			fmt.Fprintln(cmd.ErrOrStderr(), "dead letters:", gap)
			continue
		case err != nil:
			return err
		case cmd.Context().Err() != nil:
			return cmd.Context().Err()
		case !chosen(which, l.Number):
			continue
		}
		if err := printLetter(out, l); err != nil {
			return err
		}
		if n++; n == count {
			break
		}
	}
	if damaged {
		return fail(exitCheck, "dead letters are lost to damage: verify says where")
	}
	if count > 0 && n == count {
		return nil
	}
	return noLetters(which)
}

func printLetter(out *output, l spool.Letter) error {
	if out.json {
		return out.printJSON(struct {
			Frames   []jsonFrame `json:"frames"`
			Number   uint64      `json:"number"`
			Origin   uint64      `json:"origin"`
			Consumer string      `json:"consumer"`
			Attempts int         `json:"attempts"`
			Time     string      `json:"time"`
			Dead     string      `json:"dead"`
			Reason   string      `json:"reason"`
		}{jsonFrames(l.Frames), l.Number, l.Origin, l.Consumer, l.Attempts, instant(l.Time), instant(l.Buried), l.Reason})
	}
	err := out.write(fmt.Appendf(nil, "%d\t%d\t%d\t%s\t%s\t", l.Number, l.Origin, l.Attempts, instant(l.Buried), cmp.Or(printable(l.Reason), "-")))
	if err != nil {
		return err
	}
	return out.print(l.Frames, "", time.Time{})
}

// wantDir is the check of the verbs that take a spool and numbers.
func wantDir(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usage(cmd, "argument DIR is missing")
	}
	return nil
}

// printable replaces what would break a line into others or control a terminal: a peer may have written it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != ' ' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
