package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket/spool"
)

func newSpoolLs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls DIR",
		Short: "List segments, consumers and dead letters of a spool",
		Long: `ls prints a line for each thing that is in the spool, its parts separated by TABs: what it is, its name, and

  segment   NAME   FROM-TO (numbers of its messages)   BYTES   CREATED
  consumer  NAME   FLOOR (all up to it are acknowledged)   PENDING (not acknowledged, and there)   FAILED (of those, at least once)
  dead      LETTERS   BYTES
  aside     NAME (a file that repair has put aside)

The consumer that every queue has, the peers that are sent its messages, has the name "-". PENDING and FAILED know of messages lost to damage in the newest segment alone, which
is all that is read, and of those that repair found; verify finds all.`,
		Example:           `  meshmq spool ls outbox | awk '$1 == "consumer" { print $4 }'`,
		Args:              spoolDir,
		ValidArgsFunction: completeSpool,
		RunE: func(cmd *cobra.Command, args []string) error {
			return viewSpool(cmd, args[0], func(v *spool.View) error { return listSpool(cmd.OutOrStdout(), v, asJSON) })
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object per line")
	return cmd
}

// entry is a line of ls; what is not said of its kind is left out.
type entry struct {
	Is      string  `json:"is"`
	Name    string  `json:"name"`
	From    uint64  `json:"from,omitempty"`
	To      uint64  `json:"to,omitempty"`
	Bytes   int64   `json:"bytes,omitempty"`
	Created string  `json:"created,omitempty"`
	Floor   *uint64 `json:"floor,omitempty"`
	Pending *uint64 `json:"pending,omitempty"`
	Failed  *int    `json:"failed,omitempty"`
	Letters *uint64 `json:"letters,omitempty"`
}

func (e entry) text() string {
	switch e.Is {
	case "segment":
		span := "-"
		if e.To >= e.From {
			span = fmt.Sprintf("%d-%d", e.From, e.To)
		}
		return fmt.Sprintf("segment\t%s\t%s\t%d\t%s\n", e.Name, span, e.Bytes, e.Created)
	case "consumer":
		return fmt.Sprintf("consumer\t%s\t%d\t%d\t%d\n", cmp.Or(e.Name, ownConsumer), *e.Floor, *e.Pending, *e.Failed)
	case "dead":
		return fmt.Sprintf("dead\t%d\t%d\n", *e.Letters, e.Bytes)
	}
	return fmt.Sprintf("%s\t%s\n", e.Is, printable(e.Name))
}

func listSpool(w io.Writer, v *spool.View, asJSON bool) error {
	s := v.Stats()
	dead, err := v.Dead()
	if err != nil {
		return err
	}
	var all []entry
	for _, g := range s.Segments {
		all = append(all, entry{Is: "segment", Name: g.Name, From: g.From, To: g.To, Bytes: g.Bytes, Created: instant(g.Created)})
	}
	for _, c := range s.Consumers {
		all = append(all, entry{Is: "consumer", Name: c.Name, Floor: &c.Floor, Pending: &c.Pending, Failed: &c.Failed})
	}
	if letters := pending(dead); len(dead.Segments) > 0 {
		all = append(all, entry{Is: "dead", Bytes: dead.Bytes, Letters: &letters})
	}
	for _, name := range s.Quarantined {
		all = append(all, entry{Is: "aside", Name: name})
	}
	out := bufio.NewWriter(w)
	for _, e := range all {
		line := []byte(e.text())
		if asJSON {
			if line, err = marshal(e); err != nil {
				return err
			}
			line = append(line, '\n')
		}
		_, _ = out.Write(line) // Flush reports it
	}
	return written(out.Flush())
}

// pending returns how many messages the consumer lacks that lacks most.
func pending(s spool.Stats) (n uint64) {
	for _, c := range s.Consumers {
		n = max(n, c.Pending)
	}
	return n
}

