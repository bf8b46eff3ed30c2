package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

const proxyHelp = `proxy passes messages between the peers of its frontend and those of its backend, until interrupted or --timeout:
  forwarder  from PUB peers at the frontend to SUB peers at the backend, whose subscriptions it passes on (XSUB, XPUB)
  queue      requests of REQ and DEALER peers at the frontend to REP and DEALER peers at the backend in turn,
             and their replies back (ROUTER, DEALER)
  streamer   from PUSH peers at the frontend to PULL peers at the backend in turn (PULL, PUSH)

Both sides are bound; --connect-frontend and --connect-backend connect them, instead or as well. While one side
has no room the other is not read, so that its peers wait; but a forwarder drops, and says so, what a slow
subscriber has no room for, as PUB does. --capture binds a PUB socket that publishes a copy of every message, either
way: meshmq sub -c ENDPOINT shows them. It holds nothing up either.

An interrupt ends it in order: what has arrived is passed on, for --linger at most. What came in and went out is
summed up on standard error.`

// side is the flags of one of a proxy's sockets.
type side struct{ binds, connects []string }

type proxyFlags struct {
	run                        socketFlags // of which only addInterfaces and addRun
	kind                       string
	frontend, backend, capture side
}

func newProxy() *cobra.Command {
	var f proxyFlags
	cmd := &cobra.Command{
		Use:   "proxy --type forwarder|queue|streamer --frontend ENDPOINT --backend ENDPOINT",
		Short: "Pass messages between two sockets",
		Long:  proxyHelp,
		Example: `  meshmq proxy --type queue --frontend tcp://*:5559 --backend tcp://*:5560
  meshmq proxy --type forwarder --connect-frontend tcp://10.0.0.7:5563 --backend tcp://*:5564 --capture ipc:///tmp/log`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			return newRelay(cmd, &f).run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.kind, "type", "", "`KIND` of proxy: forwarder, queue or streamer")
	for _, s := range []struct {
		name, what string
		*side
	}{
		{"frontend", "where messages come from", &f.frontend}, {"backend", "where messages go", &f.backend}, {"capture", "where copies go", &f.capture},
	} {
		flags.StringArrayVar(&s.binds, s.name, nil, "listen on `ENDPOINT`: "+s.what+" (repeatable)")
		flags.StringArrayVar(&s.connects, "connect-"+s.name, nil, "connect the "+s.name+" to `ENDPOINT`, or to all of mdns://NAME (repeatable)")
	}
	f.run.addInterfaces(cmd)
	f.run.addRun(cmd)
	return cmd
}

func (f *proxyFlags) check(cmd *cobra.Command) error {
	switch f.kind {
	case "":
		return usage(cmd, "--type is missing: want --type forwarder, queue or streamer")
	case "forwarder", "queue", "streamer":
	default:
		return usage(cmd, "--type %.40q: want forwarder, queue or streamer", f.kind)
	}
	for i, s := range []*side{&f.frontend, &f.backend} {
		name := [...]string{"frontend", "backend"}[i]
		if len(s.binds)+len(s.connects) == 0 {
			return usage(cmd, "the %s is missing: want --%[1]s ENDPOINT or --connect-%[1]s ENDPOINT", name)
		}
	}
	for _, s := range []*side{&f.frontend, &f.backend, &f.capture} {
		if err := checkEndpoints(cmd, s.binds, s.connects); err != nil {
			return err
		}
	}
	if err := f.run.checkRun(cmd); err != nil {
		return err
	}
	return f.run.tls.check(cmd, slices.Concat(f.frontend.binds, f.backend.binds, f.capture.binds),
		slices.Concat(f.frontend.connects, f.backend.connects, f.capture.connects))
}

// relay is one run of a proxy.
type relay struct {
	session
	ends   []*relayEnd // frontend, backend and, if wanted, capture
	proxy  *socket.Proxy
	oneWay bool // nothing flows back to the frontend's peers
}

// relayEnd is one of its sockets.
type relayEnd struct {
	conn
	side   *side
	events events
	places places
}

func newRelay(cmd *cobra.Command, f *proxyFlags) *relay {
	r := &relay{session: session{socketFlags: &f.run, stderr: cmd.ErrOrStderr(), ctx: cmd.Context(), start: time.Now()}}
	var front, back conn
	switch f.kind {
	case "forwarder":
		front, back, r.oneWay = open(r, "frontend", &f.frontend, socket.NewXSub), open(r, "backend", &f.backend, socket.NewXPub), true
	case "queue":
		front, back = open(r, "frontend", &f.frontend, socket.NewRouter), open(r, "backend", &f.backend, socket.NewDealer)
	case "streamer":
		front, back, r.oneWay = open(r, "frontend", &f.frontend, socket.NewPull), open(r, "backend", &f.backend, socket.NewPush), true
	}
	var opts []socket.ProxyOption
	if len(f.capture.binds)+len(f.capture.connects) > 0 {
		opts = append(opts, socket.WithCapture(open(r, "capture", &f.capture, socket.NewPub)))
	}
	r.proxy = socket.NewProxy(front, back, opts...)
	return r
}

