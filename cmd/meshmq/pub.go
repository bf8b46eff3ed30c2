package main

import (
	"iter"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

func newPub() *cobra.Command {
	var f socketFlags
	var in input
	var sp spoolFlags
	var topic string
	var subscribers int
	var drop bool
	cmd := &cobra.Command{
		Use:   "pub -b|-c ENDPOINT --topic TOPIC [BODY...]",
		Short: "Publish messages to the SUB peers that want their topic",
		Long: `pub publishes each BODY, or without any each line of standard input, as a message of two frames: TOPIC and BODY.
With --count it repeats the BODYs up to that many messages, with --interval alone for ever. Nobody
hears what is published before they subscribe: --wait-subscribers waits for them. A subscriber that does not
keep up holds pub back; with --drop it misses messages instead.

With --spool each message is put on disk first, in the log of what was published, from which a subscriber with a name (sub --durable) gets
what it missed: while it was away, while pub was, or from the beginning. A message is published when it is on disk: what has a receipt stays, whatever ends.
At the end of input pub waits until the named subscribers that are connected have acknowledged all of it; those that are not get it when
pub runs again, with "--wait-subscribers 1 < /dev/null" if there is nothing more to say. Other subscribers get what is published while they listen, and never hold pub back. The log
grows as --quota, --keep-for and --keep-last let it. They take whole files of 16 MiB, or of a quarter of --quota if that is less, and never the newest: what is to be kept is, and up to a file
more. What they take from a subscriber it is told, with the numbers.`,
		Example: `  meshmq pub -b tcp://*:5556 --topic weather.london --interval 1s "4 degrees, drizzle"
  meshmq pub -b tcp://*:5556 --topic log --wait-subscribers 1 < app.log
  meshmq pub -b tcp://*:5556 --topic log --spool log.d --keep-for 168h --quota 20GiB < app.log`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("topic") && len(in.frames) == 0 {
				return usage(cmd, "--topic TOPIC is missing: it is the first frame of each message")
			}
			if err := in.take(cmd, args); err != nil {
				return err
			}
			if err := sp.check(cmd); err != nil {
				return err
			}
			f.spool = &sp
			open := func(opts ...socket.Option) *socket.Pub {
				if !drop && sp.log == nil {
					opts = append(opts, socket.WithNoDrop())
				}
				return socket.NewPub(append(opts, sp.options()...)...)
			}
			return serve(cmd, &f, &output{}, open, func(s *session, pub *socket.Pub) error {
				messages := in.all(s.ctx, s.stdin, f.count)
				if cmd.Flags().Changed("topic") {
					messages = under(topic, messages)
				}
				if err := pub.WaitSubscribers(s.ctx, topic, subscribers); err != nil {
					return err
				}
				if sp.dir != "" {
					return s.sendAssured(pub, messages, &sp)
				}
				return s.send(s.ctx, pub, messages)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&topic, "topic", "t", "", "the first frame of each message: `TOPIC`")
	flags.Var((*number)(&subscribers), "wait-subscribers", "first wait for `N` subscribers of the topic")
	flags.BoolVar(&drop, "drop", false, "drop messages for subscribers that do not keep up")
	sp.add(cmd, "as the log that subscribers with a name (sub --durable) are fed from")
	sp.addQuota(cmd, "then the oldest messages go")
	sp.addKeep(cmd)
	in.add(cmd)
	in.addInterval(cmd)
	f.add(cmd, "stop after `N` messages")
	return cmd
}

// under puts topic before the frames of each message.
func under(topic string, messages iter.Seq2[[][]byte, error]) iter.Seq2[[][]byte, error] {
	return func(yield func([][]byte, error) bool) {
		for frames, err := range messages {
			if !yield(append([][]byte{[]byte(topic)}, frames...), err) {
				return
			}
		}
	}
}
