package main

import (
	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

func newPush() *cobra.Command {
	var f socketFlags
	var in input
	cmd := &cobra.Command{
		Use:   "push -b|-c ENDPOINT [BODY...]",
		Short: "Send messages, each to one PULL peer in turn",
		Long: `push sends each BODY as one message, or without any each line of standard input. With --count it repeats the
BODYs up to that many messages. It ends when everything is handed over to peers, however long that takes
unless --timeout says otherwise; what is left then, it counts.`,
		Example: `  meshmq push -c tcp://10.0.0.7:5555 hello world
  tail -f app.log | meshmq push -c mdns://logs`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := in.take(cmd, args); err != nil {
				return err
			}
			return serve(cmd, &f, nil, socket.NewPush, func(s *session, push *socket.Push) error {
				s.strict = true
				return s.send(s.ctx, push, in.all(s.ctx, s.stdin, f.count))
			})
		},
	}
	in.add(cmd)
	in.addInterval(cmd)
	f.add(cmd, "stop after `N` messages")
	f.addImmediate(cmd)
	return cmd
}
