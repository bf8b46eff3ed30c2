package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/mdns"
)

// Interface is a network interface and what multicast does on it.
type Interface struct {
	Name  string
	Flags net.Flags
	Addrs []string
	Named bool  // the user wants it
	Heard error // why an announcement on it was not heard; only of those that are used
}

// LAN is what discovery has to work with.
type LAN struct {
	Interfaces []Interface
	Missing    []string // named, and not there
	Required   bool     // the user counts on discovery: he named an interface, or an endpoint by name
	Holders    int      // sockets of any program at the port of mDNS before this check; -1: not known
	Routed     *bool    // a default route is there; nil: not known
}

// ReadLAN gathers facts; names are the interfaces to use, none: those that discovery uses by itself.
func ReadLAN(ctx context.Context, root fs.FS, names []string, required bool) (LAN, error) {
	l := LAN{Required: required || len(names) > 0, Holders: holders(root), Routed: routed(root)}
	all, err := net.Interfaces()
	if err != nil {
		return l, fmt.Errorf("list interfaces: %w", err)
	}
	for _, n := range names {
		if !slices.ContainsFunc(all, func(i net.Interface) bool { return i.Name == n }) {
			l.Missing = append(l.Missing, n)
		}
	}
	for _, i := range all {
		addrs, _ := i.Addrs()
		in := Interface{Name: i.Name, Flags: i.Flags, Named: slices.Contains(names, i.Name)}
		for _, a := range addrs {
			in.Addrs = append(in.Addrs, a.String())
		}
		if in.unused(len(names) > 0) == "" {
			in.Heard = hear(ctx, i.Name)
		}
		l.Interfaces = append(l.Interfaces, in)
	}
	return l, nil
}

// unused says why discovery does not use an interface; empty if it does. The rule is that of package mdns.
func (i Interface) unused(chosen bool) string {
	switch {
	case chosen && !i.Named:
		return "it was not named by --interface"
	case i.Flags&net.FlagUp == 0:
		return "it is down"
	case len(i.Addrs) == 0:
		return "it has no address"
	case chosen:
		return ""
	case i.Flags&net.FlagLoopback != 0:
		return "it reaches this machine only; --interface " + i.Name + " uses it"
	case i.Flags&net.FlagPointToPoint != 0:
		return "it has one peer only; --interface " + i.Name + " uses it"
	case i.Flags&net.FlagMulticast == 0:
		return "it has no multicast"
	}
	return ""
}

// Findings judges the LAN.
func (l LAN) Findings() []Finding {
	var all []Finding
	bad, used := Warn, 0
	if l.Required {
		bad = Fail
	}
	chosen := len(l.Missing) > 0 || slices.ContainsFunc(l.Interfaces, func(i Interface) bool { return i.Named })
	for _, n := range l.Missing {
		all = append(all, fail("interface "+n, "name one of "+l.names(), "there is no such interface"))
	}
	for _, i := range l.Interfaces {
		subject := "interface " + i.Name
		switch why := i.unused(chosen); {
		case why != "" && i.Named:
			all = append(all, fail(subject, "bring it up, with an address", "%s", why))
		case why != "":
			all = append(all, pass(subject, "not used by discovery: %s", why))
		case i.Heard != nil:
			used++
			all = append(all, Finding{bad, subject, i.Heard.Error(), multicastAdvice(i.Heard)})
		default:
			used++
			all = append(all, pass(subject, "multicast works, an announcement was heard; %s", strings.Join(i.Addrs, " ")))
		}
	}
	if used == 0 && !chosen {
		all = append(all, Finding{bad, "discovery", "no interface can be used", "bring one up, name one by --interface, or give addresses in place of mdns://"})
	}
	switch {
	case l.Holders > 0:
		all = append(all, pass("port 5353", "shared with %d sockets of other programs, such as avahi, systemd-resolved or meshmq", l.Holders))
	case l.Holders == 0:
		all = append(all, pass("port 5353", "no other program has it"))
	default:
		all = append(all, unknown("port 5353"))
	}
	switch {
	case l.Routed == nil:
		all = append(all, unknown("default route"))
	case !*l.Routed:
		all = append(all, warn("default route", "add one, unless all peers are on networks of this machine", "there is none"))
	default:
		all = append(all, pass("default route", "is there"))
	}
	return all
}

func (l LAN) names() string {
	var names []string
	for _, i := range l.Interfaces {
		names = append(names, i.Name)
	}
	return strings.Join(names, ", ")
}

func multicastAdvice(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program holds port 5353 for itself: ss -ulpn 'sport = :5353' names it"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "this process may not do that: look at its sandbox and at the firewall"
	}
	return "let UDP port 5353 to 224.0.0.251 and ff02::fb through the firewall, or give addresses in place of mdns://"
}

// hear announces a service that nobody else has on the interface and waits until it is found there.
func hear(ctx context.Context, name string) error {
	if err := mdns.Probe(ctx, name); err != nil {
		return err
	}
	teller, err := mdns.New(mdns.WithInterfaces(name))
	if err != nil {
		return err
	}
	defer teller.Close()
	listener, err := mdns.New(mdns.WithInterfaces(name))
	if err != nil {
		return err
	}
	defer listener.Close()
	service := "doctor-" + discovery.NewID()
	node := discovery.NewNode(teller, "")
	defer node.Close()
	// Port 9 is that of discard: nobody is to connect.
	if _, err := node.Announce(service, "tcp://*:9", nil); err != nil {
		return err
	}
	for e, err := range listener.Watch(ctx, service) {
		if err != nil {
			return err
		}
		if e.Kind == discovery.Up {
			return nil
		}
	}
	return errors.New("multicast comes back, and yet an announcement was not found in time")
}

// holders counts the sockets at port 5353; hexadecimal 14E9.
func holders(root fs.FS) int {
	n := -1
	for _, name := range []string{"proc/net/udp", "proc/net/udp6"} {
		table := text(root, name)
		if table != "" && n < 0 {
			n = 0
		}
		for line := range strings.Lines(table) {
			if f := strings.Fields(line); len(f) > 1 && strings.HasSuffix(f[1], ":14E9") {
				n++
			}
		}
	}
	return n
}

// routed looks for a route to everywhere, of IPv4 or IPv6, that does not go to the loopback interface.
func routed(root fs.FS) *bool {
	four, six := text(root, "proc/net/route"), text(root, "proc/net/ipv6_route")
	if four == "" && six == "" {
		return nil
	}
	found := false
	for line := range strings.Lines(four) {
		f := strings.Fields(line)
		found = found || len(f) > 7 && f[1] == "00000000" && f[7] == "00000000"
	}
	for line := range strings.Lines(six) {
		f := strings.Fields(line)
		found = found || len(f) > 9 && f[0] == strings.Repeat("0", 32) && f[1] == "00" && f[9] != "lo"
	}
	return &found
}
