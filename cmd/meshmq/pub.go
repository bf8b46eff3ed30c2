package main

import (
	"iter"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

func newPub() *cobra.Command {
	var f socketFlags
	var in input
	var topic string
	var subscribers int
	var drop bool
	cmd := &cobra.Command{
		Use:   "pub -b|-c ENDPOINT --topic TOPIC [BODY...]",
		Short: "Publish messages to the SUB peers that want their topic",
		Long: `pub publishes each BODY, or without any each line of standard input, as a message of two frames: TOPIC and BODY.
With --count it repeats the BODYs up to that many messages, with --interval alone for ever. Nobody
hears what is published before they subscribe: --wait-subscribers waits for them. A subscriber that does not
keep up holds pub back; with --drop it misses messages instead.`,
		Example: `  meshmq pub -b tcp://*:5556 --topic weather.london --interval 1s "4 degrees, drizzle"
  meshmq pub -b tcp://*:5556 --topic log --wait-subscribers 1 < app.log`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("topic") && len(in.frames) == 0 {
				return usage(cmd, "--topic TOPIC is missing: it is the first frame of each message")
			}
			if err := in.take(cmd, args); err != nil {
				return err
			}
			open := func(opts ...socket.Option) *socket.Pub {
				if !drop {
					opts = append(opts, socket.WithNoDrop())
				}
				return socket.NewPub(opts...)
			}
			return serve(cmd, &f, nil, open, func(s *session, pub *socket.Pub) error {
				messages := in.all(s.ctx, s.stdin, f.count)
				if cmd.Flags().Changed("topic") {
					messages = under(topic, messages)
				}
				if err := pub.WaitSubscribers(s.ctx, topic, subscribers); err != nil {
					return err
				}
				return s.send(s.ctx, pub, messages)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&topic, "topic", "t", "", "the first frame of each message: `TOPIC`")
	flags.Var((*number)(&subscribers), "wait-subscribers", "first wait for `N` subscribers of the topic")
	flags.BoolVar(&drop, "drop", false, "drop messages for subscribers that do not keep up")
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
