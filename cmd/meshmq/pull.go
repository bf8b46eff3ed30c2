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
then (push --ack, push --spool): what it has taken and not printed when it is killed comes again, to it or another.
With --window it remembers on disk what it has printed, so that what comes again is not printed twice. What it prints while its disk
takes in what was printed before may be, if it is killed in that moment: no more than --prefetch from each peer, fewer with a smaller one.`,
		Example: `  meshmq pull -b tcp://*:5555
  meshmq pull -b tcp://*:5555 --ack --prefetch 10 >> jobs.txt
  meshmq pull -b tcp://*:5555 --ack --window printed.d >> jobs.txt
  meshmq pull -b tcp://*:0 --announce logs --json | jq .frames`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := ack.check(cmd, "--ack"); err != nil {
				return err
			}
			f.ack = &ack
			return serve(cmd, &f, &out, opening(socket.NewPull, ack.options), func(s *session, pull *socket.Pull) error {
				return s.receive(s.ctx, pull, pull, s.printer(ack.on))
			})
		},
	}
	f.add(cmd, "stop after `N` messages")
	f.addWait(cmd)
	ack.add(cmd)
	out.add(cmd)
	return cmd
}
