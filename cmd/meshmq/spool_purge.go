package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket/spool"
)

// purgeSegment is the size of segments that purge makes: the least there is, since the disk may be full.
const purgeSegment = 64 << 10

// purge is one run of the verb.
type purge struct {
	which    []numbers
	dead     bool
	consumer string
	remove   bool // the consumer
	force    bool
}

// loss is what a purge would take from somebody, and how.
type loss struct {
	n         uint64
	one, many string
	drop      []func() error
}

func (l loss) String() string {
	if l.n == 1 {
		return "1 " + l.one
	}
	return fmt.Sprintf("%d %s", l.n, l.many)
}

func newSpoolPurge() *cobra.Command {
	var p purge
	cmd := &cobra.Command{
		Use:   "purge DIR [NUMBER|FROM-TO...]",
		Short: "Let messages or dead letters go for good",
		Long: `purge lets the messages of a spool go, all or those of the numbers named, and gives their disk back. With --dead it is the dead
letters that go, and nothing else. What would be lost to somebody, since it is not acknowledged, dead, or kept by a topic, goes with --force only;
without it purge says how much that is and changes nothing. A number that no message has had yet, or no letter has, or a range in which there is none, is exit code 1; the others go all the same. With --consumer only that consumer will not get them, and with --remove it is forgotten itself: a subscriber that comes with its
name is new then, and in a queue nothing is kept for it any more.`,
		Example: `  meshmq spool purge outbox
  meshmq spool purge outbox 17 --force
  meshmq spool purge outbox --dead --force
  meshmq spool purge log --consumer archive --remove --force`,
		Args:              wantDir,
		ValidArgsFunction: completeSpool,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if p.which, err = parseNumbers(cmd, args[1:]); err != nil {
				return err
			}
			if p.remove && (p.consumer == "" || len(p.which) > 0) {
				return usage(cmd, "--remove is for a whole consumer: want --consumer NAME and no numbers")
			}
			return openSpool(cmd, args[0], spool.Options{SegmentSize: purgeSegment}, func(l *spool.Log) error { return p.run(cmd, l) })
		},
	}
	cmd.Flags().BoolVar(&p.dead, "dead", false, "purge dead letters instead of messages")
	addConsumer(cmd, &p.consumer, "purge what the consumer `NAME` has not acknowledged")
	cmd.Flags().BoolVar(&p.remove, "remove", false, "with --consumer: forget it, and how far it has come")
	cmd.Flags().BoolVar(&p.force, "force", false, "also what would be lost")
	cmd.MarkFlagsMutuallyExclusive("dead", "consumer")
	return cmd
}

func (p *purge) run(cmd *cobra.Command, l *spool.Log) error {
	plan, none := p.messages, noMessages
	if p.dead {
		plan, none = p.letters, noLetters
	}
	loss, err := plan(cmd.Context(), l)
	switch {
	case err != nil:
		return err
	case loss.n > 0 && !p.force:
		return fmt.Errorf("%v would be lost: nothing was changed, --force does it all the same", loss)
	}
	for _, d := range loss.drop {
		if err := d(); err != nil {
			return err
		}
	}
	if err := l.Release(cmd.Context()); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%v let go\n", loss)
	return none(p.which)
}

// letters returns the loss of dead letters.
func (p *purge) letters(_ context.Context, l *spool.Log) (loss, error) {
	dead, err := l.Dead()
	if err != nil {
		return loss{}, err
	}
	all := loss{one: "dead letter", many: "dead letters"}
	for letter, err := range dead.Letters() {
		lo, hi := letter.Number, letter.Number
		if gap, ok := errors.AsType[*spool.Gap](err); ok {
			lo, hi = gap.From, gap.To
		} else if err != nil {
			return loss{}, err
		}
		if chosen(p.which, lo) {
			all.n += hi - lo + 1
			all.drop = append(all.drop, func() error { return dead.Purge(lo, hi) })
		}
	}
	return all, nil
}

// messages returns the loss of messages.
func (p *purge) messages(ctx context.Context, l *spool.Log) (loss, error) {
	consumers, err := p.consumers(l)
	if err != nil {
		return loss{}, err
	}
	all := loss{one: "message that is not acknowledged", many: "messages that are not acknowledged"}
	for i, w := range p.which {
		p.which[i].found = w.from < l.Next()
	}
	which := apart(p.which)
	if len(which) == 0 {
		which = []numbers{{from: 1, to: math.MaxUint64}}
	}
	for _, w := range which {
		lo, hi, wanted := w.from, min(w.to, l.Next()-1), uint64(0)
		for _, c := range consumers {
			if c.PendingIn(lo, hi) > 0 { // those that are gone among them
				wanted = max(wanted, c.ThereIn(lo, hi))
				all.drop = append(all.drop, func() error { return c.Ack(lo, hi) })
			}
		}
		all.n += wanted
	}
	if p.remove {
		all.drop = append(all.drop, func() error { return l.RemoveConsumer(p.consumer) })
	}
	if l.Queue() == nil && p.consumer == "" && len(p.which) == 0 {
		all.n, all.one, all.many = l.Next()-l.First(), "message that the topic keeps", "messages that the topic keeps"
		all.drop = append(all.drop, func() error { return l.Trim(ctx) })
	}
	return all, nil
}

// consumers returns those that messages are purged for.
func (p *purge) consumers(l *spool.Log) (all []*spool.Consumer, err error) {
	names, q := l.Consumers(), l.Queue()
	if q != nil && p.consumer == ownConsumer {
		if p.remove {
			return nil, errors.New("the consumer that every queue has cannot be removed")
		}
		return []*spool.Consumer{q}, nil
	}
	if q != nil && p.consumer == "" {
		all = append(all, q)
	}
	if p.consumer != "" {
		if !slices.Contains(names, p.consumer) {
			return nil, fmt.Errorf("the spool has no consumer %.130q: meshmq spool ls lists them", p.consumer)
		}
		names = []string{p.consumer}
	}
	for _, name := range names {
		c, err := l.Consumer(name, spool.End())
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}
