package main

import (
	"context"
	"net/netip"
	"sync"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/monitor"
	"github.com/meshmq/meshmq/transport"
)

// watched is the monitor of a session, if there is to be one.
type watched struct {
	monitor *monitor.Monitor // nil for none
	running sync.WaitGroup
}

// monitors is what --monitor binds.
func (f *socketFlags) monitors() []string {
	if f.monitor == "" {
		return nil
	}
	return []string{f.monitor}
}

func (f *socketFlags) checkMonitor(cmd *cobra.Command) error {
	if !cmd.Flags().Changed("monitor") {
		return nil
	}
	if _, err := transport.ParseBind(f.monitor); err != nil {
		return usage(cmd, "--monitor: %w", err)
	}
	return nil
}

// open has others look at the socket of a verb.
func (w *watched) open(s *session, verb string, sock conn) error {
	if s.monitor == "" {
		return nil
	}
	opts := s.tls.options()
	if s.security.server() {
		opts = append(opts, s.security.opts...)
	}
	w.monitor = monitor.New("meshmq "+verb, patterns.WithSocketOptions(opts...), patterns.WithOnError(func(context.Context, error) {})) // of those who ask wrongly
	if err := w.monitor.Watch(verb, sock); err != nil {
		return err
	}
	at, err := w.monitor.Bind(s.monitor)
	if err != nil {
		return err
	}
	s.say("monitor at %s", at)
	if !s.security.server() && s.tls.ca == "" && !stays(at) {
		s.say("whoever can reach it may look")
	}
	w.running.Go(func() { _ = w.monitor.Run(context.Background()) }) // ended and awaited by close
	if s.announce == "" {
		return nil
	}
	return s.places.announce(s.socketFlags, monitor.Service, at, map[string]string{"of": verb})
}

// stays reports whether only this machine can reach an endpoint.
func stays(endpoint string) bool {
	_, host, _, ok := discovery.SplitEndpoint(endpoint)
	addr, err := netip.ParseAddr(host)
	return !ok || err == nil && addr.IsLoopback()
}

func (w *watched) close() {
	if w.monitor != nil {
		_ = w.monitor.Close()
		w.running.Wait()
	}
}