// open opens a socket for one side.
func open[S conn](r *relay, name string, s *side, construct func(...socket.Option) S) conn {
	e := &relayEnd{side: s, events: events{w: r.stderr, side: name + " ", verbose: r.verbose, quiet: r.quiet}}
	opts := append(r.options(), socket.WithEventHandler(e.events.handle))
	e.conn = construct(opts...)
	r.ends = append(r.ends, e)
	return e.conn
}

func (r *relay) run(cmd *cobra.Command) error {
	if r.timeout > 0 {
		ctx, cancel := context.WithTimeoutCause(r.ctx, r.timeout, errTimeout)
		defer cancel()
		r.ctx = ctx
	}
	err := r.join()
	if errors.Is(err, socket.ErrOption) {
		err = usage(cmd, "%w", err)
	}
	if err == nil {
		err = r.proxy.Run(r.ctx)
	}
	r.leave()
	return r.verdict(err)
}

// join binds and connects all sides.
func (r *relay) join() error {
	for _, e := range r.ends {
		f := *r.socketFlags
		f.binds, f.connects = e.side.binds, e.side.connects
		if err := e.places.open(&f, e.conn); err != nil {
			return err
		}
	}
	return nil
}

// leave passes on what has arrived and closes everything.
func (r *relay) leave() {
	ctx, cancel := r.grace()
	defer cancel()
	front := r.ends[0]
	if r.oneWay {
		_ = front.Shutdown(ctx) // it keeps what had arrived, and takes no more
	}
	_ = r.proxy.Drain(ctx) // what is left is counted
	for _, e := range r.ends {
		_ = e.Shutdown(ctx)
		e.places.close()
	}
}

func (r *relay) verdict(err error) error {
	sig := r.signal()
	switch {
	case r.ctx.Err() == nil || !isContext(err):
		return err
	case sig != nil:
		return fail(exitInterrupt, "%w: %s", sig, r.summary())
	}
	what := fmt.Sprintf("timeout after %s", r.timeout)
	var troubles []string
	for _, e := range r.ends {
		seen, trouble := e.events.peerSeen()
		if seen {
			return fail(exitTimeout, "%s: %s", what, r.summary())
		}
		if trouble != "" {
			troubles = append(troubles, trouble)
		}
	}
	if troubles == nil {
		troubles = []string{"none was ever connected"}
	}
	return fail(exitNoPeer, "%s: no peer (%s): %s", what, strings.Join(troubles, ", "), r.summary())
}

// summary is what came in and went out, and what did neither.
func (r *relay) summary() string {
	stats := r.proxy.Stats()
	text := fmt.Sprintf("frontend %s, backend %s in %s", traffic(stats.Frontend), traffic(stats.Backend), time.Since(r.start).Round(time.Millisecond))
	for _, n := range []struct {
		count uint64
		what  string
	}{
		{stats.Unroutable, "for peers that are gone"},
		{stats.Refused, "refused by the other side"},
		{stats.CaptureDropped, "without a copy"},
		{r.left(stats), "arrived but not passed on"},
		{r.dropped(), "passed on but not handed over"},
	} {
		if n.count > 0 {
			text += fmt.Sprintf("; %d %s", n.count, n.what)
		}
	}
	return text
}

func traffic(t socket.ProxyTraffic) string {
	return fmt.Sprintf("%d in (%d bytes), %d out (%d bytes)", t.MessagesIn, t.BytesIn, t.MessagesOut, t.BytesOut)
}

// left counts what was taken or waits to be in the closed sockets. Subscriptions are none of it.
func (r *relay) left(stats socket.ProxyStats) uint64 {
	left := stats.Frontend.InHand + remaining(r.ends[0])
	if !r.oneWay {
		left += stats.Backend.InHand + remaining(r.ends[1])
	}
	return uint64(left)
}

func remaining(e *relayEnd) (n int) {
	in := e.conn.(receiver)
	for {
		if _, err := in.Recv(expired); err != nil {
			return n
		}
		n++
	}
}

// dropped counts what the two sides had queued and lost.
func (r *relay) dropped() (n uint64) {
	for _, e := range r.ends[:2] {
		n += lostMessages(e.Stats())
	}
	return n
}
