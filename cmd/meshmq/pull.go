package main

import (
	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

func newPull() *cobra.Command {
	var f socketFlags
	var out output
	cmd := &cobra.Command{
		Use:   "pull -b|-c ENDPOINT",
		Short: "Receive messages from PUSH peers",
		Long: `pull prints each message: its frames joined by a TAB, then a newline. Without --count, --wait and --timeout
it does so until interrupted.`,
		Example: `  meshmq pull -b tcp://*:5555
  meshmq pull -b tcp://*:0 --announce logs --json | jq .frames`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd, &f, &out, socket.NewPull, func(s *session, pull *socket.Pull) error {
				return s.receive(s.ctx, pull, pull, s.print)
			})
		},
	}
	f.add(cmd, "stop after `N` messages")
	f.addWait(cmd)
	out.add(cmd)
	return cmd
}
