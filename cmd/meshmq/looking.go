package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/cmd/meshmq/internal/watch"
	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/monitor"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

const (
	// lookInterval lets rates be of more than a moment, and what is wrong be seen soon.
	lookInterval = 2 * time.Second
	// leastInterval is how often monitors say something new.
	leastInterval = 100 * time.Millisecond
	// answerTime is what an answer may take at least: a process that swaps is one to look at.
	answerTime = 2 * time.Second
	// maxSnapshot is more than a monitor tells.
	maxSnapshot = 8 << 20
)

// lookFlags are those of the verbs that look at processes.
type lookFlags struct {
	run      socketFlags // of which only those below
	interval time.Duration
}

func (f *lookFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVarP(&f.run.connects, "connect", "c", nil, "look at the monitor at `ENDPOINT`, or at all of mdns://NAME (repeatable; default: mdns://"+monitor.Service+")")
	f.run.addInterfaces(cmd)
	f.interval = lookInterval
	flags.Var((*duration)(&f.interval), "interval", "look again after this `LONG`")
	flags.Var((*duration)(&f.run.timeout), "timeout", "end `AFTER` this long in all, such as 500ms or 1m (default: never)")
	flags.BoolVarP(&f.run.quiet, "quiet", "q", false, "report errors only")
	f.run.tls.add(cmd)
	f.run.security.add(cmd)
}

func (f *lookFlags) check(cmd *cobra.Command) error {
	if len(f.run.connects) == 0 {
		f.run.connects = []string{discovery.Scheme + monitor.Service}
	}
	if f.interval < leastInterval {
		return usage(cmd, "--interval %s: want %s or more, since monitors say nothing new before", f.interval, leastInterval)
	}
	if err := checkEndpoints(cmd, nil, f.run.connects); err != nil {
		return err
	}
	if err := f.run.security.check(cmd); err != nil {
		return err
	}
	return f.run.tls.check(cmd, nil, f.run.connects)
}

// looking is one run of a verb that looks.
type looking struct {
	*lookFlags
	ctx     context.Context // ends at --timeout, an interrupt, or when all refuse us, which are its causes
	end     context.CancelCauseFunc
	client  *reqrep.Client
	events  events
	places  places
	tracker watch.Tracker
	seen    bool // somebody answered
}

// look opens what a verb needs and does its work. Trouble with connections is told on stderr.
func look(cmd *cobra.Command, f *lookFlags, stderr io.Writer, work func(*looking) error) error {
	l := &looking{lookFlags: f, events: events{w: stderr, quiet: f.run.quiet}}
	ctx := cmd.Context()
	if f.run.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, f.run.timeout, errTimeout)
		defer cancel()
	}
	l.ctx, l.end = context.WithCancelCause(ctx)
	defer l.end(nil)
	if !slices.ContainsFunc(f.run.connects, isName) {
		l.events.refusals = refusals{connects: f.run.connects, refused: map[string]bool{}, end: l.end}
	}
	opts := []socket.Option{socket.WithEventHandler(l.events.handle), socket.WithMaxMessageSize(maxSnapshot)}
	opts = append(append(opts, f.run.tls.options()...), f.run.security.opts...)
	l.client = reqrep.NewClient(patterns.WithSocketOptions(opts...), patterns.WithOnError(func(context.Context, error) {})) // they are answers that came too late
	defer l.client.Close()
	defer l.places.close()
	for _, ep := range f.run.connects {
		if err := l.places.connect(&f.run, ep, l.client); err != nil {
			if errors.Is(err, socket.ErrOption) {
				return usage(cmd, "%w", err)
			}
			return err
		}
	}
	return l.verdict(work(l))
}

// round asks everybody.
func (l *looking) round() watch.View {
	ctx, cancel := context.WithTimeout(l.ctx, max(l.interval, answerTime))
	defer cancel()
	var answers []watch.Answer
	for r := range reqrep.Scatter[struct{}, monitor.Snapshot](ctx, l.client, monitor.Method, struct{}{}) {
		if r.Instance == (reqrep.Instance{}) {
			break // nobody is connected
		}
		answers = append(answers, watch.Answer{Endpoint: r.Instance.Endpoint, Connected: !errors.Is(r.Err, socket.ErrPeerGone), Err: r.Err, Snapshot: r.Value})
		l.seen = l.seen || r.Err == nil
	}
	for _, p := range l.client.Stats().Peers {
		if !p.Connected && !slices.ContainsFunc(answers, func(a watch.Answer) bool { return a.Endpoint == p.Endpoint }) {
			answers = append(answers, watch.Answer{Endpoint: p.Endpoint, Err: errAbsent})
		}
	}
	return l.tracker.Note(time.Now(), answers)
}

var errAbsent = errors.New("nobody is connected there")

// each calls show with how things stand, once every interval, until it returns false or the run ends. Unless at once, it begins an interval after
// somebody has answered, so that there are rates.
func (l *looking) each(atOnce bool, show func(watch.View) (bool, error)) error {
	for !atOnce && l.round().Alive() == 0 {
		if !pause(l.ctx, leastInterval) {
			return context.Cause(l.ctx)
		}
	}
	tick := time.NewTicker(l.interval)
	defer tick.Stop()
	for first := true; ; first = false {
		if !atOnce || !first {
			select {
			case <-tick.C:
			case <-l.ctx.Done():
				return context.Cause(l.ctx)
			}
		}
		v := l.round()
		if l.ctx.Err() != nil { // the round may be cut short
			return context.Cause(l.ctx)
		}
		if more, err := show(v); err != nil || !more {
			return err
		}
	}
}

// verdict turns what ended the run into the error that carries the exit code.
func (l *looking) verdict(err error) error {
	switch cause := context.Cause(l.ctx); {
	case err == nil || !isContext(err) && !errors.As(err, new(*errRefused)):
		return err
	case isSignal(cause):
		return fail(exitInterrupt, "%w", cause)
	case errors.As(cause, new(*errRefused)):
		return fail(exitError, "%w", cause)
	case l.seen:
		return fail(exitTimeout, "timeout after %s", l.run.timeout)
	}
	_, trouble := l.events.peerSeen()
	if trouble == "" {
		trouble = "no monitor answered"
		if slices.ContainsFunc(l.run.connects, isName) {
			trouble += fmt.Sprintf(" on %s", searched(l.run.interfaces))
		}
	}
	return fail(exitNoPeer, "timeout after %s: %s", l.run.timeout, trouble)
}
