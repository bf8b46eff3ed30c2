package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

// statusProperty is how a meshmq req and a meshmq rep know each other (RFC 37 leaves names that start with X-
// to the application). Between them a reply has one more frame, the first: empty when all is well, or else the
// error in words. Other peers never see it.
//
//	req -> rep   | body... |
//	rep -> req   | status | body... |     both announced the property
//	rep -> REQ   | body... |              another peer; an error is the body "error: ..."
const statusProperty = "X-Mesh-Status"

func withStatus() socket.Option { return socket.WithProperty(statusProperty, "1") }

// knowsStatus says whether the peer is a meshmq req or rep.
func knowsStatus(p *socket.Peer) bool {
	_, ok := p.Property(statusProperty)
	return ok
}

func newReq() *cobra.Command {
	var f socketFlags
	var in input
	var out output
	cmd := &cobra.Command{
		Use:   "req -b|-c ENDPOINT BODY",
		Short: "Send a request to a REP peer and print the reply",
		Long: `req sends BODY to a REP or ROUTER peer and prints the reply: its frames joined by a TAB, then a newline. It waits
for a peer and for the reply as long as --timeout lets it. A peer that goes away before it replied is an error (exit code
1), a meshmq rep that reports a failure another (5).`,
		Example: `  meshmq req -c tcp://10.0.0.7:5559 --timeout 2s "what time is it?"
  meshmq req -c mdns://clock --count 10 --interval 1s now`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(in.frames) == 0 {
				if err := wantArgs("BODY")(cmd, args); err != nil {
					return err
				}
			}
			if err := in.take(cmd, args); err != nil {
				return err
			}
			open := func(opts ...socket.Option) *socket.Req { return socket.NewReq(append(opts, withStatus())...) }
			return serve(cmd, &f, &out, open, func(s *session, req *socket.Req) error {
				for frames, err := range in.all(s.ctx, s.stdin, f.count) {
					if err == nil {
						err = s.ask(req, frames)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	in.add(cmd)
	in.addInterval(cmd)
	f.add(cmd, "repeat the request until `N` replies have come")
	f.addIdentity(cmd)
	out.add(cmd)
	return cmd
}

// ask sends one request and prints its reply.
func (s *session) ask(req *socket.Req, frames [][]byte) error {
	if err := req.Send(s.ctx, frames...); err != nil {
		return err
	}
	s.count1(&s.sent)
	m, err := req.Recv(s.ctx)
	if err != nil {
		return err
	}
	s.count1(&s.received)
	if knowsStatus(m.Peer()) && len(m.Frames) > 1 {
		if status := string(m.Frames[0]); status != "" {
			return fail(exitRemote, "remote error: %s", status)
		}
		m.Frames = m.Frames[1:]
	}
	if err := s.out.print(m.Frames, m.Peer().Address(), time.Now()); err != nil {
		return err
	}
	return s.out.flush()
}
