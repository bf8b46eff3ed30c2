package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

func newRouter() *cobra.Command {
	var f socketFlags
	var out output
	var echo bool
	cmd := &cobra.Command{
		Use:   "router -b|-c ENDPOINT [--echo]",
		Short: "Receive messages with the identity of their sender, and send them back",
		Long: `router prints each message: the identity of its sender and the frames joined by a TAB, then a newline. With --echo it
sends each message back to its sender. Without --count, --wait and --timeout it does so until interrupted.`,
		Example: `  meshmq router -b tcp://*:5558 --echo --quoted`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd, &f, &out, socket.NewRouter, func(s *session, router *socket.Router) error {
				return s.receive(s.ctx, router, router, func(m socket.Msg) error {
					if err := s.print(m); err != nil || !echo {
						return err
					}
					return s.echo(router, m)
				})
			})
		},
	}
	cmd.Flags().BoolVar(&echo, "echo", false, "send each message back to its sender")
	f.add(cmd, "stop after `N` messages")
	f.addWait(cmd)
	f.addIdentity(cmd)
	out.add(cmd)
	return cmd
}

// echo sends m back. A sender that has left is no error.
func (s *session) echo(router *socket.Router, m socket.Msg) error {
	err := router.Send(s.ctx, m.Frames...)
	if errors.Is(err, socket.ErrNoPeer) && s.ctx.Err() == nil {
		s.say("echo to %s: it is gone", m.Peer().Address())
		return nil
	}
	if err == nil {
		s.count1(&s.sent)
	}
	return err
}