func newSpoolStats() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stats DIR",
		Short: "Print figures of a spool",
		Long: `stats prints a line for each figure: its name, a blank, its value. pending is how many messages are there that are not acknowledged, of several
consumers by the one that lacks most; oldest the time of the first of them; next the number that the next message will get; holder
the process that has the spool open. What does not exist is "-". With --json it also says what opening the spool would find: torn is how
many bytes of a write that was cut short it would cut off (which in a spool that is in use may be a write under way), torn_dead how many
of the dead letters' log, damage what it could not read, as verify --json has it. To find all damage, also in what opening does not read, is for verify.`,
		Example:           `  watch meshmq spool stats outbox`,
		Args:              spoolDir,
		ValidArgsFunction: completeSpool,
		RunE: func(cmd *cobra.Command, args []string) error {
			return viewSpool(cmd, args[0], func(v *spool.View) error { return printFigures(cmd.OutOrStdout(), v, asJSON) })
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// figures are what stats prints.
type figures struct {
	ID          string `json:"id"`
	Kind        string `json:"kind"`
	Incarnation uint32 `json:"incarnation"`
	First       uint64 `json:"first"`
	Next        uint64 `json:"next"`
	Pending     uint64 `json:"pending"`
	Oldest      string `json:"oldest,omitempty"`
	Bytes       int64  `json:"bytes"`
	Segments    int    `json:"segments"`
	Consumers   int    `json:"consumers"`
	Dead        uint64 `json:"dead"`
	Aside       int    `json:"aside"`
	Holder      int    `json:"holder,omitempty"`

	// Of JSON alone.
	Torn     int64    `json:"torn,omitempty"`
	TornDead int64    `json:"torn_dead,omitempty"`
	Damage   []damage `json:"damage,omitempty"`
}

func printFigures(w io.Writer, v *spool.View, asJSON bool) error {
	s := v.Stats()
	dead, err := v.Dead()
	if err != nil {
		return err
	}
	f := figures{
		ID: s.ID.String(), Kind: s.Kind.String(), Incarnation: s.Incarnation, First: s.First, Next: s.Next, Pending: pending(s),
		Bytes: s.Bytes + dead.Bytes, Segments: len(s.Segments), Consumers: len(s.Consumers), Dead: pending(dead), Aside: len(s.Quarantined),
		Torn: s.Recovery.Torn, TornDead: s.Recovery.TornLetters,
	}
	for _, d := range s.Recovery.Damage {
		f.Damage = append(f.Damage, damage(d))
	}
	if s.Holder != nil {
		f.Holder = s.Holder.PID
	}
	if f.Oldest, err = oldest(v); err != nil {
		return err
	}
	if asJSON {
		line, err := marshal(f)
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\n", line)
		}
		return written(err)
	}
	holder := "-"
	if s.Holder != nil {
		holder = fmt.Sprintf("process %d on %s since %s", s.Holder.PID, cmp.Or(printable(s.Holder.Host), "-"), instant(s.Holder.Since))
	}
	_, err = fmt.Fprintf(w, "id %s\nkind %s\nincarnation %d\nfirst %d\nnext %d\npending %d\noldest %s\nbytes %d\nsegments %d\nconsumers %d\ndead %d\naside %d\nholder %s\n",
		f.ID, f.Kind, f.Incarnation, f.First, f.Next, f.Pending, cmp.Or(f.Oldest, "-"), f.Bytes, f.Segments, f.Consumers, f.Dead, f.Aside, holder)
	return written(err)
}

// oldest returns when the first message was appended that a consumer has not acknowledged, "" if there is none.
func oldest(v *spool.View) (string, error) {
	first := time.Unix(0, math.MaxInt64)
	for _, c := range v.Stats().Consumers {
		r, err := v.Pending(c.Name)
		if err != nil {
			return "", err
		}
		rec, err := r.TryNext()
		for errors.As(err, new(*spool.Gap)) {
			rec, err = r.TryNext()
		}
		_ = r.Close() // was only read from
		if err == nil && rec.Time.Before(first) {
			first = rec.Time
		} else if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
	}
	if first.UnixNano() == math.MaxInt64 {
		return "", nil
	}
	return instant(first), nil
}
