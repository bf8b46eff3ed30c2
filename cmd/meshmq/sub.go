package main

import (
	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

func newSub() *cobra.Command {
	var f socketFlags
	var out output
	var topics []string
	cmd := &cobra.Command{
		Use:   "sub -b|-c ENDPOINT [--topic PREFIX]...",
		Short: "Receive messages from PUB peers",
		Long: `sub prints each message whose first frame starts with one of the topics, or every message without --topic: its frames
joined by a TAB, then a newline. Without --count, --wait and --timeout it does so until interrupted.`,
		Example: `  meshmq sub -c tcp://10.0.0.7:5556 --topic weather. --topic log`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(topics) == 0 {
				topics = []string{""}
			}
			return serve(cmd, &f, &out, socket.NewSub, func(s *session, sub *socket.Sub) error {
				if err := sub.Subscribe(topics...); err != nil {
					return err
				}
				return s.receive(s.ctx, sub, sub, s.print)
			})
		},
	}
	cmd.Flags().StringArrayVarP(&topics, "topic", "t", nil, "subscribe to topics that start with `PREFIX` (repeatable)")
	f.add(cmd, "stop after `N` messages")
	f.addWait(cmd)
	out.add(cmd)
	return cmd
}
