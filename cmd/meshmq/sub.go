package main

import (
	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

func newSub() *cobra.Command {
	var f socketFlags
	var out output
	var topics []string
	var durable durableFlags
	cmd := &cobra.Command{
		Use:   "sub -b|-c ENDPOINT [--topic PREFIX]...",
		Short: "Receive messages from PUB peers",
		Long: `sub prints each message whose first frame starts with one of the topics, or every message without --topic: its frames
joined by a TAB, then a newline. Without --count, --wait and --timeout it does so until interrupted.

With --durable it has a name, at which publishers that keep a log (pub --spool) remember how far it has come: each message is
acknowledged once its line is written out, and what was published while sub was away, or not acknowledged when it was killed, comes when it is back. Several with the
same name and the same topics share the messages. Where a name begins that a publisher does not know yet says --from: the beginning, the end, the
message of a number, a time such as 2026-01-31T15:04:05Z, or how long ago, such as 90m. A message whose topic nobody of the name wants is passed over for good.

Messages that left the log before they were delivered are reported on standard error, with their numbers, and the rest goes on; the exit code is 1 then.`,
		Example: `  meshmq sub -c tcp://10.0.0.7:5556 --topic weather. --topic log
  meshmq sub -c tcp://10.0.0.7:5556 --topic log --durable archive --from 24h >> app.log`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(topics) == 0 {
				topics = []string{""}
			}
			if err := durable.check(cmd); err != nil {
				return err
			}
			f.ack = &durable.ackFlags
			return serve(cmd, &f, &out, opening(socket.NewSub, durable.options), func(s *session, sub *socket.Sub) error {
				if err := sub.Subscribe(topics...); err != nil {
					return err
				}
				return s.receive(s.ctx, sub, sub, s.printer(durable.on))
			})
		},
	}
	cmd.Flags().StringArrayVarP(&topics, "topic", "t", nil, "subscribe to topics that start with `PREFIX` (repeatable)")
	f.add(cmd, "stop after `N` messages")
	f.addWait(cmd)
	durable.add(cmd)
	out.add(cmd)
	return cmd
}

// durableFlags are the flags of a verb with a durable subscription, whose messages are acknowledged.
type durableFlags struct {
	ackFlags
	name string
	from place
}

func (d *durableFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&d.name, "durable", "", "get what was published while away, from publishers that know us by `NAME`")
	flags.Var(&d.from, "from", "begin there where the name is new: beginning, end, a number, a time or how long ago (default beginning)")
	_ = cmd.RegisterFlagCompletionFunc("from", cobra.FixedCompletions([]string{"beginning", "end"}, cobra.ShellCompDirectiveNoFileComp))
	d.addCredit(cmd, "--durable")
}

func (d *durableFlags) check(cmd *cobra.Command) error {
	d.on = d.name != ""
	for _, flag := range []string{"durable", "from"} {
		if !d.on && cmd.Flags().Changed(flag) {
			return usage(cmd, "--%s without a name: want --durable NAME", flag)
		}
	}
	return d.ackFlags.check(cmd, "--durable NAME")
}

func (d *durableFlags) options() []socket.Option {
	if !d.on {
		return nil
	}
	from := spool.Beginning()
	if d.from.text != "" {
		from = d.from.Start
	}
	return append(d.ackFlags.options(), socket.WithDurable(d.name, from))
}
