package mdns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// port is where multicast DNS is spoken, RFC 6762, 3.
const port = 5353

// maxPacket is the largest multicast DNS packet, RFC 6762, 17.
const maxPacket = 9000

// leg is one address family on an interface, with two sockets. One is bound to the port and
// joined to the group: it hears what is announced, and announces, for answers must come from
// the port (RFC 6762, 6). The other asks from a port of its own, so that the answer, which
// hashicorp/mdns sends to the asker alone, reaches this program and not another one that shares
// port 5353.
type leg struct {
	group *net.UDPAddr
	hear  *net.UDPConn
	ask   *net.UDPConn

	// receive reads from hear: index is the interface it came in by, 0 where the system does not
	// tell. On Linux a socket on a wildcard address gets what any program joined on any interface.
	receive func(b []byte) (n, index int, from netip.Addr, err error)
	// announce sends from hear through the interface.
	announce func(b []byte) error
}

// openLeg opens the sockets of a family on the interface, for which self is this host's address.
func openLeg(iface *net.Interface, self netip.Addr) (*leg, error) {
	network, group := "udp4", &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: port}
	local := &net.UDPAddr{IP: self.AsSlice()}
	if self.Is6() {
		network, group = "udp6", &net.UDPAddr{IP: net.ParseIP("ff02::fb"), Port: port, Zone: iface.Name}
		if self.IsLinkLocalUnicast() {
			local.Zone = iface.Name
		}
	}
	hear, err := net.ListenMulticastUDP(network, iface, group)
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", group, err)
	}
	ask, err := net.ListenUDP(network, local)
	if err != nil {
		hear.Close()
		return nil, fmt.Errorf("open a socket to ask: %w", err)
	}
	l := &leg{group: group, hear: hear, ask: ask}
	if self.Is4() {
		err = l.set4(iface, self)
	} else {
		err = l.set6(iface, self)
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("set multicast options: %w", err)
	}
	return l, nil
}

// set4 sends through iface, with the hop limit RFC 6762, 11 asks for, also to this host: other
// programs on it are peers. An interface chosen by its index alone leaves the kernel to pick the
// source address, and for loopback Linux picks that of another interface: hence Src.
func (l *leg) set4(iface *net.Interface, self netip.Addr) error {
	hear, ask := ipv4.NewPacketConn(l.hear), ipv4.NewPacketConn(l.ask)
	var errs []error
	for _, p := range []*ipv4.PacketConn{hear, ask} {
		errs = append(errs, p.SetMulticastInterface(iface), p.SetMulticastLoopback(true), p.SetMulticastTTL(255))
	}
	hear.SetControlMessage(ipv4.FlagInterface, true) // Windows cannot: index stays 0
	from := &ipv4.ControlMessage{IfIndex: iface.Index, Src: self.AsSlice()}
	l.announce = func(b []byte) error {
		_, err := hear.WriteTo(b, from, l.group)
		return err
	}
	l.receive = func(b []byte) (int, int, netip.Addr, error) {
		n, cm, src, err := hear.ReadFrom(b)
		if cm == nil {
			cm = &ipv4.ControlMessage{}
		}
		return n, cm.IfIndex, addrOf(src), err
	}
	return errors.Join(errs...)
}

// set6 is set4 for IPv6.
func (l *leg) set6(iface *net.Interface, self netip.Addr) error {
	hear, ask := ipv6.NewPacketConn(l.hear), ipv6.NewPacketConn(l.ask)
	var errs []error
	for _, p := range []*ipv6.PacketConn{hear, ask} {
		errs = append(errs, p.SetMulticastInterface(iface), p.SetMulticastLoopback(true), p.SetMulticastHopLimit(255))
	}
	hear.SetControlMessage(ipv6.FlagInterface, true)
	from := &ipv6.ControlMessage{IfIndex: iface.Index, Src: self.AsSlice()}
	l.announce = func(b []byte) error {
		_, err := hear.WriteTo(b, from, l.group)
		return err
	}
	l.receive = func(b []byte) (int, int, netip.Addr, error) {
		n, cm, src, err := hear.ReadFrom(b)
		if cm == nil {
			cm = &ipv6.ControlMessage{}
		}
		return n, cm.IfIndex, addrOf(src), err
	}
	return errors.Join(errs...)
}

// answers reads from ask.
func (l *leg) answers(b []byte) (n, index int, from netip.Addr, err error) {
	n, src, err := l.ask.ReadFromUDPAddrPort(b)
	return n, 0, src.Addr().Unmap().WithZone(""), err
}

// question asks the group through the interface.
func (l *leg) question(b []byte) error {
	_, err := l.ask.WriteToUDP(b, l.group)
	return err
}

func (l *leg) close() {
	l.hear.Close()
	l.ask.Close()
}

// addrOf returns the address without its zone, for the interface is known.
func addrOf(a net.Addr) netip.Addr {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
