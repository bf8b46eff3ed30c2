package main

import (
	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

func newPush() *cobra.Command {
	var f socketFlags
	var in input
	var sp spoolFlags
	var ack bool
	cmd := &cobra.Command{
		Use:   "push -b|-c ENDPOINT [BODY...]",
		Short: "Send messages, each to one PULL peer in turn",
		Long: `push sends each BODY as one message, or without any each line of standard input. With --count it repeats the
BODYs up to that many messages. It ends when everything is handed over to peers, however long that takes
unless --timeout says otherwise; what is left then, it counts.

With --ack peers that acknowledge (pull --ack) get what they took and did not acknowledge again, they or others, and push ends when all is
acknowledged or given up: what they reject, or fail at too often, is lost, exit code 1. With --spool messages are kept in a directory until then: what push, a peer or
the machine took down with it goes out when push runs again. What --timeout leaves there is exit code 3. What is given up stays there, as a dead letter, and is not lost:
meshmq spool dead lists it. For peers that do not acknowledge a message is done with when it is written.`,
		Example: `  meshmq push -c tcp://10.0.0.7:5555 hello world
  tail -f app.log | meshmq push -c mdns://logs
  meshmq push -c tcp://10.0.0.7:5555 --spool outbox --ack --receipts < jobs.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := in.take(cmd, args); err != nil {
				return err
			}
			if err := sp.check(cmd); err != nil {
				return err
			}
			f.spool, f.warnPlain = &sp, ack
			return serve(cmd, &f, &output{}, func(opts ...socket.Option) *socket.Push {
				return socket.NewPush(append(append(opts, sp.options()...), sendAck(ack)...)...)
			}, func(s *session, push *socket.Push) error {
				s.strict = true
				messages := in.all(s.ctx, s.stdin, f.count)
				if sp.dir == "" && !ack {
					return s.send(s.ctx, push, messages)
				}
				return s.sendAssured(push, messages, &sp)
			})
		},
	}
	in.add(cmd)
	in.addInterval(cmd)
	f.add(cmd, "stop after `N` messages")
	f.addImmediate(cmd)
	cmd.Flags().BoolVar(&ack, "ack", false, "send again what a peer did not acknowledge, and wait until all is acknowledged or given up")
	sp.add(cmd, "until they are acknowledged")
	sp.addQuota(cmd, "then wait for room")
	return cmd
}
