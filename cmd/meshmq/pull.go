package main

import (
	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

func newPull() *cobra.Command {
	var f socketFlags
	var out output
	var ack ackFlags
	cmd := &cobra.Command{
		Use:   "pull -b|-c ENDPOINT",
		Short: "Receive messages from PUSH peers",
		Long: `pull prints each message: its frames joined by a TAB, then a newline. Without --count, --wait and --timeout
it does so until interrupted. With --ack it acknowledges each message once its line is written out, to peers that keep what they send until
then (push --ack, push --spool): what it has taken and not printed when it is killed comes again, to it or another.`,
		Example: `  meshmq pull -b tcp://*:5555
  meshmq pull -b tcp://*:5555 --ack --prefetch 10 >> jobs.txt
  meshmq pull -b tcp://*:0 --announce logs --json | jq .frames`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := ack.check(cmd); err != nil {
				return err
			}
			return serve(cmd, &f, &out, opening(socket.NewPull, ack.options()), func(s *session, pull *socket.Pull) error {
				if ack.on {
					return s.receive(s.ctx, pull, pull, s.printAcked)
				}
				return s.receive(s.ctx, pull, pull, s.print)
			})
		},
	}
	f.add(cmd, "stop after `N` messages")
	f.addWait(cmd)
	ack.add(cmd)
	out.add(cmd)
	return cmd
}
