package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/discovery"
)

// discoverTime is the default of --timeout: a peer answers within milliseconds, or a second if a packet is lost.
const discoverTime = 2 * time.Second

func newDiscover() *cobra.Command {
	var service string
	var timeout time.Duration
	var interfaces []string
	var watch, asJSON bool
	cmd := &cobra.Command{
		Use:   "discover [--service NAME]",
		Short: "List the instances of services on the LAN",
		Long: `discover asks by mDNS who is there and prints a line per instance: service, name, id, endpoints and other facts,
separated by TABs. It listens for --timeout, 2s if not given. Where nothing is found it says so on standard error; if
--service named what was sought the exit code is then 4. With --watch it goes on, until --timeout if given, and prints what comes (+), goes (-) and changes (~).`,
		Example: `  meshmq discover
  meshmq discover --service orders --watch --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if service != "" {
				if err := discovery.CheckName(service); err != nil {
					return usage(cmd, "--service: %w", err)
				}
			}
			registry, err := openRegistry(interfaces)
			if err != nil {
				return err
			}
			defer registry.Close()
			if timeout == 0 && !watch {
				timeout = discoverTime
			}
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, timeout, errTimeout)
				defer cancel()
			}
			l := listing{w: cmd.OutOrStdout(), json: asJSON, found: map[string]discovery.Instance{}}
			if err := l.follow(ctx, registry, service, watch); err != nil {
				return err
			}
			if len(l.found) > 0 || watch && l.seen {
				return nil
			}
			nobody := fail(exitNoPeer, "no instance of %s was found within %s on %s", cmp.Or(service, "any service"), timeout, searched(interfaces))
			if service != "" && !watch {
				return nobody
			}
			fmt.Fprintln(cmd.ErrOrStderr(), nobody)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&service, "service", "", "list instances of `NAME` only")
	flags.Var((*duration)(&timeout), "timeout", "listen this `LONG`")
	flags.BoolVar(&watch, "watch", false, "go on and print changes")
	flags.BoolVar(&asJSON, "json", false, "print a JSON object per line")
	flags.StringArrayVar(&interfaces, "interface", nil, "use network interface `NAME` (repeatable; default: all but loopback)")
	return cmd
}

// listing prints instances.
type listing struct {
	w     io.Writer
	json  bool
	found map[string]discovery.Instance // those that are there
	seen  bool                          // one was, at least
}

// searched says where was looked: who announced on the loopback interface alone is not to be found elsewhere.
func searched(interfaces []string) string {
	if len(interfaces) == 0 {
		return "any network interface but loopback (see --interface)"
	}
	return strings.Join(interfaces, ", ")
}

// follow prints changes as they come, or what was found in the end.
func (l *listing) follow(ctx context.Context, registry discovery.Registry, service string, watch bool) error {
	for e, err := range registry.Watch(ctx, service) {
		switch {
		case err != nil:
			return err
		case e.Kind == discovery.Down:
			delete(l.found, e.Instance.ID)
		default:
			l.found[e.Instance.ID], l.seen = e.Instance, true
		}
		if watch {
			if err := l.print(e.Instance, e.Kind); err != nil {
				return err
			}
		}
	}
	if cause := context.Cause(ctx); isSignal(cause) {
		return fail(exitInterrupt, "%w: %d instances known", cause, len(l.found))
	}
	if watch {
		return nil
	}
	for _, in := range slices.SortedFunc(maps.Values(l.found), func(a, b discovery.Instance) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	}) {
		if err := l.print(in, 0); err != nil {
			return err
		}
	}
	return nil
}

var signs = map[discovery.Kind]string{discovery.Up: "+ ", discovery.Down: "- ", discovery.Change: "~ "}

// print writes one instance; kind is zero for a plain list.
func (l *listing) print(in discovery.Instance, kind discovery.Kind) error {
	if l.json {
		line, err := instanceJSON(in, kind)
		if err == nil {
			_, err = fmt.Fprintf(l.w, "%s\n", line)
		}
		return written(err)
	}
	fields := []string{in.Service, cmp.Or(in.Name, "-"), in.ID, strings.Join(in.Endpoints, " ")}
	for _, k := range slices.Sorted(maps.Keys(in.Meta)) {
		fields = append(fields, k+"="+in.Meta[k])
	}
	_, err := fmt.Fprintf(l.w, "%s%s\n", signs[kind], strings.Join(fields, "\t"))
	return written(err)
}

func instanceJSON(in discovery.Instance, kind discovery.Kind) ([]byte, error) {
	event := ""
	if kind != 0 {
		event = kind.String()
	}
	return marshal(struct {
		Event     string            `json:"event,omitempty"`
		Service   string            `json:"service"`
		Name      string            `json:"name"`
		ID        string            `json:"id"`
		Endpoints []string          `json:"endpoints"`
		Meta      map[string]string `json:"meta,omitempty"`
	}{event, in.Service, in.Name, in.ID, in.Endpoints, in.Meta})
}
