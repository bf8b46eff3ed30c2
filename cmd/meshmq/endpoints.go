package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/mdns"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/transport"
)

// check refuses endpoints and names that cannot be right, before anything is opened.
func (f *socketFlags) check(cmd *cobra.Command) error {
	if len(f.binds)+len(f.connects) == 0 {
		return usage(cmd, "an endpoint is missing: want -b/--bind ENDPOINT or -c/--connect ENDPOINT")
	}
	if err := checkEndpoints(cmd, f.binds, f.connects); err != nil {
		return err
	}
	if err := f.checkRun(cmd); err != nil {
		return err
	}
	if err := f.checkMonitor(cmd); err != nil {
		return err
	}
	if err := f.tls.check(cmd, slices.Concat(f.binds, f.monitors()), f.connects); err != nil {
		return err
	}
	switch {
	case len(f.identity) > 255:
		return usage(cmd, "--identity of %d bytes: want at most 255", len(f.identity))
	case f.announce == "":
		return nil
	}
	if len(f.binds) == 0 {
		return usage(cmd, "--announce %.80s without -b/--bind: there is nothing to announce", f.announce)
	}
	if err := discovery.CheckName(f.announce); err != nil {
		return usage(cmd, "--announce: %w", err)
	}
	return nil
}

func checkEndpoints(cmd *cobra.Command, binds, connects []string) error {
	for _, ep := range binds {
		if strings.HasPrefix(ep, discovery.Scheme) {
			return usage(cmd, "bind %.80s: a name cannot be bound: want tcp://*:0, and --announce NAME of a socket verb", ep)
		}
		if _, err := transport.ParseBind(ep); err != nil {
			return usage(cmd, "bind: %w", err)
		}
	}
	for _, ep := range connects {
		_, named, err := discovery.ParseName(ep)
		if err == nil && !named {
			_, err = transport.ParseConnect(ep)
		}
		if err != nil {
			return usage(cmd, "connect: %w", err)
		}
	}
	return nil
}

// checkRun checks the flags of addRun.
func (f *socketFlags) checkRun(cmd *cobra.Command) error {
	switch {
	case f.hwm < 0:
		return usage(cmd, "--hwm %d: want 0 (no limit) or more", f.hwm)
	case f.linger < 0:
		return usage(cmd, "--linger %s: want 0s or more", f.linger)
	}
	return f.security.check(cmd)
}

// conn is the part of a socket that all types have.
type conn interface {
	io.Closer
	Type() string
	Bind(endpoint string) (string, error)
	Connect(endpoint string) error
	Disconnect(endpoint string) error
	Shutdown(ctx context.Context) error
	Stats() socket.Stats
}

// places is where a session's socket is bound, connected and announced.
type places struct {
	registry  *mdns.Registry  // nil if no flag needs it
	node      *discovery.Node // nil as registry
	withdraws []func()
}

// open binds and announces sock and connects it to all that f says.
func (p *places) open(f *socketFlags, sock conn) error {
	for _, ep := range f.binds {
		real, err := sock.Bind(ep)
		if err != nil {
			return err
		}
		if f.announce == "" {
			continue
		}
		if err := p.announce(f, f.announce, real, map[string]string{"socket": sock.Type()}); err != nil {
			return err
		}
	}
	for _, ep := range f.connects {
		if err := p.connect(f, ep, sock); err != nil {
			return err
		}
	}
	return nil
}

func (p *places) announce(f *socketFlags, service, endpoint string, meta map[string]string) error {
	if err := p.discover(f); err != nil {
		return err
	}
	withdraw, err := p.node.Announce(service, endpoint, meta)
	if err != nil {
		return fmt.Errorf("announce %s: %w", service, err)
	}
	p.withdraws = append(p.withdraws, withdraw)
	return nil
}

func (p *places) connect(f *socketFlags, endpoint string, sock conn) error {
	service, named, err := discovery.ParseName(endpoint)
	if err != nil {
		return err
	}
	if !named {
		return sock.Connect(endpoint)
	}
	if err := p.discover(f); err != nil {
		return err
	}
	_, err = p.node.Follow(service, sock)
	return err
}

// discover opens the registry when it is first needed.
func (p *places) discover(f *socketFlags) (err error) {
	if p.registry != nil {
		return nil
	}
	if p.registry, err = openRegistry(f.interfaces); err != nil {
		return err
	}
	host, _ := os.Hostname() // only for people to read
	p.node = discovery.NewNode(p.registry, host)
	return nil
}

func openRegistry(interfaces []string) (*mdns.Registry, error) {
	var opts []mdns.Option
	if len(interfaces) > 0 {
		opts = append(opts, mdns.WithInterfaces(interfaces...))
	}
	r, err := mdns.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("%w (--interface NAME chooses another)", err)
	}
	return r, nil
}

// withdraw makes others stop looking for this peer.
func (p *places) withdraw() {
	for _, w := range p.withdraws {
		w()
	}
}

func (p *places) close() {
	if p.registry != nil {
		p.node.Close()
		p.registry.Close()
	}
}
